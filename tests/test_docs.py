"""The documentation builds without a warning, and says what is so: commands, keys, links, the README's length."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows import support
from flows.commands import COMMANDS, parser
from flows.operators import Matrix
from tasks import paths
from tasks.params import Params
from tasks.params.prepare import Prepare
from tasks.params.training import Train

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "infra" / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages as HTML, by their names; a warning is an error."""
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", DOCS, ROOT / "infra", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return {page.stem: page.read_text(encoding="utf-8") for page in (out / "docs").rglob("*.html")}


def test_every_page_is_built_and_leads_from_the_index(built):
    assert {page.stem for page in PAGES} <= built.keys()
    for page in PAGES:
        if page.stem != "index":
            assert f'href="{page.relative_to(DOCS).with_suffix(".html").as_posix()}"' in built["index"], page


@pytest.mark.parametrize("section", [Params, Prepare, Train], ids=lambda section: section.__name__)
def test_the_reference_has_every_key_and_what_the_code_says_of_it(section: type[BaseModel], built):
    for key in section.model_fields:
        assert f'<span class="pre">{key}</span>' in built["params"], key
    assert "time: what is latest judges what is earlier" in " ".join(built["params"].split())  # a comment of Split.by


def test_the_reference_of_commands_is_what_their_help_says(built):
    for name, about in COMMANDS.items():
        assert f"tercet {name}" in built["commands"]
        assert about.text.split("`")[0] in " ".join(built["commands"].split())


def test_the_page_of_what_runs_where_has_each_operator_and_each_reason(built):
    matrix = Matrix.model_validate_json((ROOT / paths.SUPPORT).read_bytes())
    page = " ".join(built["support"].split())
    for cell in matrix.cells:
        assert f"<p>{cell.operator}</p>" in page, cell.operator
    for operator, row in support.rows(matrix).items():
        cells = "".join(
            f'<td><p><code class="docutils literal notranslate"><span class="pre">{c}</span></code></p></td> '
            for c in row
        )
        assert cells in page, operator
    assert page.count("scheme int8: the model has a loop, which there are no integers for: gru (GRU)") == 1


def commands():
    """Every command of ours that a page has one type, with where it stands."""
    for page in [*PAGES, ROOT / "README.md"]:
        for line in re.findall(r"^ *\$ (tercet .+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield page, line


def test_every_command_that_a_page_has_one_type_is_understood():
    found = list(commands())
    assert len(found) > 10
    for page, line in found:
        _, name, *words = shlex.split(line)
        assert parser.of(name).make_context(f"tercet {name}", words).params is not None, f"{page}: {line}"


def test_who_deploys_says_what_the_deployments_ask_of_the_environment():
    """What is not told stays a placeholder: every run then begins in an empty folder, and fails."""
    project = ROOT / "prefect.yaml"
    asked = set(re.findall(r"\{\{ \$(\w+) \}\}", project.read_text(encoding="utf-8")))
    assert asked == {"TERCET_HOME"}
    found = []
    for page in [*PAGES, project]:
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"^[# ]*(.*\bprefect .*\bdeploy --all)$", text, re.MULTILINE):
            found.append(page.name)
            given = {word.partition("=")[0] for word in line.split(" prefect ")[0].split()}
            assert asked <= given, f"{page}: {line}"
    assert sorted(found) == ["prefect.yaml", "schedule.md"]


def test_every_command_has_a_line_at_a_glance():
    told = re.findall(r"^tercet (\w+)(.*)$", (DOCS / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    first = {name for name, _ in told}
    assert first <= set(COMMANDS)
    for name in set(COMMANDS) - first - {"stage"}:  # which dvc.yaml calls
        assert any(re.search(rf"[;,] {name}\b", rest) for _, rest in told), name


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_what_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_readme_is_a_page_to_be_read_at_once():
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 60


def steps():
    """What the tutorial has one type, in its order."""
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_can_be_walked_in_a_folder_outside_of_the_repository(tmp_path, monkeypatch):
    """By the installed command, with nothing of ours on the path of modules."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    folder, said = tmp_path, {}
    for step in steps():
        if step.startswith("cd "):
            folder /= step.removeprefix("cd ")
            continue
        done = subprocess.run(
            ["bash", "-c", step], cwd=folder, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{step}:\n{done.stdout}\n{done.stderr}"
        said.setdefault(step, []).append(done.stdout + done.stderr)
    first, second = said["tercet run"]
    assert "train: ran" in first
    assert "quantize fp16: ran" in second
    assert "train: ran" not in second
    assert said["tercet run --dry-run"][1].splitlines()[0] != ""
    assert "every figure is what it was at HEAD" in said["tercet compare --against HEAD"][0]
