"""A member of each table from a package outside the tree, without an edit inside: from params.yaml to the bundle."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tasks import params, paths
from tasks.bench import devices, locks
from tasks.bench.kinds import KINDS
from tasks.errors import ParamsError
from tasks.formats.schemes import SCHEMES
from tasks.members import FAMILIES, METHODS, SOURCES
from tasks.params import Quantize
from tasks.records import figures
from tasks.records.metrics import METRICS
from tasks.registry import Registry, points

if TYPE_CHECKING:
    from tasks.records import Row

ROOT = Path(__file__).resolve().parents[3]
TOY = '''
from typing import Any, Literal

import numpy as np

from tasks.bench import shipping
from tasks.bench.device import Device
from tasks.bench.kinds import Kind
from tasks.bench.request import Result
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.formats.schemes import Scheme
from tasks.members import CompressionMethod, DataSource, ModelFamily, YardstickMethod
from tasks.params import Prepare
from tasks.params.compress import Method
from tasks.params.section import Count, Section, Share
from tasks.params.yardstick import Simple
from tasks.quality import resample
from tasks.quantize import litert
from tasks.quantize.made import Made
from tasks.records import Energy, Latency
from tasks.records.metrics import Metric


class Rows(Prepare):
    """Rows of light and dark pixels."""

    source: Literal["rows"]
    count: Count


def load(section):
    label = np.arange(section.count) % 2
    image = np.random.default_rng(0).integers(0, 200, (section.count, 4, 4, 1)) + 50 * label[:, None, None, None]
    examples = Arrays({"image": image.astype(np.uint8)}, {LABEL: label})
    return Source({"image": "image"}, examples, None, ("dark", "light"), {})


class Line(Section):
    """One layer."""

    family: Literal["line"]
    units: Count


def build(section, spec):
    import tf_keras as keras

    image = keras.Input(spec.inputs["image"].shape, name="image")
    hidden = keras.layers.Dense(section.units, activation="relu")(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(len(spec.classes), activation="softmax")(hidden))


class Shrink(Method):
    """Smaller weights."""

    method: Literal["shrink"]
    by: Share


def apply(model, section, train, validation, on_epoch):
    model.set_weights([weight * section.by for weight in model.get_weights()])
    return model, {}


class Coin(Simple):
    """Always one class."""

    method: Literal["coin"]
    side: Count


def toss(train, judged, seed, *, side):
    return np.eye(2)[np.full(len(judged), side)]


class Abacus(Device):
    """A counting frame."""

    beads: int


def measure(request):
    latency = Latency(provenance="estimated", ms_p50=1000 / request.device.beads)
    energy = Energy(kind="none", reason="by hand")
    told = {"beads_moved": 3 if request.variant == "mine" else 5}
    return Result(request.result(status="ok", latency=latency, energy=energy, details=told))


def ships(artifact, device, folder):
    return shipping.interpreted(artifact, folder, "a hand", "model.tflite is not what a hand reads.")


def convert(model, entry, calibration, validation):
    return Made(litert.convert(model, "float32", None), converter="toy 1.0")


def gap(predicted, truth):
    return float(np.abs(predicted - truth).mean())


SOURCE = DataSource(schema=Rows, check=lambda section: None, load=load)
FAMILY = ModelFamily(schema=Line, build=build)
YARDSTICK = YardstickMethod(schema=Coin, predict=toss, tasks=("classification",))
METHOD = CompressionMethod(schema=Shrink, apply=apply)
KIND = Kind(schema=Abacus, measure=measure, ships=ships)
SCHEME = Scheme(weights=8, activations="float32", apart=0.1, converts="toy:convert")
METRIC = Metric(
    task="classification",
    unit="",
    better="lower",
    keep="toy_kept:guess",
    value=gap,
    interval=lambda predicted, truth: resample.mean_interval(np.abs(predicted - truth)),
    paired=lambda mine, theirs, truth: resample.mean_paired(np.abs(theirs - truth) - np.abs(mine - truth)),
    naive=lambda train, truth: 1.0,
)
'''
KEPT = """
def guess(outputs, targets):
    return outputs.argmax(axis=1)
"""
FIGURE = """
from tasks.records.figures import Figure, Value


def read(row):
    moved = row.measurement.details.get("beads_moved")
    return None if moved is None else Value(moved, source="estimated")


FIGURE = Figure("beads_moved", "beads", "lower", "beads moved", read, room="terminal")
"""
POINTS = """
[tercet.sources]
rows = toy:SOURCE
[tercet.families]
line = toy:FAMILY
[tercet.methods]
shrink = toy:METHOD
[tercet.yardsticks]
coin = toy:YARDSTICK
[tercet.kinds]
abacus = toy:KIND
[tercet.schemes]
rounded = toy:SCHEME
[tercet.metrics]
gap = toy:METRIC
[tercet.figures]
beads_moved = toy_figure:FIGURE
"""
PARAMS = """
name: toy
prepare: {source: rows, count: 120, calibration: 10}
model: {family: line, units: 4}
train: {epochs: 2}
compress: {half: {parent: baseline, method: shrink, by: 0.5, epochs: 1}}
yardstick: {tails: {method: coin, side: 1}}
quantize:
  float32: {model: baseline, scheme: float32}
  mine: {model: half, scheme: rounded}
