"""The state of a search with trials that are made up: what counts, what is asked for again, what is written."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from tasks import closure, params, paths
from tasks.bench.request import Result
from tasks.files import sha256
from tasks.records import ArtifactCard, Measurement, ModelCard, Tensor, read
from tasks.search import bits
from tasks.search import state as module
from tasks.search.records import Found, Trial
from tasks.search.state import State

ROOT = Path(__file__).resolve().parents[3]
SEARCH = """
search: # mine
  trials: 14
  objectives: [{of: quality}, {of: gzip_bytes}]
  goals: [{of: gzip_bytes, max: 500}, {of: quality, max_drop: 0.05}]
  chains: [[], [prune], [prune, cluster]]
"""


@pytest.fixture
def begun(project, monkeypatch):
    """A project whose baseline and reference are there; opens its search."""
    shutil.copy(ROOT / "infra" / "presets" / "digits-cnn.yaml", paths.PARAMS)
    paths.PARAMS.write_text(paths.PARAMS.read_text() + SEARCH)
    for folder in (paths.DATA, paths.model("baseline"), paths.artifact("fp32")):
        folder.mkdir(parents=True)
    (paths.DATA / "card.json").write_text("{}")
    (paths.model("baseline") / "model.h5").write_bytes(b"weights")
    layers = ({"name": "dense", "parameters": 1000, "sparsity": 0, "unique_values": 900},)
    about = {"model": "baseline", "parent": None, "method": "train", "parameters": 1000, "epochs": 1, "history": {}}
    ModelCard.model_validate({**about, "total_epochs": 1, "layers": layers}).save(paths.model("baseline") / "card.json")
    file = paths.artifact("fp32") / "model.tflite"
    file.write_bytes(b"flatbuffer")
    tensor = Tensor(name="x", shape=(1,), dtype="float32")
    ArtifactCard(
        variant="fp32", model="baseline", scheme="float32", file=file.name, sha256=sha256(file), bytes=10,
        gzip_bytes=10, inputs=(tensor,), outputs=(tensor,), operators={}, converter="none",
    ).save(paths.artifact("fp32") / "card.json")  # fmt: skip
    monkeypatch.setattr(module, "quality", lambda _reference, _metric: 0.95)

    def begin(*devices, **changed):
        settings = params.load()
        search = settings.search.model_copy(update=changed)
        opened = State(settings, search, devices, lambda name: nullcontext())
        opened.open()
        return opened

    return begin


def made(number, plan, judge):
    """A trial whose figures follow from its plan: more sparsity is smaller and worse."""
    sparsity = max([getattr(entry, "sparsity", 0.0) for _, entry in plan.models], default=0.0)
    scale = {"float32": 4, "float16": 2}.get(plan.entry.scheme, 1)
    clustered = any(entry.method == "cluster" for _, entry in plan.models)
    quality = 0.95 - 0.1 * sparsity**4 - 0.01 * clustered
    return Trial(
        number=number, variant=plan.variant, key=plan.key, label=plan.label, handwritten=judge is None,
        models=tuple((name, entry.model_dump(mode="json", exclude_defaults=True)) for name, entry in plan.models),
        entry=plan.entry.model_dump(mode="json", exclude_defaults=True), status="ok", seconds={},
        figures={"quality": quality, "gzip_bytes": 1000.0 * scale * (1 - sparsity) * (0.7 if clustered else 1)},
        provenance={"quality": "measured", "gzip_bytes": "measured"},
    )  # fmt: skip


def run(state, most=100):
    """Make trials until no more are wanted; their variants, in order."""
    names = []
    while len(names) < most and (asked := state.ask()):
        trial = made(*asked)
        trial.save(state.folder / str(trial.number) / "trial.json")
        state.tell(trial)
        names.append(trial.variant)
    return names


def test_hand_written_variants_come_first_and_the_total_is_kept(begun):
    state = begun()
    names = run(state)
    assert names[:6] == list(params.load().quantize)
    assert [trial.handwritten for trial in state.trials] == [True] * 6 + [False] * 8
    assert len({trial.key for trial in state.trials}) == len(names) == 14


def test_the_front_has_no_less_hypervolume_than_what_is_hand_written(begun):
    state = begun()
    run(state)
    found = read(Found, state.folder / "found.json")
    assert found.hypervolume >= found.handwritten_hypervolume > 0
    assert {trial.number for trial in state.aims.front(state.trials)} == set(found.front)


def test_a_search_that_was_killed_goes_on_to_the_same_total(begun):
    killed = begun()
    run(killed, most=7)
    number, plan, _ = killed.ask()  # under way
    assert not (killed.folder / str(number) / "trial.json").exists()
    again = begun()
    assert again.folder == killed.folder
    assert [trial.variant for trial in again.trials] == [trial.variant for trial in killed.trials]
    names = run(again)
    assert names[0] == plan.variant
    assert len(again.trials) == 14
    assert len({trial.key for trial in again.trials}) == 14
    assert begun().ask() is None
    more = begun(trials=16)
    assert more.folder == killed.folder
    assert len(run(more)) == 2


def test_a_trial_that_was_recorded_but_not_told_is_not_made_again(begun):
    killed = begun()
    run(killed, most=7)
    number, plan, judge = killed.ask()
    trial = made(number, plan, judge)
    trial.save(killed.folder / str(number) / "trial.json")
    again = begun()
    assert len(again.trials) == 8
    assert trial.variant not in run(again)
    assert len(again.trials) == 14


def test_what_failed_is_tried_again_at_the_next_start_and_only_then_counts(begun):
    state = begun()
    number, plan, judge = state.ask()
    failed = made(number, plan, judge).model_copy(update={"status": "failed", "reason": "the board is away"})
    failed.save(state.folder / str(number) / "trial.json")
    state.tell(failed)
    again = begun()
    assert again.trials == []
    asked = [again.ask() for _ in params.load().quantize]
    assert plan.key in {plan.key for _, plan, _ in asked}
    for each in asked:
        again.tell(made(*each))
    assert len(begun().trials) == 0  # none was recorded by `tell` alone, and what failed is gone


def test_a_record_of_another_schema_is_left_out(begun, caplog):
    state = begun()
    run(state, most=3)
    broken = state.folder / str(state.trials[0].number) / "trial.json"
    broken.write_text('{"number": 0}')
    assert len(begun().trials) == 2
    assert f"left out: {broken}: not a Trial" in caplog.text


@pytest.mark.parametrize("what", ["tensorflow", "ai-edge-litert", "processor"])
def test_other_libraries_or_another_processor_are_another_study(begun, monkeypatch, what):
    first, installed = begun(), closure.installed
    _, plan, _ = next(asked for _ in params.load().quantize if (asked := first.ask())[1].models)
    place = first.workshop.place(plan, plan.models[-1][0])
    monkeypatch.setattr(closure, "installed", lambda name: "other" if name == what else installed(name))
    if what == "processor":
        monkeypatch.setattr(module.machine, what, lambda: {"cpu": "other"})
    other = begun()
    assert other.folder != first.folder
    # models hang from no runtime and no processor
    assert (other.workshop.place(plan, plan.models[-1][0]) != place) == (what == "tensorflow")


def test_another_device_file_is_another_study(begun):
    path = paths.device("ethos-u55-128")
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / path, path)
    first = begun(path.stem)
    assert begun(path.stem).folder == first.folder
    path.write_text(path.read_text().replace("accelerator: ethos-u55-128", "accelerator: ethos-u55-256"))
    assert begun(path.stem).folder != first.folder


def test_two_points_that_make_the_same_are_one_trial(begun):
    state = begun(parallel=3)
    plans = [state.ask() for _ in range(3)]
    assert len({plan.key for _, plan, _ in plans}) == 3
    for asked in plans:
        state.tell(made(*asked))
    assert len(state.trials) == 3


def test_a_small_space_ends_the_search_before_its_total(begun):
    state = begun(chains=((),), schemes=("int8", "dynamic"), trials=100)
    names = run(state)
    assert state.ask() is None
    assert 6 <= len(names) <= 3 * 4  # three models, four schemes


def test_other_goals_or_another_baseline_are_another_study(begun):
    first = begun()
    assert begun(trials=99, parallel=1, winners=9).folder == first.folder
    assert begun(seed=1).folder != first.folder
    priced = yaml.safe_load(paths.PARAMS.read_text())
    priced["benchmark"]["prices"] = {"currency": "EUR", "hour": {"host-cpu": {"value": 0.36, "source": "a list"}}}
    paths.PARAMS.write_text(yaml.safe_dump(priced))
    assert begun().folder != first.folder
    (paths.model("baseline") / "model.h5").write_bytes(b"other weights")
    assert begun().folder != first.folder


def test_another_file_of_the_users_own_is_another_study_and_other_models(begun):
    """A hand-written model, or its teacher, may be one from outside, of which params.yaml has the name alone."""
    paths.source("model").parent.mkdir()
    paths.source("model").write_text('{"models/theirs.h5": "1"}')
    first = begun()
    _, plan, _ = next(asked for _ in params.load().quantize if (asked := first.ask())[1].models)
    place = first.workshop.place(plan, plan.models[-1][0])
    assert begun().folder == first.folder
    paths.source("model").write_text('{"models/theirs.h5": "2"}')
    other = begun()
    assert other.folder != first.folder
    assert other.workshop.place(plan, plan.models[-1][0]) != place


def test_a_baseline_that_holds_a_folder_can_be_searched_from(begun):
    texts = paths.model("baseline") / "samples"
    texts.mkdir()
    (texts / "epoch-0001.txt").write_text("what a language model wrote")
    first = begun()
    assert begun().folder == first.folder
    (texts / "epoch-0001.txt").write_text("of another training")
    assert begun().folder != first.folder


def test_the_winners_are_written_once_and_the_search_stays_the_same(begun):
    state = begun()
    run(state)
    before = paths.PARAMS.read_text()
    written = state.conclude()
    text = paths.PARAMS.read_text()
    assert 1 <= len(written) <= 3
    assert all(name in params.load().quantize for name in written)
    assert [line for line in text.splitlines() if not line.lstrip().startswith("found-")] == before.splitlines()
    assert read(Found, state.folder / "found.json").winners == tuple(written)
    again = begun()
    assert again.folder == state.folder  # what the search has found is not hand-written
    assert again.ask() is None
    assert again.conclude() == written
    assert paths.PARAMS.read_text() == text


def test_the_best_is_told_with_its_distance_from_each_goal(begun):
    state = begun()
    run(state)
    found = json.loads((state.folder / "found.json").read_text())
    best = next(trial for trial in state.trials if trial.variant == found["best"])
    goal, drop = found["distances"]
    assert goal["goal"] == "gzip_bytes at most 500"
    assert goal["beyond"] == pytest.approx(max(0, best.figures["gzip_bytes"] - 500))
    assert drop["goal"] == "quality at most 0.05 below fp32 (0.9000)"
    assert drop["beyond"] == pytest.approx(max(0, 0.9 - best.figures["quality"]))
    assert found["within_goals"] == (goal["share"] == drop["share"] == 0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": "ok"}, 0.9),
        ({"status": "invalid", "passing": True}, 0.9),  # its times are none, its answers are what they are on any day
        ({"status": "invalid"}, 0.95),
        ({"status": "unsupported"}, 0.95),
    ],
)
def test_the_reference_is_judged_by_its_answers_on_a_device_however_busy_that_was(begun, monkeypatch, told, expected):
    def measure(made, _reference, device, protocol, *_rest):
        fields = {"variant": "fp32", "device": device, "device_kind": "ssh", "mode": protocol.mode, "reason": "why"}
        return Result(Measurement(**fields, artifact_sha256=made.card.sha256, **told))

    monkeypatch.setattr(module.pair, "measure", measure)
    monkeypatch.setattr(module, "device_quality", lambda *_: 0.9)
    asked = params.load().search.model_validate(
        {"objectives": [{"of": "quality", "device": "raspberry-pi-5"}, {"of": "gzip_bytes"}]}
    )
    opened = begun("raspberry-pi-5", objectives=asked.objectives, goals=())
    assert opened.aims.quality == {"quality": 0.95, "quality@raspberry-pi-5": expected}


def test_bits_are_looked_into_once_and_become_choices(begun, monkeypatch):
    looked = []
    layers = {"conv": bits.Layer(parameters=1000, drop=0.01), "dense": bits.Layer(parameters=50, drop=-0.01)}
    monkeypatch.setattr(bits, "table", lambda _search, _metric: looked.append(1) or layers)
    state = begun(bits=(8, 4), sampler="qubo", trials=20)
    run(state)
    begun(bits=(8, 4), sampler="qubo", trials=20)
    assert len(looked) == 1
    given = [json.dumps(trial.entry.get("bits", {})) for trial in state.trials if not trial.handwritten]
    assert {"{}", '{"conv": 4}'} <= set(given)
    assert set(given) <= {"{}", '{"conv": 4}', '{"dense": 4}', '{"conv": 4, "dense": 4}'}
    assert bits.prior("gzip_bytes", {"conv": layers["conv"]}, (8, 4)) == {("bits.conv", 0): 1000, ("bits.conv", 1): 500}
    assert bits.prior("quality", {"conv": layers["conv"]}, (8, 4)) == {("bits.conv", 0): 0, ("bits.conv", 1): 0.01}
    assert bits.prior("memory_kib", layers, (8, 4)) == {}
