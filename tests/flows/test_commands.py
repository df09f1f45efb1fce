"""The table of commands and what typer makes of it: words, examples, folders, and what a shell completes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import COMMANDS, complete, parser

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_understood(name, tercet):
    assert parser.of(name).make_context(f"tercet {name}", COMMANDS[name].example.split()).params is not None
    code, out, err = tercet(name, "--help")
    assert (code, err) == (0, "")
    assert COMMANDS[name].text in " ".join(out.split())
    assert f"tercet {name} {COMMANDS[name].example}".rstrip() in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--verbos"], "No such option: --verbos"),
        (["gate"], "Missing option '--against'"),
        (["gate", "--against", ""], "received ''; a revision of git is expected"),  # "$BASE", which is not set
        (["compare", "--against", " "], "received ' '; a revision of git is expected"),
        (["keys", "make"], "'make' is not one of 'show', 'new', 'rotate', 'revoke'"),
        (["ship", "--back", "--status"], "--back, --status and --unsigned: one of them alone"),
        (["ui", "--port", "65536"], "received '65536'; a number from 1 to 65535 is expected"),
    ],
)
def test_words_that_mean_nothing_are_one_line_and_code_2(words, said, unmade, tercet):
    code, out, err = tercet(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert err.endswith(f"; `tercet {words[0]} --help` says what it takes\n")


def test_an_option_that_is_none_has_a_near_match(tercet):
    code, out, err = tercet("--versio")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("tercet: no option is named '--versio'; ")
    assert "did you mean '--version'?" in err


def test_a_folder_before_the_command_is_where_it_works(unmade, tercet, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert tercet("compare")[2].endswith("`tercet init DIR` makes one\n")
    code, _, err = tercet("-C", str(unmade), "compare")
    assert code == 1
    assert "out/report/comparison.json" in err
    assert tercet("-C", "nowhere", "compare") == (1, "", "tercet: nowhere: No such file or directory\n")
    assert tercet("-C") == (2, "", "tercet: -C: a folder, and a command behind it, expected; received none\n")


@pytest.mark.parametrize("start", ["below", "-C"])
def test_words_below_the_project_are_of_it_and_files_are_of_where_one_is(start, unmade, tercet, monkeypatch):
    asked = []
    monkeypatch.setattr("flows.advise.advise", lambda subject, *_limits: asked.append((Path.cwd(), subject)))
    monkeypatch.setattr("flows.services.backup", lambda file: asked.append((Path.cwd(), file)) or "")
    (unmade / "notes").mkdir()
    (unmade / "notes" / "own.tflite").touch()
    for words in (["advise", "int8"], ["advise", "own.tflite"], ["backup", "b.tar"], ["backup", "/tmp/b.tar"]):
        monkeypatch.chdir(unmade / "notes" if start == "below" else unmade)
        assert tercet(*([] if start == "below" else ["-C", "notes"]), *words)[0] == 0
    files = [str(unmade / "notes" / "own.tflite"), unmade / "notes" / "b.tar", Path("/tmp/b.tar")]
    assert asked == [(unmade, word) for word in ("int8", *files)]


def test_no_other_project_runs_than_the_params_yaml_that_is_here(unmade, tercet, monkeypatch):
    (unmade / "other" / "notes").mkdir(parents=True)
    (unmade / "other" / "params.yaml").write_text("name: other\n")
    for place in ("other", "other/notes"):
        monkeypatch.chdir(unmade / place)
        code, out, err = tercet("compare")
        assert (code, out) == (1, "")
        assert err.startswith(f"tercet: {unmade}/other/params.yaml: belongs to no project")
        assert f"`tercet -C {unmade}`" in err
        assert "out/report/comparison.json" in tercet("-C", str(unmade), "compare")[2], "which says what is meant"


def test_a_file_is_advised_on_where_there_is_no_project(project, tercet, monkeypatch):
    asked = []
    monkeypatch.setattr("flows.advise.advise", lambda subject, *_limits: asked.append(subject))
    (project / "own.tflite").touch()
    assert tercet("advise", "own.tflite")[0] == 0
    assert asked == [str(project / "own.tflite")]


def test_names_of_the_project_complete_a_word(unmade, monkeypatch):
    assert complete.variants("pruned") == ["pruned80-int8", "pruned80-clustered16-int8"]
    assert complete.models("b") == ["baseline"]
    assert complete.devices("ethos-u55") == ["ethos-u55-128"]
    assert "digits-cnn" in complete.presets("digits-")
    (unmade / "params.yaml").write_text("quantize: [")
    assert complete.variants("") == []
    (unmade / "params.yaml").unlink()
    assert complete.variants("") == []


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [("tercet comp", 1, ["compare"]), ("tercet sensitivity in", 2, ["int8"]), ("tercet ship --st", 2, ["--status"])],
)
def test_a_shell_is_told_what_a_word_may_become(words, index, expected, unmade):
    asked = {"_TERCET_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import console; console()"],
        env=os.environ | asked | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == expected


def test_a_dry_run_names_the_stages_and_makes_nothing(make_clone):
    clone = make_clone()
    stages = clone.run("tercet", "run", "--dry-run", "--variant", "int8", "--device", "host-cpu").splitlines()
    assert {"train", "quantize@fp32", "quantize@int8", "benchmark@int8-host-cpu", "fingerprint@host-cpu"} < set(stages)
    assert not [name for name in stages if "ethos" in name or "pruned" in name]
    assert stages.index("train") < stages.index("quantize@int8") < stages.index("benchmark@int8-host-cpu")
    assert not list((clone.root / "out").glob("models*"))
    told = clone.run("tercet", "run", "--device", "host-cpi", code=2)
    assert told == "tercet: --device: received 'host-cpi'; allowed: ethos-u55-128, host-cpu. did you mean 'host-cpu'?\n"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_part_runs_alone_and_quietly_and_the_rest_after_it(make_clone, outcomes):
    clone = make_clone()
    assert clone.run("tercet", "run", "--quiet", "--variant", "int8", "--device", "host-cpu") == ""
    made = {path.stem for path in (clone.root / "out/benchmarks").glob("*.json")}
    assert made == {"fp32@host-cpu", "int8@host-cpu"}
    assert not (clone.root / "out/report").exists()
    told = clone.run("tercet", "run", "--variant", "int8", "--device", "host-cpu")
    assert "int8" in told
    assert "pruned" not in told
    rest = outcomes(clone.run("tercet", "run"))["ran"]
    assert "benchmark int8 @ ethos-u55-128" in rest
    assert not rest & {"train", "quantize int8", "benchmark int8 @ host-cpu"}
    assert clone.run("tercet", "run", "--quiet") == ""
