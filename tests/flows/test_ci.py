"""What `tercet init --ci` writes for GitHub and for containers: right as others judge it, and its commands run here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
STARTS = ROOT / "infra/starts"
WORKFLOW = yaml.safe_load((STARTS / "workflow.yaml").read_text())
STEPS = WORKFLOW["jobs"]["tercet"]["steps"]
DOCKERFILES = (STARTS / "Dockerfile", ROOT / "infra/image/Dockerfile")
WHO = ("-c", "user.name=test", "-c", "user.email=test@example.org")


def judged(*words):
    done = subprocess.run([BIN / words[0], *words[1:]], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_workflow_is_one_by_githubs_schema(tmp_path):
    judge = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
    code, said = judged(*judge, STARTS / "workflow.yaml")
    assert code == 0, said
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((STARTS / "workflow.yaml").read_text().replace("runs-on:", "run-on:"))
    assert judged(*judge, wrong)[0] == 1


def test_no_command_of_the_workflow_holds_what_a_stranger_may_choose():
    for step in STEPS:
        assert "${{" not in step.get("run", ""), step
    assert WORKFLOW["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=["a project's", "ours"])
def test_a_dockerfile_is_right_and_runs_as_a_user_without_rights(path, tmp_path):
    code, said = judged("hadolint", "--ignore", "DL3008", path)  # Debian keeps no older version to pin
    assert (code, said) == (0, "")
    assert re.findall(r"^USER (.+)$", path.read_text(), re.MULTILINE)[-1] == "10001"
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(path.read_text().replace("USER 10001", "USER root"))
    assert "DL3002" in judged("hadolint", wrong)[1]


def test_what_is_no_part_of_an_image_is_what_git_ignores_and_secrets():
    left = (STARTS / "dockerignore").read_text().splitlines()[1:]
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    dvc = {f".dvc{line.rstrip('/')}" for line in (ROOT / ".dvc/.gitignore").read_text().split()}
    assert dvc <= set(left)
    assert {name.removeprefix("**/") for name in left} <= ignored | dvc | {".env"}


def git(folder, *words):
    done = subprocess.run(["git", *WHO, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_workflow_run_for_a_pull_request(installed, unspoilt, tercet_wheel, tmp_path):
    """As GitHub runs them, by bash in their order; what they install is there already, and is looked at."""
    project, runner = tmp_path / "project", tmp_path / "runner"
    installed.run(tmp_path, "tercet", "init", "project", "--from", "smoke", "--ci")
    (project / "wheels").mkdir()
    shutil.copy(tercet_wheel, project / "wheels")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "begin")
    git(project, "branch", "--move", "trunk")
    git(tmp_path, "clone", "--quiet", str(project), "cloned")
    cloned = tmp_path / "cloned"
    text = (cloned / "params.yaml").read_text()
    more = text.replace(
        "  int8: {model: baseline,", "  fp16: {model: baseline, scheme: float16}\n  int8: {model: baseline,"
    )
    assert more != text
    (cloned / "params.yaml").write_text(more)
    git(cloned, "commit", "--quiet", "--all", "--message", "the request")
    runner.mkdir()
    request = {
        "BASE": "trunk",
        "GITHUB_SHA": git(cloned, "rev-parse", "HEAD"),
        "RUNNER_TEMP": str(runner),
        "CI": "true",
    }
    request["PATH"] = f"{installed.folder / 'bin'}:{BIN}:{os.environ['PATH']}"
    said = {}
    for step in STEPS:
        if "run" in step:
            said[step["name"]] = installed.run(cloned, "bash", "-e", "-o", "pipefail", "-c", step["run"], **request)
    assert "already satisfied: tensorflow==" in said["install"]
    assert "tercet is already installed" in said["install"]
    assert "int8: the very same file" in said["gate"], "nothing was trained twice"
    assert "fp16" in (cloned / "out/report/comparison.csv").read_text()
    assert git(cloned, "rev-parse", "HEAD") == request["GITHUB_SHA"]
