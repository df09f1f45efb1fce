"""Wrong, missing and odd arguments and files: one line each that says what to do, and no traceback."""

import shutil
import sys
from pathlib import Path

import pytest

from flows import cli
from tasks import paths
from tasks.records import Comparison

ROOT = Path(__file__).resolve().parents[2]
NO_FOLDER = "the name of a folder is expected"
NO_NUMBER = "a number from 1 is expected"


@pytest.fixture
def tercet(project, monkeypatch, capsys):
    """The command in this process and in a project without outputs: the exit code, and what it says."""
    shutil.copy(ROOT / "dvc.yaml", project)
    shutil.copy(ROOT / "infra" / "presets" / "smoke.yaml", paths.PARAMS)
    (project / "file").touch()
    monkeypatch.setattr("flows.start.quiet.quiet_libraries", lambda: None)
    monkeypatch.setattr("flows.by_dvc.quiet_libraries", lambda: None)
    monkeypatch.setattr("flows.by_dvc.log_to_terminal", lambda: None)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tercet", *words])
        try:
            code = cli.main()
        except SystemExit as left:
            code = left.code
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", ""], f"Invalid value for 'DIR': received ''; {NO_FOLDER}"),
        (["init", " "], f"Invalid value for 'DIR': received ' '; {NO_FOLDER}"),
        (["save", "baseline", ""], f"Invalid value for 'DIR': received ''; {NO_FOLDER}"),
        (["search", "--trials", "0"], f"Invalid value for '--trials': received '0'; {NO_NUMBER}"),
        (["search", "--trials", "\u00e9"], f"Invalid value for '--trials': received '\u00e9'; {NO_NUMBER}"),
    ],
)
def test_a_word_that_is_none_is_one_line_that_names_the_help(words, said, tercet):
    code, told = tercet(*words)
    assert code == 2
    assert told == f"tercet {words[0]}: {said}; `tercet {words[0]} --help` says what it takes\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", "file/in"], "file/in: Not a directory"),
        (["stage", "prepare"], "out/code/prepare.json: not there, or not whole: `tercet run` writes it, or `dvc "),
    ],
)
def test_what_cannot_be_done_is_one_line(words, said, tercet):
    code, told = tercet(*words)
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith(f"tercet: {said}")


NAMELESS = [
    (["use", "nonesuch"], "no preset is named 'nonesuch'; allowed: "),
    (["init", "new", "--from", "\u00e9"], "no preset is named '\u00e9'; allowed: "),
    (["init", "new", "--data", "t.csv", "--target", "c"], "--target: received 'c'; allowed: a, b."),
    (["init", "new", "--data", "t.csv", "--target", "a", "--device", "x"], "--device: received 'x'; allowed: "),
    (["run", "--variant", "x"], "--variant: received 'x'; allowed: "),
    (["run", "--device", "x"], "--device: received 'x'; allowed: "),
    (["run", "--runner", "x"], "runner: received 'x'; allowed: "),
    (["compare", "--sort", "energy"], "--sort: received 'energy'; allowed: "),
    (["compare", "x"], "VARIANT: received 'x', of which there are none; allowed: "),
    (["compare", "--device", "x"], "--device: received 'x', of which there are none; allowed: "),
    (["compare", "--sort", "bytes", "--against", "HEAD"], "--sort and --against: one of them alone"),
    (["sensitivity", ""], "no variant is named ''; allowed: "),
    (["speculate", "x", "y"], "no variant is named 'x'; allowed: "),
    (["save", "x", "folder"], "no model is named 'x'; allowed: "),
    (["stage", "x"], "no stage is named 'x'; allowed: "),
    (["stage", "quantize", "x"], "stage quantize: no variant of params.yaml is 'x'; allowed: "),
    (["stage", "quantize"], "stage quantize takes variant; received none"),
    (["stage", "benchmark", "int8"], "stage benchmark takes variant and device; received int8"),
    (["devices", "--probe", "x"], "device: received 'x'; allowed: "),
    (["devices", "--published", "x"], "device: nobody's figures are known of 'x'; allowed: "),
    (["advise", "x"], "received 'x'; a .tflite file, or a variant of this project: none is made here"),
    (["keys", "rotate", "x"], "root or release expected; received 'x'"),
    (["ship", "x"], "no device 'x' is measured here; allowed: "),
    (["ship"], "received no device; name those whose bundles are meant"),
]


@pytest.mark.parametrize(("words", "said"), NAMELESS, ids=[" ".join(words) for words, _ in NAMELESS])
def test_a_word_that_names_nothing_is_one_line_and_code_2(words, said, tercet, monkeypatch):
    monkeypatch.setattr("flows.run.quiet_libraries", lambda **_: paths.STATE.mkdir(exist_ok=True))
    monkeypatch.setattr("flows.run.log_to_terminal", lambda _: None)
    monkeypatch.setattr("flows.by_dvc.check_code", lambda *_: None)
    Path("t.csv").write_text("a,b\n1,2\n3,4\n")
    paths.REPORT.mkdir(parents=True)
    Comparison(name="w", reference="fp32", rows=()).save(paths.REPORT / "comparison.json")
    code, told = tercet(*words)
    assert (code, told.count("\n")) == (2, 1), told
    assert told.startswith(f"tercet: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "params.yaml: Is a directory"),
        (b"\xe9", "params.yaml has changes of yours; keep a copy and say `tercet use smoke --force`"),
        (b"", "params.yaml has changes of yours; keep a copy and say `tercet use smoke --force`"),
    ],
    ids=["a folder", "no UTF-8", "empty"],
)
def test_what_is_no_preset_is_not_replaced(content, said, tercet):
    paths.PARAMS.unlink()
    if content is None:
        paths.PARAMS.mkdir()
    else:
        paths.PARAMS.write_bytes(content)
    assert tercet("use", "smoke") == (1, f"tercet: {said}\n")
    assert paths.PARAMS.is_dir() or paths.PARAMS.read_bytes() == content


def test_a_list_of_what_git_ignores_keeps_its_bytes(tercet):
    folder = Path("--from")
    folder.mkdir()
    (folder / ".gitignore").write_bytes(b"/caf\xe9/")
    assert tercet("init", "--", "--from") == (0, "")
    first, _, rest = Path(".gitignore").read_bytes().partition(b"\n")
    assert (first, b"/out/" in rest.splitlines()) == (b"/caf\xe9/", True)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 99}', '{"rows": ['])
def test_a_record_of_another_version_says_what_makes_it_anew(text, tercet):
    paths.REPORT.mkdir(parents=True)
    (paths.REPORT / "comparison.json").write_text(text)
    code, told = tercet("compare")
    assert (code, told.count("\n"), ": :" in told) == (1, 1, False)
    assert told.endswith("another version of Tercet may have written it: `tercet run`\n")


def test_a_fault_of_yaml_is_at_a_line(tercet):
    paths.PARAMS.write_text("name: a\nname: b\n")
    assert tercet("publish") == (
        1,
        "tercet: params.yaml: not valid YAML: the key 'name' stands there twice (line 2: `name: b`)\n",
    )
