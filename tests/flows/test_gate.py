"""`tercet gate` on a project with a history: real files, real answers, real turns."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc.repo import Repo

from flows import before, gate
from flows.commands import parser
from flows.compare import then
from flows.start import revision
from flows.views import gate as view
from tasks import paths
from tasks.bench import shots
from tasks.errors import DataError, ParamsError, WordsError
from tasks.examples import Arrays, dataset
from tasks.files import sha256
from tasks.formats import sizes
from tasks.gate import compare
from tasks.quantize.litert import inspect
from tasks.records import ArtifactCard, read
from tasks.records.gate import Finding, Gated
from tasks.track import versions
from tests import least

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DVC_YAML = """
stages:
  prepare:
    cmd: tercet stage prepare
    outs: [out/data]
  quantize:
    foreach: [float32, int8]
    do:
      cmd: tercet stage quantize ${item}
      outs: ["out/artifacts/${item}"]
"""
WHO = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
IMAGES = np.random.default_rng(0).random((900, 8, 8, 1), np.float32)


def put(variant, golden):
    """The file of a variant, as `quantize` would have left it."""
    folder = paths.artifact(variant)
    folder.mkdir(parents=True, exist_ok=True)
    content = (GOLDEN / f"{golden}.tflite").read_bytes()
    (folder / "model.tflite").write_bytes(content)
    graph = inspect(content)
    ArtifactCard(
        variant=variant, model="baseline", scheme=variant, file="model.tflite", sha256=sha256(folder / "model.tflite"),
        **sizes.of(content), inputs=graph.inputs, outputs=graph.outputs, operators=graph.operators, converter="golden",
    ).save(folder / "card.json")  # fmt: skip


def prepared(mean):
    paths.DATA.mkdir(parents=True, exist_ok=True)
    (paths.DATA / "preprocess.json").write_text(json.dumps({"inputs": {"image": {"mean": mean}}}))


def commit(message):
    if paths.OUT.exists():
        Repo(".").commit(force=True)
    for words in (["add", "--all"], [*WHO, "commit", "--quiet", "--message", message]):
        subprocess.run(["git", *words], check=True, timeout=60)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A project of two commits, in a folder of its repository: in the second one int8 is another network."""
    root = tmp_path_factory.mktemp("gated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_SITE_CACHE_DIR", str(root / "dvc"))
        subprocess.run(["git", "init", "--quiet"], check=True, timeout=60)
        (root / "project").mkdir()
        patch.chdir(root / "project")
        Repo.init(subdir=True)
        Path("dvc.yaml").write_text(DVC_YAML)
        Path(".gitignore").write_text("/out/\n")
        commit("empty")
        for variant in ("float32", "int8"):
            put(variant, variant)
        prepared(0.0)
        commit("first")
        put("int8", "mixed")
        commit("second")
    return root


