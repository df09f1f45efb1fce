"""Trials that are really made, on a small network: what is shared, what is read, and what becomes of a poor one."""

import json
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.bench import pair
from tasks.bench.request import Result, made_in
from tasks.compress import model as compression
from tasks.errors import ConversionError, ParamsError
from tasks.examples import Arrays, dataset
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import cnn
from tasks.params import Cnn, Params, Quantize
from tasks.quantize import variant as quantization
from tasks.records import Energy, Latency, Measurement, ModelCard, Ratio, Window, inference
from tasks.search import bits, space, trial
from tasks.search.front import Aims
from tasks.search.stopping import Judge
from tasks.stages.quantize import quantize
from tasks.training import fit, keras_files
from tests.least import SETTINGS
from tests.phases import changed

pytest.importorskip("tf_keras", reason="the training stack is not installed")
SEARCH = {
    "objectives": [{"of": "quality"}, {"of": "gzip_bytes"}, {"of": "latency_ratio", "device": "host-cpu"}],
    "chains": [[], ["prune"], ["prune", "cluster"]],
    "training": {"epochs": 1, "batch_size": 16, "examples": 64},
}
VALUES = {
    **SETTINGS,
    "prepare": {"source": "digits"},
    "benchmark": {
        "reference": "fp32",
        "devices": ["host-cpu"],
        "protocol": {"mode": "full"},
        "prices": {"currency": "EUR", "hour": {"host-cpu": {"value": 0.36, "source": "a list"}}},
    },
    "search": SEARCH,
}
POINT = {"scheme": "int8", "prune.sparsity": 0.5, "cluster.clusters": 8}
ROOT = Path(__file__).resolve().parents[3]


def examples(count, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, count)
    image = rng.random((count, 12, 12, 1)).astype(np.float32)
    for i, k in enumerate(label):
        image[i, 3 * k : 3 * k + 3] += 1
    return Arrays({"image": image}, {"label": label})


@pytest.fixture
def reads(monkeypatch):
    """The splits that are read; the test split is not to be had."""
    seen = []

    def load(split):
        seen.append(split)
        return splits()[split]

    monkeypatch.setattr(dataset, "load", load)
    return seen


