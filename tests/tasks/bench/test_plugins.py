"""A kind of device and a scheme from a package outside the tree, without an edit inside."""

from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.bench import devices, locks
from tasks.bench.kinds import KINDS
from tasks.bench.request import made_in
from tasks.errors import ParamsError
from tasks.examples import Arrays, dataset
from tasks.formats.schemes import SCHEMES
from tasks.params import Params, Protocol, Quantize
from tasks.records import Evaluation, ModelCard, Score, Subject
from tasks.report import compare
from tasks.stages import benchmark, quantize

TOY = '''
from tasks.bench.kinds import Kind
from tasks.bench.request import Result
from tasks.bench.devices import Device
from tasks.quantize import litert
from tasks.quantize.made import Made
from tasks.formats.schemes import Scheme
from tasks.records import Energy, Latency


class Abacus(Device):
    """A counting frame."""

    beads: int


def measure(request):
    latency = Latency(provenance="estimated", ms_p50=1000 / request.device.beads)
    return Result(request.result(status="ok", latency=latency, energy=Energy(kind="none", reason="by hand")))


def convert(model, entry, calibration, validation):
    return Made(litert.convert(model, "float32", None), converter="toy 1.0")


KIND = Kind(schema=Abacus, measure=measure)
SCHEME = Scheme(weights=8, activations="float32", apart=0.1, converts="toy:convert")
'''
POINTS = "[tercet.kinds]\nabacus = toy:KIND\n[tercet.schemes]\nrounded = toy:SCHEME\n"


@pytest.fixture
def plugged(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that holds the toy's, and is looked into."""
    site = tmp_path_factory.mktemp("site")
    (site / "toy.py").write_text(TOY)
    (site / "toy-1.0.dist-info").mkdir()
    (site / "toy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (site / "toy-1.0.dist-info" / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(site)
    return site


def subject(variant: str, scheme: str) -> Subject:
    """What a comparison knows of a variant."""
    score = Score(
        metric="accuracy",
        value=1.0,
        low=0.5,
        high=1.0,
        n=2,
        kernels="default",
        split="test",
        predictions=(0, 1),
        outputs_sha256="0",
    )
    scores = (score.model_copy(update={"split": "validation"}), score)
    model = ModelCard(
        model="baseline", parent=None, method="train", parameters=1, epochs=1, total_epochs=1, layers=(), history={}
    )
    card = made_in(paths.artifact(variant)).card.model_copy(update={"scheme": scheme})
    return Subject(
        artifact=card,
        model=model,
        evaluation=Evaluation(variant=variant, artifact_sha256="0", runtime="r", scores=scores),
    )


@pytest.mark.usefixtures("plugged")
def test_a_kind_and_a_scheme_of_a_package_outside_are_accepted_run_and_compared(
    workshop: Path, params: Params, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tf_keras as keras

    monkeypatch.setenv(locks.VARIABLE, str(workshop))
    examples = Arrays({"image": images}, {})
    monkeypatch.setattr(dataset, "load", lambda _split: examples)
    paths.device("frame").write_text("kind: abacus\ndescription: of wood\nbeads: 100\n")
    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    entry = Quantize(model="baseline", scheme="rounded")
    paths.artifact("mine").mkdir()
    quantize.write(paths.artifact("mine"), "mine", entry, model, examples)
    made, reference = made_in(paths.artifact("mine")), made_in(paths.artifact("float32"))
    assert (made.card.scheme, made.card.converter) == ("rounded", "toy 1.0")
    found = [
        benchmark.measure(each, reference, "frame", Protocol(mode="quick"), ("test",)).measurement
        for each in (reference, made)
    ]
    subjects = [subject("float32", "float32"), subject("mine", "rounded")]
    row = compare.build("w", "float32", subjects, found, None).rows[1]
    assert (row.variant, row.device, row.scheme, row.measurement.device_kind) == ("mine", "frame", "rounded", "abacus")
    assert row.measurement.latency
    assert row.measurement.latency.ms_p50 == 10
    assert devices.fingerprint(devices.load("frame")) == {"kind": "abacus", "beads": 100, "missing": None}


def test_what_a_plug_in_adds_is_told_with_all_that_is_allowed(plugged: Path, workshop: Path) -> None:
    paths.device("frame").write_text("kind: abacuss\ndescription: of wood\nbeads: 100\n")
    with pytest.raises(ParamsError, match=r"kind: received 'abacuss'; allowed: abacus, .*did you mean 'abacus'"):
        devices.load("frame")
    paths.device("frame").write_text("kind: abacus\ndescription: of wood\nbead: 100\n")
    with pytest.raises(ParamsError, match=r"frame.yaml: bead: unknown key; .*'beads'"):
        devices.load("frame")
    with pytest.raises(ValueError, match="aware_epochs means nothing for scheme 'rounded'"):
        Quantize(model="baseline", scheme="rounded", aware_epochs=1)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("abacus = toys:KIND", "ModuleNotFoundError: No module named 'toys'"),
        ("abacus = toy:KINDS", "AttributeError: module 'toy' has no attribute 'KINDS'"),
        ("abacus = toy:SCHEME", "a tasks.bench.kinds.Kind is expected there; received Scheme"),
        ("abacus = toy:KIND\nlitert = toy:KIND", "the name is taken by Tercet's own; the plug-in must choose another"),
    ],
)
def test_a_wrong_plug_in_is_one_line_that_names_its_package(plugged: Path, points: str, said: str) -> None:
    (plugged / "toy-1.0.dist-info" / "entry_points.txt").write_text(f"[tercet.kinds]\n{points}\n")
    with pytest.raises(ParamsError) as caught:
        KINDS.load("abacus")
    assert said in str(caught.value)
    assert str(caught.value).startswith("plug-in toy 1.0, tercet.kinds ")
    assert "\n" not in str(caught.value)


def test_a_name_of_the_table_asks_no_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.registry._points", None)
    for table in (KINDS, SCHEMES):
        assert all(isinstance(table.load(name), table.type) for name in table.members)
