"""Which outputs an edit or an upgrade makes old: by what `out/code` says before and after, on the project itself."""

import shutil
from pathlib import Path

import pytest

from tasks import closure, params, paths
from tasks.bench.runner import machine
from tasks.code import hangs
from tasks.stages import code

ROOT = Path(__file__).resolve().parents[3]
FP32 = {"fp32": {"model": "baseline", "scheme": "float32"}}
DEVICES = ["host-cpu", "ethos-u55-128", "roofline-raspberry-pi-5"]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """What is known of parsed files: the tests share it."""
    return tmp_path_factory.mktemp("known") / "parsed.json"


@pytest.fixture
def copy(project, known, monkeypatch):
    """A copy of our own code that may be edited, with a project around it."""
    shutil.copytree(ROOT / "tasks", project / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "infra", project / "infra")
    shutil.copy(ROOT / "infra/presets/digits-cnn.yaml", paths.PARAMS)
    monkeypatch.setattr(closure, "_home", lambda top: project)
    monkeypatch.setattr(closure, "KNOWN", known)
    return project


def settings():
    found = params.load()
    compress = {**found.compress, "half": params.Slim(method="slim", parent="baseline", keep=0.5, epochs=1)}
    benchmark = found.benchmark.model_copy(update={"devices": tuple(DEVICES)})
    return found.model_copy(update={"benchmark": benchmark, "compress": compress})


def edited(copy, file, old, new):
    """The names of what is old after an edit."""
    before = hangs.everything(settings())
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    return stale(before, hangs.everything(settings()))


def stale(before, after):
    return {name for name in before if before[name] != after[name]}


def of(stage):
    return {name for name in hangs.everything(settings()) if name.partition(".")[0] == stage}


def test_an_edit_of_a_target_makes_its_kinds_measurements_old_and_no_other(copy):
    file = next(path for path in (copy / "tasks/bench").rglob("roofline.py")).relative_to(copy)
    name = "roofline-raspberry-pi-5"
    assert edited(copy, file, "low = sum(", "low = 2 * sum(") == {f"benchmark.{name}", f"bundle.{name}"}


def test_an_edit_of_a_method_makes_old_what_it_made(copy):
    assert edited(copy, "tasks/compress/prune.py", "    return ", "    return 0 or ") == {"compress.pruned80"}
    assert edited(copy, "tasks/compress/slim.py", "    return ", "    return 0 or ") == {"compress.half"}


def test_an_edit_of_what_measures_trains_nothing(copy):
    found = edited(copy, "tasks/bench/timed.py", "    return ", "    return 0 or ")
    assert {name for name in found if not name.startswith("bundle.")} == {"benchmark.host-cpu"}


@pytest.mark.parametrize(
    "file", ["tasks/errors.py", "tasks/params/search.py", "tasks/track/store.py", "tasks/search/study.py"]
)
def test_an_edit_of_what_shapes_no_result_makes_nothing_old(copy, file):
    assert not edited(copy, file, "\n\n\n", "\n\n\nMORE = 1\n\n\n")


def test_an_edit_of_a_docstring_makes_nothing_old(copy):
    assert not edited(copy, "tasks/training/fit.py", '"""', '"""Really: ')


def test_a_default_that_changes_makes_old_what_left_it_out(copy):
    before = hangs.everything(settings())
    train = settings().train.model_copy(update={"batch_size": settings().train.batch_size + 1})
    assert stale(before, hangs.everything(settings().model_copy(update={"train": train}))) == {"train", "report"}


@pytest.mark.parametrize(
    ("library", "stages"),
    [
        ("tensorflow", {"train", "compress", "quantize"}),
        ("ai-edge-quantizer", {"quantize"}),
        ("ai-edge-litert", {"evaluate", "host-cpu", "bundle"}),  # whose examples it answers, or stands in for who does
        ("ethos-u-vela", {"ethos-u55-128"}),
        ("numpy", {"prepare", "train", "compress", "quantize", "evaluate", "benchmark", "report", "bundle"}),
        ("rich", set()),
    ],
)
def test_another_version_of_a_library_makes_old_what_it_shapes(copy, monkeypatch, library, stages):
    before, installed = hangs.everything(settings()), closure.installed
    monkeypatch.setattr(closure, "installed", lambda name: "9.9" if name == library else installed(name))
    found = stale(before, hangs.everything(settings()))
    assert found == {name for name in before if stages & {name.partition(".")[0], name.partition(".")[2]}}