@cache
def splits():
    return {"train": examples(160, 1), "validation": examples(40, 2), "calibration": examples(16, 3)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a baseline and its float32 variant; every test has a copy."""
    root = tmp_path_factory.mktemp("made")
    (root / "infra").symlink_to(ROOT / "infra")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(dataset, "load", splits().__getitem__)
        fit.reset(0)
        model = cnn.build(
            Cnn(filters=(4, 8), dense=(8,), family="cnn"),
            Spec({"image": TensorSpec((12, 12, 1), "float32")}, tuple("abcd")),
        )
        paths.model("baseline").mkdir(parents=True)
        keras_files.save(model, paths.model("baseline"))
        layers = keras_files.layers(model)
        ModelCard(
            model="baseline", parent=None, method="train", parameters=model.count_params(), epochs=1, total_epochs=1,
            layers=layers, history={},
        ).save(paths.model("baseline") / "card.json")  # fmt: skip
        entry = Params.model_validate(VALUES).quantize["fp32"]
        quantization.make(paths.artifact("fp32"), "fp32", entry, paths.model)
    return root


@pytest.fixture
def workshop(made, project, reads, monkeypatch):
    """A baseline and its float32 variant, with a device whose latencies are made up."""
    shutil.copytree(made, project, symlinks=True, dirs_exist_ok=True)
    fit.reset(0)
    settings = Params.model_validate(VALUES)
    lanes = Lanes()
    monkeypatch.setattr(pair, "measure", lanes.measure)
    return trial.Workshop(
        settings, settings.search, project / "study", project / "models", "root",
        made_in(paths.artifact("fp32")), ("host-cpu",), lanes,
    )  # fmt: skip


SIZES = {"bytes", "gzip_bytes", "zstd_bytes"}


class Lanes:
    """Notes what is under way, and measures a made-up latency."""

    def __init__(self):
        self.held, self.measured = [], []
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, name):
        with self._lock:
            self.held.append(name)
            yield
            self.held.pop()

    def measure(self, made, reference, device, protocol, splits, metric, _settle):
        self.measured.append((list(self.held), protocol.mode, splits))
        return Result(
            Measurement(
                variant=made.card.variant, device=device, device_kind="litert", status="ok", mode=protocol.mode,
                artifact_sha256=made.card.sha256, reference="fp32",
                phases=inference(
                    latency=Latency(provenance="measured", ms_p50=0.02),
                    ratio=Ratio(value=0.5, low=0.4, high=0.6, pairs=3), energy=Energy(kind="none", reason="not here"),
                ),
            )
        )  # fmt: skip


def plan_of(workshop, **point):
    return space.plan(workshop.params, workshop.search, {**POINT, **point})


def judge(workshop, *finished, **goals):
    search = workshop.search.model_copy(update={"goals": workshop.search.model_validate({**SEARCH, **goals}).goals})
    return Judge(Aims(search, "fp32", {"quality": 0.5}, "accuracy"), list(finished), 1000)


def test_a_trial_has_every_figure_and_reads_no_test_example(workshop, reads):
    done = trial.carry_out(workshop, 3, plan_of(workshop, chain="prune"), judge(workshop))
    assert (done.status, done.reason) == ("ok", None)
    assert {"quality", *SIZES, "latency_ms@host-cpu", "latency_ratio@host-cpu", "cost_per_million@host-cpu"} == set(
        done.figures
    )
    assert done.figures["cost_per_million@host-cpu"] == pytest.approx(
        0.1 * done.figures["latency_ms@host-cpu"]  # 1e6 inferences of so many ms, by an hour of 3.6e6 ms
    )
    folder = workshop.folder / "3"
    file = folder / "artifact" / "model.tflite"
    assert done.figures["bytes"] == file.stat().st_size
    assert json.loads((folder / "trial.json").read_text())["variant"] == done.variant
    assert set(done.seconds) == {"compress", "quantize", "evaluate", "benchmark"}
    assert "test" not in reads
    # the measurement had the machine to itself, was no longer than quick, and read the validation split
    assert workshop.lane.measured == [(["compress"], "quick", ("validation",))]


@pytest.mark.slow
def test_chains_that_begin_alike_train_their_beginning_once(workshop, monkeypatch):
    trained = []
    make = compression.make
    monkeypatch.setattr(
        compression, "make", lambda folder, name, *rest: (trained.append(name), make(folder, name, *rest))
    )
    plans = [plan_of(workshop, chain="prune"), plan_of(workshop, chain="prune+cluster")]
    plans += [plan_of(workshop, chain="prune+cluster", scheme="dynamic")]
    done = [trial.carry_out(workshop, i, plan, None) for i, plan in enumerate(plans)]
    assert [each.status for each in done] == ["ok"] * 3
    assert trained == [plans[0].models[0][0], plans[1].models[1][0]]


@pytest.mark.slow
def test_the_stages_make_of_the_written_entries_what_the_trial_made(workshop, reads):
    every = workshop.search.training.model_copy(update={"examples": None})
    whole = trial.Workshop(**{**vars(workshop), "search": workshop.search.model_copy(update={"training": every})})
    plan = space.plan(whole.params, whole.search, {**POINT, "chain": "prune"})
    done = trial.carry_out(whole, 0, plan, None)
    values = whole.params.model_dump(mode="json")
    values["compress"] = dict(done.models)
    values["quantize"][done.variant] = done.entry
    settings = Params.model_validate(values)
    for name, _ in done.models:
        compression.make(paths.model(name), name, settings.compress[name], paths.model, dataset.load("train"), None)
    quantize(settings, done.variant)
    made = (whole.folder / "0" / "artifact" / "model.tflite").read_bytes()
    assert (paths.artifact(done.variant) / "model.tflite").read_bytes() == made


def test_a_poor_trial_is_stopped_before_it_costs_more(workshop):
    first = trial.carry_out(workshop, 0, plan_of(workshop, chain="baseline"), None)
    goals = [{"of": "gzip_bytes", "max": first.figures["gzip_bytes"]}]
    larger = plan_of(workshop, chain="baseline", scheme="like fp32")
    done = trial.carry_out(workshop, 1, larger, judge(workshop, first, goals=goals))
    assert done.status == "stopped"
    assert "keeps to all goals" in done.reason
    assert set(done.figures) == SIZES
    assert len(workshop.lane.measured) == 1


def test_training_stops_in_the_middle(workshop, monkeypatch):
    class Strict(Judge):
        def trained(self, quality, share):
            raise trial.PoorTrialError(f"after {share:.0%}")

    strict = Strict(judge(workshop).aims, [], 1000)
    done = trial.carry_out(workshop, 0, plan_of(workshop, chain="prune"), strict)
    assert (done.status, done.reason) == ("stopped", "after 100%")
    assert not list(workshop.models.glob("*"))


def test_what_goes_wrong_is_a_result_with_its_reason(workshop, monkeypatch):
    entry = Quantize(model="nowhere", scheme="int8")
    odd = space.Plan((), "odd", entry)
    monkeypatch.setattr(workshop.__class__, "place", lambda self, plan, name: paths.model(name))
    done = trial.carry_out(workshop, 0, odd, None)
    assert done.status == "refused"
    assert "nowhere" in done.reason

    def crash(*_):
        raise RuntimeError("of a\nlibrary")

    monkeypatch.setattr(quantization, "make", crash)
    done = trial.carry_out(workshop, 1, odd, None)
    assert (done.status, done.reason) == ("failed", "RuntimeError: of a library")
    assert (workshop.folder / "1" / "trial.json").exists()


@pytest.mark.slow
def test_latencies_of_a_study_are_ratios_to_what_its_reference_cost_at_first(workshop, monkeypatch):
    whole, machine = workshop.lane.measure, [1.0]  # how slow it is
    window = {
        "runs": 9,
        "seconds": 1,
        "busy_s": 1,
        "cpu_ms_mean": 1,
        "load_ms": 1,
        "first_ms": 1,
        "peak_memory_kib": None,
    }

    def measure(made, *request):
        measurement = whole(made, *request).measurement
        if made.card.variant == "fp32":
            latency = Latency(provenance="measured", ms_p50=0.04 * machine[0])
            return Result(changed(measurement, latency=latency, ratio=None, reference=None))
        level = 0.04 * machine[0]
        windows = (Window(variant="fp32", ms_p10=level, ms_p50=level, ms_mean=level, **window),)
        latency = Latency(provenance="measured", ms_p50=0.02 * machine[0])
        return Result(changed(measurement, reference="fp32", windows=windows, latency=latency))

    monkeypatch.setattr(pair, "measure", measure)

    def latency(number, variant):
        plan = space.Plan((), variant, Quantize(model="baseline", scheme="float32"))
        return trial.carry_out(workshop, number, plan, None).figures["latency_ms@host-cpu"]

    assert latency(0, "v0") == pytest.approx(0.02)
    machine[0] = 3.0
    assert latency(1, "v1") == pytest.approx(0.02)
    assert latency(2, "fp32") == pytest.approx(0.04)


@pytest.mark.parametrize("device", ["host-cpu", "raspberry-pi-5"])
def test_a_measurement_that_its_machine_spoils_is_tried_again_and_says_nothing_of_the_variant(
    workshop, monkeypatch, device
):
    workshop = replace(workshop, devices=(device,))
    whole, spoilt = workshop.lane.measure, []

    def busy(times, *request):
        result = whole(*request)
        spoilt.append(len(spoilt) < times)
        fields = {"status": "invalid", "passing": True, "reason": "the machine is too busy"} if spoilt[-1] else {}
        return Result(result.measurement.model_copy(update=fields))

    plan = plan_of(workshop, chain="baseline")
    monkeypatch.setattr(pair, "measure", partial(busy, trial.TRIES - 1))
    assert trial.carry_out(workshop, 0, plan, None).status == "ok"
    assert spoilt == [True] * (trial.TRIES - 1) + [False]
    del spoilt[:]
    monkeypatch.setattr(pair, "measure", partial(busy, 99))
    done = trial.carry_out(workshop, 1, plan, None)
    assert (done.status, done.reason) == ("failed", f"{device}: invalid: the machine is too busy")
    assert len(spoilt) == trial.TRIES


@pytest.mark.parametrize("device", ["host-cpu", "ethos-u55-128"])
def test_what_is_no_result_for_good_is_measured_once_and_refused(workshop, monkeypatch, device):
    whole, said = workshop.lane.measure, {"status": "invalid", "reason": "the answers are no numbers"}
    monkeypatch.setattr(pair, "measure", lambda *request: Result(whole(*request).measurement.model_copy(update=said)))
    done = trial.carry_out(replace(workshop, devices=(device,)), 0, plan_of(workshop, chain="baseline"), None)
    assert (done.status, done.reason) == ("refused", f"{device}: invalid: the answers are no numbers")
    assert len(workshop.lane.measured) == 1


@pytest.mark.parametrize(("missed", "status"), [(True, "failed"), (False, "refused")])
def test_an_energy_that_a_meter_missed_says_nothing_of_the_variant(workshop, monkeypatch, missed, status):
    asked = {**SEARCH, "objectives": [*SEARCH["objectives"][:2], {"of": "energy_mj", "device": "host-cpu"}]}
    search, whole = workshop.search.model_validate(asked), workshop.lane.measure
    energy = Energy(kind="meter_external", reason="a gap", passing=missed)
    monkeypatch.setattr(pair, "measure", lambda *request: Result(changed(whole(*request).measurement, energy=energy)))
    done = trial.carry_out(replace(workshop, search=search), 0, plan_of(workshop, chain="baseline"), None)
    told = "host-cpu does not tell energy_mj"
    assert (done.status, done.reason) == (status, f"{told}: a gap" if missed else told)


@pytest.mark.slow
def test_the_layers_whose_bits_are_searched_are_those_that_take_4(workshop):
    search = workshop.search.model_copy(update={"schemes": ("float32", "int8-weights"), "bits": (4, 8)})
    found = bits.table(search, "accuracy")
    _, card = keras_files.load_from(paths.model("baseline"))
    for layer in card.layers:
        entry = Quantize(model="baseline", scheme="int8-weights", bits={layer.name: 4})
        folder = workshop.folder / layer.name
        if layer.name not in found:
            with pytest.raises(ConversionError):
                quantization.make(folder, "v", entry, paths.model)
            continue
        quantization.make(folder, "v", entry, paths.model)
        assert found[layer.name].parameters == layer.parameters
        alone = trial.quality(made_in(paths.artifact("fp32")), "accuracy") - trial.quality(made_in(folder), "accuracy")
        assert found[layer.name].drop == pytest.approx(alone, abs=2 / 40)  # the other layers have 8 bits there
    assert found
    with pytest.raises(ParamsError, match=r"^search\.bits: received schemes \['float16'\]"):
        bits.table(search.model_copy(update={"schemes": ("float16",)}), "accuracy")


def test_the_training_examples_are_evenly_drawn(workshop):
    taken = trial.training_examples(workshop.search)
    whole = dataset.load("train")
    assert len(taken) == 64
    places = [
        int(np.flatnonzero((whole.inputs["image"] == image).all(axis=(1, 2, 3)))[0]) for image in taken.inputs["image"]
    ]
    assert places[0] == 0
    assert places[-1] == 159
    assert set(np.diff(places)) <= {2, 3}
