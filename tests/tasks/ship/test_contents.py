"""What a user of MLflow looks for: where the figures come from, what a sweep varied, the report, the file."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import files, paths, records, track
from tasks.params import Params
from tasks.records import ClassFigures, Comparison, Evaluation, ModelCard, Published, Row, Sample
from tasks.track import confusion, contents, lineage, server
from tasks.track.store import Store as Sender

Store = Any  # of conftest.py
MakeRow = Callable[..., Row]
COUNTS = ((3, 1), (0, 4))


def evaluation(variant: str) -> Evaluation:
    classes = (
        ClassFigures(name="<a>", n=4, precision=1, recall=0.75),
        ClassFigures(name="b", n=4, precision=1, recall=1),
    )
    return Evaluation(
        variant=variant,
        artifact_sha256="0" * 64,
        runtime="r",
        scores=(),
        classes=classes,
        confusion=COUNTS,
        sample=Sample(before="the c", text="at söt", tokens=(1, 2)),
    )


def made_by(name: str, /, **sections: dict[str, Any]) -> None:
    path = paths.model(name) / "card.json"
    records.read(ModelCard, path).model_copy(update={"params": sections}).save(path)


@pytest.fixture
def told(store: Store, params: Params) -> Store:
    """A store, and a project whose cards say by which parameters all was made."""
    made_by("baseline", model=params.model.known(), train=params.train.known())
    made_by("pruned", prune=params.compress["pruned"].known())
    data = {"source": "digits", "seed": 7, "counts": {"train": 100, "test": 20}, "origin": {"a.npy": "1"}}
    files.write_json(paths.DATA / "card.json", data | {"sha256": {"train/x.npy": "2"}})
    for variant in params.quantize:
        evaluation(variant).save(paths.evaluation(variant))
    for name in ("index.html", "comparison.csv"):
        (paths.REPORT / name).write_text(f"<p>{name}</p>")
    paths.PARAMS.write_text("name: digits-cnn\n")
    return store


def test_a_run_says_all_that_led_to_it(told: Store, params: Params) -> None:
    track.publish(params)
    run = told.runs()["int8 @ host-cpu"]
    assert (
        run.data.params.items()
        >= {
            "variant": "int8",
            "device": "host-cpu",
            "model": "pruned",
            "scheme": "int8",
            "prepare.source": "digits",
            "prepare.seed": "7",
            "prepare.train": "100",
            "model.family": "cnn",
            "model.filters": "[32, 64]",
            "train.epochs": "2",
            "train.learning_rate": "0.001",
            "train.seed": "0",
            "prune.sparsity": "0.5",
            "prune.epochs": "1",
        }.items()
    )
    assert not [name for name in run.data.params if name.startswith("prune.") and name.endswith(("parent", "method"))]
    assert "prune.temperature" not in run.data.params, "there is no teacher"
    assert told.runs()["model pruned"].data.params["prune.sparsity"] == "0.5"
    assert "prune.sparsity" not in told.runs()["float32 @ host-cpu"].data.params
    given = run.inputs.dataset_inputs[0].dataset
    assert (given.name, given.source) == ("digits", "a.npy")


def test_a_run_lasts_as_long_as_its_measurement(told: Store, params: Params) -> None:
    report = paths.REPORT / "comparison.json"
    first, *others = records.read(Comparison, report).rows
    timed = first.measurement.model_copy(update={"began_ms": 1_000_000, "ended_ms": 1_002_500})
    rows = (first.model_copy(update={"measurement": timed}), *others)
    records.read(Comparison, report).model_copy(update={"rows": rows}).save(report)
    track.publish(params)
    info = told.runs()["float32 @ host-cpu"].info
    assert (info.start_time, info.end_time) == (1_000_000, 1_002_500)


def test_a_sweep_is_told_apart_by_what_was_swept(told: Store, params: Params, make_row: MakeRow) -> None:
    comparison = records.read(Comparison, paths.REPORT / "comparison.json")
    row = next(row for row in comparison.rows if row.variant == "int8")
    runs = []
    for sparsity in (0.8, 0.9):
        made_by("pruned", prune=params.compress["pruned"].model_copy(update={"sparsity": sparsity}).known())
        runs.append(contents.of_row("w", row, lineage.of_variant("int8", "pruned"), None))
    first, second = runs
    differ = {name for name in first.params if first.params[name] != second.params[name]}
    assert differ == {"prune.sparsity"}
    assert first.digest != second.digest


def test_a_method_that_stands_twice_has_a_number(told: Store, params: Params) -> None:
    card = records.read(ModelCard, paths.model("pruned") / "card.json")
    again = card.model_copy(update={"model": "twice", "parent": "pruned", "params": {"prune": {"sparsity": 0.9}}})
    again.save(paths.model("twice") / "card.json")
    found = lineage.of_model("twice")
    assert (found["prune.sparsity"], found["prune-2.sparsity"]) == ("0.5", "0.9")


def test_more_parameters_than_a_request_takes_all_arrive(told: Store, params: Params) -> None:
    widths = {f"layer{i}": i for i in range(250)}
    made_by("pruned", slim={f"key{i}": i for i in widths.values()})
    track.publish(params)
    found = told.runs()["int8 @ host-cpu"].data.params
    assert {f"slim.key{i}": str(i) for i in range(250)}.items() <= found.items()


def test_the_experiment_opens_on_its_runs_also_where_it_was_there(told: Store, params: Params) -> None:
    told.client.create_experiment("digits-cnn")
    track.publish(params)
    kind = {"mlflow.experimentKind": "custom_model_development"}
    assert told.client.get_experiment_by_name("digits-cnn").tags.items() >= kind.items()
    Sender(server.DEFAULT_URI, "another")
    assert told.client.get_experiment_by_name("another").tags.items() >= kind.items()


def test_the_report_is_a_run_that_can_be_read(told: Store, params: Params, tmp_path: Path) -> None:
    track.publish(params)
    fetched = Path(told.client.download_artifacts(told.runs()["report"].info.run_id, "", str(tmp_path / "fetched")))
    for name in ("index.html", "comparison.csv", "comparison.json"):
        assert (fetched / name).read_bytes() == (paths.REPORT / name).read_bytes()
    assert (fetched / "params.yaml").read_text() == "name: digits-cnn\n"
    matrix = json.loads((fetched / "confusion/int8.json").read_text())
    assert matrix == {"classes": ["<a>", "b"], "counts": [[3, 1], [0, 4]]}
    assert "&lt;a&gt;" in (fetched / "confusion/int8.html").read_text()
    assert (fetched / "samples/int8.txt").read_text(encoding="utf-8") == "the c|at söt\n"
    before = len(told.all_runs())
    assert track.publish(params).sent == 0
    paths.PARAMS.write_text("name: digits-cnn # again\n")
    assert track.publish(params).sent == 1
    assert len(told.all_runs()) == before + 1


def test_what_others_have_published_is_a_tag_and_no_metric(make_row: MakeRow) -> None:
    others = Published(
        network="ResNet-8", ran_on="X", precision="int8", latency_ms=165.5, energy_mj=5.5, source="s", note=""
    )  # fmt: skip
    plain, told = (contents.of_row("e", make_row(published=each), {}, None) for each in ((), (others,)))
    assert told.tags["published"] == "ResNet-8, int8, X: 165.5 ms, 5.5 mJ (s)"
    assert "published" not in plain.tags
    assert told.points == plain.points


def test_a_page_of_confusions_has_every_count_in_its_place() -> None:
    from html.parser import HTMLParser

    class Cells(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.rows: list[list[str]] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag == "tr":
                self.rows.append([])

        def handle_data(self, data: str) -> None:
            if self.rows and data.strip():
                self.rows[-1].append(data)

    read = Cells()
    read.feed(confusion.page(evaluation("int8")))
    assert read.rows == [["<a>", "b"], ["<a>", "3", "1"], ["b", "0", "4"]]


def test_a_version_leads_to_its_run_and_says_what_it_is_worth(told: Store, params: Params) -> None:
    track.publish(params)
    version = told.client.get_model_version_by_alias("digits-cnn", "candidate-host-cpu")
    run = told.runs()["int8 @ host-cpu"]
    assert version.run_id == run.info.run_id
    table = list(csv.reader(version.description.splitlines(), delimiter="|"))
    cells = [[cell.strip() for cell in line[1:-1]] for line in table]
    assert cells[0] == ["device", "quality", "latency_ms", "bytes", "gzip_bytes"]
    assert [line[:3] for line in cells[2:]] == [["host-cpu", "0.97", "0.5"], ["ethos-u55-128", "0.97", "0.1"]]
    assert cells[2][3] == f"{(paths.artifact('int8') / 'model.tflite').stat().st_size:,}"
    logged = told.client.get_logged_model(version.source.removeprefix("models:/"))
    assert logged.source_run_id == run.info.run_id
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]
    shown = told.client.search_model_versions(f"run_id = '{run.info.run_id}'")  # what the run's page asks
    assert [each.version for each in shown] == [version.version]