@pytest.fixture
def project(history, tmp_path, monkeypatch):
    """A copy of it to work in; the examples are those whose true class the first float32 file tells."""
    shutil.copytree(history, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone" / "project")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    return Path.cwd()


@pytest.fixture
def settings(monkeypatch):
    """What params.yaml says; changed by keywords."""

    def say(**limits):
        variants = {name: {"model": "baseline", "scheme": name} for name in ("float32", "int8")}
        found = least.params(
            {"source": "digits"},
            quantize=variants,
            benchmark={
                "reference": "float32",
                "devices": ["host-cpu"],
                "protocol": {"mode": "quick", "window_s": 0.02},
            },
            gate=limits,
        )
        monkeypatch.setattr(gate.params, "load", lambda: found)
        return found

    say()
    return say


@pytest.fixture
def told(monkeypatch):
    """Which variants are compared on which devices, in place of comparing them."""
    seen = []

    def findings(pair, names):
        seen.append((pair, names))
        yield Finding(variant=pair.variant, outcome="passed", reason="looked at")

    monkeypatch.setattr(gate, "findings", findings)
    return seen


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            {"figure": "latency_ms", "device": "pi", "outcome": "breach", "limit": 0.05, "value": 0.0624, "low": 0.0491,
             "high": 0.071, "n": 20},
            "BREACH     int8 @ pi: latency_ms 6.2 % more [4.9 to 7.1], limit 5, 20 turns",
        ),
        (
            {"figure": "latency_ms", "device": "pi", "outcome": "undecided", "limit": 0.05, "value": -0.001,
             "low": -0.11, "high": 0.06, "n": 112},
            "undecided  int8 @ pi: latency_ms 0.1 % less [−11 to 6], limit 5: 112 turns cannot tell; a quieter machine "
            "could, or more of gate.seconds",
        ),
        (
            {"figure": "quality", "name": "accuracy", "outcome": "undecided", "limit": 0.01, "value": 0.0056,
             "low": -0.022, "high": 0.035, "n": 359, "enough": 11_799},
            "undecided  int8: accuracy 0.56 points worse [−2.2 to 3.5], limit 1: 359 examples cannot tell; about "
            "12,000 could",
        ),
        (
            {"figure": "quality", "name": "rmse", "unit": "", "outcome": "passed", "limit": 0.1, "value": -0.0123,
             "low": -0.03, "high": 0.02, "n": 900},
            "passed     int8: rmse 0.0123 better [−0.0300 to 0.0200], limit 0.100, 900 examples",
        ),
        (
            {"figure": "bytes", "outcome": "passed", "limit": 0.1, "value": 0.0, "low": 0.0, "high": 0.0},
            "passed     int8: bytes 0 % more, limit 10",
        ),
        (
            {"figure": "latency_ms", "device": "npu", "outcome": "breach", "limit": 0.1, "value": 0.5, "low": 0.5,
             "high": 0.5, "reason": "estimated"},
            "BREACH     int8 @ npu: latency_ms 50 % more, limit 10 (estimated)",
        ),
    ],
)  # fmt: skip
def test_a_finding_is_one_line(found, line):
    assert view.line(Finding(variant="int8", **found)) == line


def test_the_workflow_says_what_the_command_takes():
    text = (GOLDEN.parents[1] / "infra" / "starts" / "workflow.yaml").read_text()
    ((job,),) = (yaml.safe_load(text)["jobs"].values(),)
    runs = [step["run"] for step in job["steps"] if "run" in step]
    (command,) = [shlex.split(run, comments=True) for run in runs if run.startswith("tercet gate")]
    options = parser.of("gate").make_context("tercet gate", command[2:]).params
    assert (options["against"], list(options["variants"])) == ("before", [])


def test_what_got_worse_is_told_line_by_line_and_the_code_says_so(project, settings, monkeypatch, capsys, by_golden):
    monkeypatch.setattr(dataset, "load", lambda split, _count=None: Arrays({"image": IMAGES}, {"label": by_golden}))
    monkeypatch.setattr(shots, "STARVED", 0.0)
    settings(seconds=600, max_growth={"latency_ms": 20.0, "gzip_bytes": None, "bytes": 0.02})
    assert gate.gate("HEAD~1", [], []) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "passed     float32: the very same file"
    assert lines[1].startswith("BREACH     int8: bytes ")
    assert lines[2].startswith("BREACH     int8: accuracy ")
    assert " points worse [" in lines[2]
    assert lines[2].endswith("limit 1, 900 examples")
    assert lines[3].startswith("passed     int8 @ host-cpu: latency_ms ")
    turns = re.fullmatch(r".* limit 2000, (\d+) turns", lines[3])  # more than 8 where a window was disturbed
    assert turns
    assert int(turns[1]) >= 8
    assert lines[4].startswith("against HEAD~1 (")
    assert ": 2 worse, 0 undecided, 2 passed, in " in lines[4]
    kept = read(Gated, paths.GATE)
    assert [each.outcome for each in kept.findings] == ["passed", "breach", "breach", "passed"]
    sizes_now = [(GOLDEN / f"{name}.tflite").stat().st_size for name in ("mixed", "int8")]
    assert kept.findings[1].value == sizes_now[0] / sizes_now[1] - 1