benchmark: {reference: float32, devices: [frame], protocol: {mode: quick}}
evaluate: {metric: gap}
bundle: {default: {minimize: beads_moved, max_beads_moved: 4}}
"""


@pytest.fixture
def plugged(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that holds the toy's, and is looked into."""
    site = tmp_path_factory.mktemp("site")
    (site / "toy.py").write_text(TOY)
    (site / "toy_figure.py").write_text(FIGURE)
    (site / "toy_kept.py").write_text(KEPT)
    (site / "toy-1.0.dist-info").mkdir()
    (site / "toy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (site / "toy-1.0.dist-info" / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(site)
    return site


WHOLE = """
import json
import sys

from tasks import params, paths
from tasks.stages import benchmark, bundle, code, compress, evaluate, prepare, quantize, report, train, yardstick
from tasks.track import contents, entries
from tasks import records
from flows.views import table

given = params.load()
code.code(given)
prepare.prepare(given)
train.train(given)
compress.compress(given, "half")
for variant in given.quantize:
    quantize.quantize(given, variant)
    evaluate.evaluate(given, variant)
    benchmark.benchmark(given, variant, "frame")
yardstick.yardstick(given, "tails")
report.report(given)
bundle.bundle(given, "frame")
table.show(records.read(records.Comparison, paths.REPORT / "comparison.json"))
sent = {entry.name: {point.key: point.value for point in entry.points} for entry in contents.collect(given)
        if isinstance(entry, entries.Run)}
paths.STATE.mkdir(exist_ok=True)
(paths.STATE / "sent.json").write_text(json.dumps(sent))
"""


def test_a_member_of_each_table_goes_from_the_parameters_to_the_bundle(plugged: Path, project: Path) -> None:
    """In a process of its own, as figures are part of the schema of params.yaml."""
    paths.PARAMS.write_text(PARAMS)
    paths.DEVICES.mkdir(parents=True)
    paths.device("frame").write_text("kind: abacus\ndescription: of wood\nbeads: 100\n")
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{plugged}", locks.VARIABLE: str(project), "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", WHOLE], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"mine +.*\b3\.00", done.stdout), done.stdout
    assert "beads moved" in done.stdout
    assert "gap" in done.stdout
    rows = list(csv.DictReader((paths.REPORT / "comparison.csv").read_text().splitlines()))
    assert [(row["variant"], row["beads_moved"], row["metric"], row["better"]) for row in rows] == [
        ("float32", "5", "gap", "lower"),
        ("mine", "3", "gap", "lower"),
    ]
    assert {float(row["yardstick_tails"]) for row in rows} == {0.5}, "half of the examples are of each class"
    assert json.loads((paths.REPORT / "metrics.json").read_text())["mine"]["frame"]["beads_moved"] == 3
    page = (paths.REPORT / "index.html").read_text()
    assert "Beads moved" in page
    assert "Gap is on the test split, the lower the better." in page
    manifest = json.loads((paths.bundle("frame") / "manifest.json").read_text())
    assert (manifest["variant"], manifest["quality"]["metric"]) == ("mine", "gap")
    assert manifest["budget"]["max_beads_moved"] == 4
    assert manifest["figures"]["beads_moved"]["value"] == 3
    sent = json.loads((paths.STATE / "sent.json").read_text())
    assert sent["mine @ frame"]["beads_moved"] == 3
    assert sent["mine @ frame"]["latency_ms"] == 10
    assert "gap" in sent["mine @ frame"]
    for stage in (
        "prepare",
        "train",
        "evaluate",
        "compress.half",
        "quantize.mine",
        "benchmark.frame",
        "report",
        "yardstick.tails",
    ):
        assert {"toy.py", "toy_figure.py"} & json.loads(paths.code(stage).read_text())["files"].keys(), stage
    assert "toy.py" not in json.loads(paths.code("quantize.float32").read_text())["files"]


@pytest.mark.usefixtures("plugged", "project")
def test_what_a_plug_in_adds_is_told_with_all_that_is_allowed() -> None:
    def said(*change: str) -> str:
        paths.PARAMS.write_text(PARAMS.replace("{minimize: beads_moved, max_beads_moved: 4}", "{}").replace(*change))
        with pytest.raises(ParamsError) as caught:
            params.load()
        return str(caught.value)

    where = "params.yaml: "
    allowed = "allowed: family, units. did you mean 'units'?"
    assert said("units: 4", "unit: 4") == f"{where}model.unit: unknown key; {allowed} (and 1 more)"
    lines = said("family: line", "family: lines")
    assert lines.startswith(f"{where}model.family: received 'lines'; allowed: autoencoder, ")
    assert ", line, mlp" in lines
    assert said("by: 0.5", "by: 2").startswith(f"{where}compress.half.by: received 2; ")
    assert "did you mean 'shrink'" in said("method: shrink", "method: shrinks")
    assert said("count: 120", "counts: 120").startswith(f"{where}prepare.counts: unknown key; allowed: ")
    gaps = said("metric: gap", "metric: gaps")
    assert gaps.startswith(f"{where}evaluate.metric: received 'gaps'; allowed: accuracy, ")
    with pytest.raises(ValueError, match="aware_epochs means nothing for scheme 'rounded'"):
        Quantize(model="baseline", scheme="rounded", aware_epochs=1)
    paths.DEVICES.mkdir(parents=True)
    paths.device("frame").write_text("kind: abacuss\ndescription: of wood\nbeads: 100\n")
    with pytest.raises(ParamsError, match=r"kind: received 'abacuss'; allowed: abacus, .*did you mean 'abacus'"):
        devices.load("frame")
    paths.device("frame").write_text("kind: abacus\ndescription: of wood\nbead: 100\n")
    with pytest.raises(ParamsError, match=r"frame.yaml: bead: unknown key; .*'beads'"):
        devices.load("frame")
    paths.device("frame").write_text("kind: abacus\ndescription: of wood\nbeads: 100\n")
    assert devices.fingerprint(devices.load("frame")) == {"device": {"kind": "abacus", "beads": 100}, "missing": None}


TABLES = (SOURCES, FAMILIES, METHODS, KINDS, SCHEMES, METRICS, figures.TABLE)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.group)
def test_a_broken_plug_in_is_one_line_that_names_its_package(plugged: Path, table: Registry[Any]) -> None:
    def told(name: str, *lines: str) -> str:
        (plugged / "toy-1.0.dist-info" / "entry_points.txt").write_text("\n".join([f"[{table.group}]", *lines]))
        points.cache_clear()
        with pytest.raises(ParamsError) as caught:
            table.load(name)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    (plugged / "toy_broken.py").write_text("raise RuntimeError('no\\nlicence')")
    whose = f"plug-in toy 1.0, {table.group} 'mine' = "
    mend = "; mend or uninstall the plug-in"
    assert told("mine", "mine = toys:IT") == f"{whose}'toys:IT': ModuleNotFoundError: No module named 'toys'{mend}"
    lacks = "AttributeError: module 'toy' has no attribute 'IT'"
    assert told("mine", "mine = toy:IT") == f"{whose}'toy:IT': {lacks}{mend}"
    assert told("mine", "mine = toy_broken:IT") == f"{whose}'toy_broken:IT': RuntimeError: no licence{mend}"
    expected = f"a {table.type.__module__}.{table.type.__qualname__} is expected there; received function"
    assert told("mine", "mine = toy:gap") == f"{whose}'toy:gap': {expected}{mend}"
    own = next(iter(table.members))
    taken = f"plug-in toy 1.0, {table.group} {own!r} = 'toy:gap': the name is taken by Tercet's own; the plug-in must"
    assert told("mine", "mine = toy:IT", f"{own} = toy:gap").startswith(taken)
    (plugged / "other-2.0.dist-info").mkdir()
    (plugged / "other-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    (plugged / "other-2.0.dist-info" / "entry_points.txt").write_text(f"[{table.group}]\nmine = other:IT\n")
    both = told("mine", "mine = toy:IT")
    assert f"the name is taken by plug-in other 2.0, {table.group} 'mine' = 'other:IT'" in both


def test_a_figure_that_fails_on_a_row_names_its_package(plugged: Path) -> None:
    (plugged / "toy_figure.py").write_text(FIGURE.replace("details", "detail"))
    row = SimpleNamespace(variant="mine", device="frame", measurement=SimpleNamespace(status="ok"))
    whose = r"plug-in toy 1\.0, tercet\.figures 'beads_moved' = 'toy_figure:FIGURE': mine @ frame: "
    with pytest.raises(ParamsError, match=whose + "AttributeError: .* no attribute 'detail'; mend or"):
        figures.plugged("beads_moved").of(cast("Row", row))
    (plugged / "toy_figure.py").write_text(FIGURE.replace('Value(moved, source="estimated")', "moved"))
    del sys.modules["toy_figure"]
    row.measurement.details = {"beads_moved": 3}
    with pytest.raises(ParamsError, match=whose + "a Value or None expected; received int; mend or"):
        figures.plugged("beads_moved").of(cast("Row", row))


@pytest.mark.usefixtures("project")
def test_a_command_tells_of_a_broken_plug_in_in_one_line(plugged: Path) -> None:
    """Figures are asked for as modules are imported."""
    (plugged / "toy_figure.py").write_text("raise RuntimeError('no licence')")
    paths.PARAMS.write_text(PARAMS)
    Path("dvc.yaml").write_text("# tercet stage\n")
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{plugged}"}
    for command in ("compare", "devices", "publish", "run"):
        words = [sys.executable, "-c", "from flows import cli; raise SystemExit(cli.main())", command]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert done.stderr.startswith("tercet: plug-in toy 1.0, tercet.figures 'beads_moved' = "), done.stderr
        assert done.stderr.count("\n") == 1


def test_a_name_of_a_table_asks_no_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.registry.points", None)
    for table in TABLES[:-1]:
        assert all(isinstance(table.load(name), table.type) for name in table.members)
