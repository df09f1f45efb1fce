"""A project of the user's own: Tercet is a wheel in an environment of its own, and its repository is nowhere near."""

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tasks import params
from tasks.code.causes import written
from tasks.code.hangs import everything

ROOT = Path(__file__).resolve().parents[2]
MINE = "raise SystemExit('a module of the user was imported')\n"
WHO = ("-c", "user.name=test", "-c", "user.email=test@example.org")
MADE = {".tercet.json", ".dvc", ".dvcignore", ".git", ".gitignore", "dvc.yaml", "params.yaml", "prefect.yaml"}


@pytest.fixture
def mine(tmp_path):
    """A folder that has modules of the names of ours."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("tasks.py", "flows.py"):
        (folder / name).write_text(MINE)
    return folder


def test_the_wheel_holds_all_that_the_repository_is_read_for(tercet_wheel):
    with zipfile.ZipFile(tercet_wheel) as wheel:
        held = set(wheel.namelist())
    forced = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert forced["force-include"] == {place: f"tasks/resources/{place}" for place in forced["force-include"]}
    folders = ("tasks", "flows", "infra/devices", "infra/presets", "infra/starts", "infra/arm64")
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [
        *listed.split(),
        "dvc.yaml",
        "prefect.yaml",
        "requirements.lock",
        "infra/support.json",
        "LICENSE",
        "tercet.py",
    ]
    for place in files:
        ours = place.startswith(("tasks/", "flows/", "tercet"))
        assert (place if ours else f"tasks/resources/{place}") in held, place


def test_a_project_in_an_empty_folder(installed, mine, monkeypatch, tmp_path):
    said = installed.run(mine, "tercet", "init")
    assert said == f"{mine} is a Tercet project now\nparams.yaml is now the preset digits-cnn; `tercet run` runs it\n"
    assert {path.name for path in mine.iterdir()} == MADE | {"tasks.py", "flows.py"}
    for name in ("dvc.yaml", "prefect.yaml", ".dvc/config", ".dvcignore", ".gitignore", "params.yaml"):
        assert (mine / name).read_bytes() == (ROOT / name).read_bytes()
    assert installed.run(mine, "git", "check-ignore", "out/", "data/", ".tercet/").split() == [
        "out/",
        "data/",
        ".tercet/",
    ]
    (mine / "devices").mkdir()
    text = (ROOT / "infra/devices/host-cpu.yaml").read_text().replace("description: ", "description: mine, ")
    (mine / "devices" / "host-cpu.yaml").write_text(text)
    known = installed.run(mine, "tercet", "devices")
    assert re.search(r"^  host-cpu +measured +mine, ", known, re.MULTILINE)
    assert re.search(r"^  ethos-u55-128 +computed ", known, re.MULTILINE)
    assert "depthwise conv" in installed.run(mine, "tercet", "devices", "--support")
    assert "is now the preset every-device" in installed.run(mine, "tercet", "use", "every-device")
    # what it says of code is what the repository says: a project that changes from one to the other runs nothing again
    installed.run(mine, "tercet", "stage", "code")
    monkeypatch.chdir(mine)
    assert written() == everything(params.load())


def test_a_prefect_worker_finds_the_flow_and_no_module_of_the_users(installed, mine):
    deployment = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"][0]
    load = f"from prefect.flows import load_flow_from_entrypoint as f; print(f({deployment['entrypoint']!r}).name)"
    python = str(installed.folder / "bin" / "python")
    assert installed.run(mine, python, "-P", "-c", load, PYTHONPATH=str(mine)) == "tercet\n"  # as a worker sets it


@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml", "prefect.yaml", ".dvc"])
def test_a_folder_that_has_a_project_is_left_alone(name, project, tercet):
    (project / name).mkdir()
    code, out, said = tercet("init")
    assert (code, out) == (1, "")
    assert said == f"tercet: {project}: {name} is there already; `tercet init` wants a folder without\n"
    assert [path.name for path in project.iterdir()] == [name]


def test_what_cannot_be_a_project_is_one_line(project, tercet, monkeypatch, capsys):
    (project / "file").touch()
    assert tercet("init", "new", "--from", "smok")[2].endswith("did you mean 'smoke'?\n")
    assert not (project / "new").exists()
    told = "tercet: file: a folder, or a name that is free, expected; received a file\n"
    assert tercet("init", "file")[::2] == (1, told)
    code, _, err = tercet("init", "")
    assert code == 2
    assert "received ''; the name of a folder is expected" in err
    assert [path.name for path in project.iterdir()] == ["file"]
    monkeypatch.setenv("PATH", str(project))
    code, _, said = tercet("init", "new")
    assert code == 1
    assert said == "tercet: git: git does not start: No such file or directory\n"


def test_a_project_below_a_repository_uses_that_and_its_gitignore_keeps_its_lines(project, tercet):
    subprocess.run(["git", "init", "--quiet"], timeout=60, check=True)
    (project / "new").mkdir()
    (project / "new" / ".gitignore").write_text("/mine/\n/out/")
    code, out, _ = tercet("init", "new", "--from", "mnist-cnn")
    assert code == 0
    first, second, *_ = out.splitlines()
    assert first == f"{project / 'new'} is a Tercet project now"
    assert second.startswith("cd new: params.yaml is now the preset mnist-cnn; `tercet run` runs it, once its data are")
    assert not Path(".git").exists()
    lines = Path(".gitignore").read_text().splitlines()
    assert lines[:2] == ["/mine/", "/out/"]
    assert set(lines) >= set((ROOT / ".gitignore").read_text().splitlines())
    assert len(lines) == len(set(lines))


def test_a_project_begins_with_a_preset_of_the_one_that_it_is_made_in(project, tercet):
    """Whose own files come first."""
    (project / "infra/presets").mkdir(parents=True)
    text = (ROOT / "infra/presets/smoke.yaml").read_text().replace("epochs: 2", "epochs: 3")
    for name in ("mine", "smoke"):
        (project / f"infra/presets/{name}.yaml").write_text(text)
    for name in ("mine", "smoke"):
        os.chdir(project)
        assert tercet("init", name, "--from", name)[0] == 0
        assert (project / name / "params.yaml").read_text() == text


def ran(said):
    """The stages that a run says it ran."""
    return set(re.findall(r"^\[\d+/\d+\] (.+): ran in [0-9.]+ s$", said, re.MULTILINE))


NOTHING = "everything is up to date: no stage to run"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_project_runs_moves_and_is_cloned(installed, unspoilt, mine, tmp_path):
    installed.run(tmp_path, "tercet", "init", "mine", "--from", "smoke")
    assert {"train", "report"} <= ran(installed.run(mine, "tercet", "run"))
    assert "Running stage" not in installed.run(mine, "dvc", "repro")
    assert NOTHING in installed.run(mine, "tercet", "run")

    moved = tmp_path / "a folder of $HOME's"
    mine.rename(moved)
    assert NOTHING in installed.run(moved, "tercet", "run")
    copied = tmp_path / "a copy"
    shutil.copytree(moved, copied, symlinks=True)
    assert NOTHING in installed.run(copied, "tercet", "run")

    (graph,) = (installed.folder / "lib").rglob("resources/dvc.yaml")  # what it says stays, how it says it does not
    text = graph.read_text()
    graph.write_text(f"# of another version\n{text}")
    assert "dvc.yaml: updated\n" in installed.run(copied, "tercet", "update")
    assert (copied / "dvc.yaml").read_text().startswith("# of another version\n")
    assert NOTHING in installed.run(copied, "tercet", "run")
    graph.write_text(text)

    (file,) = (installed.folder / "lib").rglob("tasks/bench/kinds/ethos_u.py")  # an update of Tercet changes it
    text, variants = file.read_text(), ("fp32", "int8", "pruned50-clustered8-int8")
    file.write_text(f"# a comment\n{text}")
    assert NOTHING in installed.run(copied, "tercet", "run")
    file.write_text(f"{text}\n\nMORE = 1\n")
    estimates = {f"benchmark {variant} @ ethos-u55-128" for variant in variants}
    assert ran(installed.run(copied, "tercet", "run")) == {"code", "bundle ethos-u55-128"} | estimates
    file.write_text(text)

    remote = tmp_path / "remote"
    installed.run(moved, "dvc", "remote", "modify", "local", "url", str(remote))
    installed.run(moved, "dvc", "push", "--quiet")
    for words in (["add", "--all"], [*WHO, "commit", "--quiet", "--message", "all"]):
        installed.run(moved, "git", *words)
    installed.run(tmp_path, "git", "clone", "--quiet", str(moved), "cloned")
    cloned = tmp_path / "cloned"
    installed.run(cloned, "dvc", "pull", "--quiet")
    assert NOTHING in installed.run(cloned, "tercet", "run")

    other = tmp_path / "cpuinfo"  # of another machine: only what names a processor is old there
    other.write_text(re.sub(r"(?m)^(model name\s*:).*", r"\1 another", Path("/proc/cpuinfo").read_text()))
    hide = 'mount --bind "$0" /proc/cpuinfo && exec tercet run'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*words, "true"], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("no hardware: the kernel lets nobody mount here")
    found = ran(installed.run(cloned, *words, hide, str(other)))
    named = {stage.format(variant) for stage in ("evaluate {}", "benchmark {} @ host-cpu") for variant in variants}
    assert found == named | {"code", "fingerprint host-cpu", "report", "bundle host-cpu", "bundle ethos-u55-128"}