@pytest.fixture(scope="module")
def by_golden():
    """The class that LiteRT tells of each image by the golden int8 file."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(GOLDEN / "int8.tflite"), num_threads=1)
    run.allocate_tensors()
    (taken,), (given,) = run.get_input_details(), run.get_output_details()
    scale, zero = taken["quantization"]
    found = []
    for image in np.clip(np.round(IMAGES / scale) + zero, -128, 127).astype(np.int8):
        run.set_tensor(taken["index"], image[None])
        run.invoke()
        found.append(int(run.get_tensor(given["index"])[0].argmax()))
    return np.array(found)


def test_nothing_new_is_passed_without_a_device(project, settings, capsys):
    assert gate.gate("HEAD", [], []) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "passed     float32: the very same file",
        "passed     int8: the very same file",
    ]


def test_what_cannot_be_told_is_no_pass(project, settings, monkeypatch, capsys):
    def refuse(*_):
        raise DataError("the examples are gone")

    monkeypatch.setattr(compare.timed, "opened", refuse)
    monkeypatch.setattr(dataset, "load", lambda split: Arrays({"image": IMAGES[:9]}, {"label": np.zeros(9, int)}))
    settings(max_growth={"gzip_bytes": None, "bytes": None})
    assert gate.gate("HEAD~1", ["int8"], []) == 3
    lines = capsys.readouterr().out.splitlines()
    assert "9 examples cannot tell; about " in lines[0]
    assert lines[1] == "undecided  int8 @ host-cpu: the examples are gone"


def test_variants_and_devices_are_those_that_are_named(project, settings, told):
    gate.gate("HEAD~1", ["int8"], ["host-cpu"])
    ((pair, names),) = told
    assert (pair.variant, tuple(names)) == ("int8", ("host-cpu",))
    assert pair.before.artifact.card.sha256 == sha256(GOLDEN / "int8.tflite")
    assert pair.now.artifact.card.sha256 == sha256(GOLDEN / "mixed.tflite")
    assert [each.card.variant for each in pair.sides] == ["int8", "int8 as it was"]


@pytest.mark.parametrize(
    ("against", "variants", "devices", "why"),
    [
        ("HEAD~1", ["int9"], [], r"no variant is named 'int9'; allowed: float32, int8\. did you mean 'int8'"),
        ("HEAD~1", [], ["host"], r"no device is named 'host'; allowed: host-cpu"),
        ("champion-tpu", [], [], r"'champion-tpu'; a revision of git .* 'trial', of which there are: none"),
    ],
)
def test_what_is_not_there_is_one_line(project, settings, told, against, variants, devices, why):
    with pytest.raises(ParamsError, match=why):
        gate.gate(against, variants, devices)
    assert not told


NO_COMMITS = ["nosuch", "HEAD^{tree}", "HEAD:", "HEAD:project/dvc.yaml", "HEAD^{blob}", "HEAD~9", "A..B", "0" * 40]


@pytest.fixture
def said(tercet, monkeypatch):
    """The command, whose words for standard error stay in this process."""
    monkeypatch.setattr("flows.start.quiet.quiet_libraries", lambda: None)
    return tercet


@pytest.mark.parametrize("name", NO_COMMITS)
def test_what_is_no_commit_is_code_2_and_one_line(name, project, settings, told, said):
    code, out, err = said("gate", "--against", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tercet: --against: received {name!r}; a revision of git is expected, or an alias ")
    with pytest.raises(WordsError, match=r"--against: received .*; a revision of git is expected"):
        then(name)
    assert not told


@pytest.mark.parametrize("name", ["HEAD", *NO_COMMITS])
def test_a_repository_without_a_commit_has_no_revision(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    subprocess.run(["git", "init", "--quiet"], check=True, timeout=60)
    Repo.init()
    with revision.at(name) as found:
        assert found is None


def test_a_project_that_git_does_not_know_is_told_the_mend(project, settings, told, said):
    shutil.rmtree(project.parent / ".git")
    mend = f"{project} is not a git repository; DVC keeps versions by git: `git init` here"
    code, out, err = said("gate", "--against", "HEAD")
    assert (code, out, err.count("\n"), err) == (1, "", 1, f"tercet: HEAD: {mend}\n")
    with pytest.raises(DataError, match=mend):
        then("HEAD")


def test_names_that_are_not_there_are_code_2(project, settings, told, said):
    for words in (["int9"], ["--device", "x"]):
        assert said("gate", "--against", "HEAD~1", *words)[0] == 2


def test_a_revision_without_outputs_is_one_line(project, settings, told):
    with pytest.raises(DataError, match=r"HEAD~2: dvc\.lock there knows no float32, int8; was it committed after"):
        gate.gate("HEAD~2", [], [])


def test_what_neither_the_cache_nor_a_remote_has_is_one_line(project, settings, told):
    shutil.rmtree(project / ".dvc" / "cache")
    with pytest.raises(
        DataError, match=r"out/artifacts/float32 as it was at HEAD~1 is neither in .*`dvc push` where it was made"
    ):
        gate.gate("HEAD~1", [], [])


def test_what_the_cache_lacks_comes_from_the_remote(project, settings, told):
    remote = project.parent / "remote"
    (project / ".dvc" / "config").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n")
    shutil.move(project / ".dvc" / "cache", remote)  # of the same layout
    gate.gate("HEAD~1", ["int8"], [])
    assert told[0][0].before.artifact.card.sha256 == sha256(GOLDEN / "int8.tflite")


def test_other_data_are_told_and_other_inputs_are_not_asked_about(project, settings, told, capsys):
    prepared(0.5)
    Repo(".").commit(force=True)
    gate.gate("HEAD~1", ["int8"], [])
    assert told[0][0].other_inputs == before.OTHER_INPUTS
    assert before.OTHER_DATA in capsys.readouterr().out
    assert read(Gated, paths.GATE).notes == (before.OTHER_DATA,)


def test_a_variant_that_is_new_is_told(project, settings, told, capsys):
    found = settings()
    entries = {**found.quantize, "int4": found.quantize["int8"]}
    gate.params.load = lambda: found.model_copy(update={"quantize": entries})
    gate.gate("HEAD~1", [], [])
    assert "note: new since HEAD~1, so nothing to compare: int4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("alias", "device"),
    [
        ("champion-host-cpu", "host-cpu"),
        ("candidate-raspberry-pi-5", "raspberry-pi-5"),
        ("candidate-roofline-raspberry-pi-5", "roofline-raspberry-pi-5"),  # whose end is another device's name
    ],
)
def test_an_alias_is_compared_with_what_its_device_would_be_shipped(
    alias, device, project, settings, told, monkeypatch, tmp_path
):
    found = settings()
    known = {"devices": ("host-cpu", "raspberry-pi-5", "roofline-raspberry-pi-5")}
    found = found.model_copy(update={"benchmark": found.benchmark.model_copy(update=known)})
    monkeypatch.setattr(gate.params, "load", lambda: found)
    file = tmp_path / "champion.tflite"
    shutil.copy(GOLDEN / "two.tflite", file)
    tags = {"variant": "float32", "model": "baseline", "scheme": "float32", "artifact_sha256": sha256(file)}
    monkeypatch.setattr(versions, "aliases", lambda model: {alias: "4"})
    monkeypatch.setattr(
        versions, "fetch", lambda *asked: versions.Version(f"{asked[0]}/{asked[1]}", tags, file, sha256(file))
    )
    monkeypatch.setattr(before, "_shipped", lambda devices: {(device,): "int8"}[devices])
    gate.gate(alias, [], [])
    ((pair, names),) = told
    assert (pair.variant, names) == ("int8", (device,))
    assert pair.before.artifact.card.bytes == file.stat().st_size
    assert pair.before.evaluation is None
    assert pair.other_inputs == before.OTHER_INPUTS  # it takes two of other shapes
    assert read(Gated, paths.GATE).resolved == "trial/4"