def test_an_evaluation_hangs_from_the_processor(copy, monkeypatch):
    before = hangs.everything(settings())
    monkeypatch.setattr(machine, "processor", lambda: {"machine": "aarch64", "cpu": "other"})
    assert stale(before, hangs.everything(settings())) == {"evaluate"}


def test_a_model_shaped_by_an_estimate_hangs_from_its_device(copy):
    path = paths.device("ethos-u55-128")
    slim = {"method": "slim", "parent": "baseline", "epochs": 1, "keep": 0.5, "budget": "latency", "device": path.stem}
    entry = params.Slim(**slim)
    before = hangs.compress(entry, closure.Reader())
    assert "tasks/bench/stats.py" not in before["files"]
    path.write_text(path.read_text().replace("accelerator: ethos-u55-128", "accelerator: ethos-u55-256"))
    assert hangs.compress(entry, closure.Reader())["devices"] != before["devices"]
    alone = entry.model_copy(update={"budget": "parameters", "device": None})
    assert "devices" not in hangs.compress(alone, closure.Reader())


def beside(method, **more):
    """`big`, then a model that is not made of its parent's weights, then one that `big` teaches."""
    named = {
        "big": {"method": "finetune", "parent": "baseline", "epochs": 1},
        "mine": {"method": method, "parent": "big", **more},
        "taught": {"method": "finetune", "parent": "mine", "epochs": 1, "teacher": "big"},
        "alone": {"method": "finetune", "parent": "mine", "epochs": 1},
    }
    return read({"compress": named})


def read(changes):
    return params.check(params.Params, params.read_yaml(paths.PARAMS) | {"quantize": FP32} | changes, paths.PARAMS)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("external", {"source": "mine.keras"}),
        ("distill", {"epochs": 1, "model": {"family": "mlp", "hidden": [8]}, "teacher": "baseline"}),
    ],
)
def test_a_model_hangs_from_a_teacher_that_its_parent_tells_nothing_of(copy, method, more):
    given = beside(method, **more)
    longer = given.compress["big"].model_copy(update={"epochs": 2})
    changed = given.model_copy(update={"compress": {**given.compress, "big": longer}})
    found = stale(hangs.everything(given), hangs.everything(changed))
    assert found == {"compress.big", "compress.taught", "report"}, "and not `alone`, which nobody teaches"
    train = given.train.model_copy(update={"epochs": 99})
    found = stale(hangs.everything(given), hangs.everything(given.model_copy(update={"train": train})))
    assert found == {"train", "compress.taught", "report"}, "what a teacher was made of"


def test_a_teacher_that_a_model_is_made_of_is_told_of_by_its_parent(copy):
    """So nothing is made anew for an edit of the teacher's code that leaves its weights, and so the parent's, alone."""
    for given in hangs.everything(beside("finetune", epochs=1)).values():
        assert "teacher" not in given


def test_files_are_written_where_they_say_something_new_and_the_cause_is_told(copy, caplog):
    caplog.set_level("INFO", logger="tasks")
    code.code(settings())
    written = {path.name: path.read_text() for path in paths.CODE.iterdir()}
    assert {Path(name).stem for name in written} == set(hangs.everything(settings()))
    stamps = {path: path.stat().st_mtime_ns for path in paths.CODE.iterdir()}
    code.code(settings())
    assert stamps == {path: path.stat().st_mtime_ns for path in paths.CODE.iterdir()}
    assert not caplog.messages
    path = copy / "tasks/compress/prune.py"
    path.write_text(path.read_text() + "\nMORE = 1\n")
    code.code(settings())
    assert caplog.messages == ["code: tasks/compress/prune.py changed (compress.pruned80)"]
    assert {path.name for path in paths.CODE.iterdir() if path.read_text() != written[path.name]} == {
        "compress.pruned80.json"
    }
