"""Publishing: everything once, whatever happens."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import files, paths, track
from tasks.errors import DataError
from tasks.params import Params
from tasks.records import Comparison, Control, Energy, Instructions, Ratio, Row, Window, read
from tasks.report import compare
from tasks.track import contents, entries, ledger, publisher, server
from tests.phases import changed

ROOT = Path(__file__).resolve().parents[3]
Store = Any  # of conftest.py
GOLDEN = ROOT / "tests" / "golden"
RECORDS = 4 + 2 + 1 + 2 + 2  # runs of pairs, of models and of the report, artifacts, aliases
MakeRow = Callable[..., Row]


def test_a_run_holds_what_the_record_says(store: Store, params: Params) -> None:
    published = track.publish(params)
    assert published == track.Published(RECORDS, 0, 0, "sqlite:///mlflow.db")
    found = store.runs()
    assert set(found) == {
        *("float32 @ host-cpu", "int8 @ host-cpu", "float32 @ ethos-u55-128", "int8 @ ethos-u55-128"),
        *("model baseline", "model pruned", "report"),
    }
    run = found["int8 @ ethos-u55-128"]
    assert run.data.metrics == {
        "accuracy": 0.97,
        "latency_ms": 0.1,
        "bytes": (GOLDEN / "int8.tflite").stat().st_size,
        "gzip_bytes": 900,
    }, "what is not known is not 0"
    assert run.data.tags["latency_ms_source"] == "estimated"
    assert "energy_mj_source" not in run.data.tags
    assert (run.data.tags["metric"], run.data.tags["accuracy_interval"]) == ("accuracy", "0.95 to 0.98")
    assert {found[name].info.status for name in found} == {"FINISHED"}
    assert {found[name].data.tags["superseded"] for name in found} == {"false"}
    refused = found["float32 @ ethos-u55-128"]
    assert refused.data.tags["status"] == "unsupported"
    assert refused.data.tags["reason"] == "float32 is not for this device"
    assert refused.data.metrics == {}
    assert store.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]
    assert store.curve("model pruned", "val_accuracy") == [(0, 0.6), (1, 0.8)]


def test_the_registry_holds_each_artifact_and_names_the_champions(store: Store, params: Params) -> None:
    import mlflow

    track.publish(params)
    assert sorted(store.versions().values()) == ["float32", "int8"]
    fetched = mlflow.artifacts.download_artifacts(
        "models:/digits-cnn@candidate-host-cpu",
        dst_path="fetched",
        tracking_uri=server.absolute(server.DEFAULT_URI),
    )
    assert Path("mlartifacts/digits-cnn").is_dir(), "where .gitignore expects them"
    assert files.sha256(Path(fetched) / "model.tflite") == files.sha256(paths.artifact("int8") / "model.tflite")
    experiment = store.client.get_experiment_by_name("digits-cnn")
    models = store.client.search_logged_models([experiment.experiment_id], "name = 'int8'")
    linked = {(metric.key, metric.run_id): metric.value for metric in models[0].metrics}
    run_id = {name: run.info.run_id for name, run in store.runs().items()}
    assert linked["latency_ms", run_id["int8 @ host-cpu"]] == 0.5
    assert linked["latency_ms", run_id["int8 @ ethos-u55-128"]] == 0.1


def test_an_alias_follows_the_champion_there_and_back(store: Store, params: Params) -> None:
    track.publish(params)

    def champion() -> str | None:
        alias = store.client.get_registered_model("digits-cnn").aliases.get("candidate-host-cpu")
        return store.versions()[str(alias)] if alias else None

    manifest = paths.bundle("host-cpu") / "manifest.json"
    original = json.loads(manifest.read_text())
    other = {**original, "artifact_sha256": files.sha256(paths.artifact("float32") / "model.tflite")}
    nobody = {**original, "variant": None, "artifact_sha256": None}
    for bundle, expected in ((other, "float32"), (original, "int8"), (nobody, None), (original, "int8")):
        files.write_json(manifest, bundle)
        assert track.publish(params).sent == 1
        assert champion() == expected


def test_a_repeat_sends_nothing_also_without_the_ledger(store: Store, params: Params) -> None:
    track.publish(params)
    assert track.publish(params) == track.Published(0, RECORDS, 0, "sqlite:///mlflow.db")
    ledger.LEDGER.unlink()
    assert track.publish(params) == track.Published(0, RECORDS, 0, "sqlite:///mlflow.db")
    ledger.LEDGER.write_text("{half", encoding="utf-8")
    assert track.publish(params).sent == 0
    assert len(store.runs()) == 7
    assert len(store.versions()) == 2


def test_a_database_that_was_deleted_gets_everything_although_the_ledger_knows_it(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake:
        """A store that takes everything."""

        def __init__(self, uri: str, name: str) -> None: ...

        def send(self, entry: entries.Entry) -> str:
            return "sent"

    monkeypatch.setattr(publisher, "Store", Fake)
    assert [track.publish(params).sent for _ in range(2)] == [RECORDS, 0]
    Path("mlflow.db").unlink()
    assert track.publish(params).sent == RECORDS


def rewrite(change: Callable[[Row], Row]) -> None:
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    comparison.model_copy(update={"rows": tuple(map(change, comparison.rows))}).save(paths.REPORT / "comparison.json")


def test_only_what_changed_is_sent(store: Store, params: Params) -> None:
    track.publish(params)
    control = Control(variant="finetuned", total_epochs=3, quality=0.9, paired=None)
    derived = {"fronts": (), "verdict": "another", "control": control}
    rewrite(lambda row: row.model_copy(update=derived))
    assert track.publish(params).sent == 1, "the report alone: what other rows say of a row is not sent with it"
    assert len(store.all_runs()) == 8
    rewrite(lambda row: row.model_copy(update={"validation_quality": 0.5} if row.variant == "int8" else {}))
    assert track.publish(params).sent == 1 + 2


def test_what_was_is_told_from_what_is(store: Store, params: Params) -> None:
    track.publish(params)
    original = (paths.REPORT / "comparison.json").read_bytes()

    def slower(row: Row) -> Row:
        if row.variant != "int8" or row.device != "host-cpu":
            return row
        latency = row.measurement.latency.model_copy(update={"ms_p50": 0.7})
        return row.model_copy(update={"measurement": changed(row.measurement, latency=latency)})

    def states() -> dict[float, str]:
        runs = [run for run in store.all_runs() if run.info.run_name == "int8 @ host-cpu"]
        return {run.data.metrics["latency_ms"]: run.data.tags["superseded"] for run in runs}

    rewrite(slower)
    track.publish(params)
    assert states() == {0.5: "true", 0.7: "false"}
    (paths.REPORT / "comparison.json").write_bytes(original)
    track.publish(params)
    assert states() == {0.5: "false", 0.7: "true"}, "a digest that comes back is the run that was there"
    reports = [run.data.tags["superseded"] for run in store.all_runs() if run.info.run_name == "report"]
    assert sorted(reports) == ["false", "true"]
    version = store.client.get_model_version_by_alias("digits-cnn", "candidate-host-cpu")
    assert "| host-cpu | 0.97 | 0.5 |" in version.description


def test_what_is_described_no_more_is_superseded_until_it_comes_back(store: Store, params: Params) -> None:
    track.publish(params)
    path = paths.REPORT / "comparison.json"
    original = path.read_bytes()

    def standing() -> set[str]:
        return {run.info.run_name for run in store.all_runs() if run.data.tags["superseded"] == "false"}

    everything = standing()
    comparison = read(Comparison, path)
    rows = tuple(row for row in comparison.rows if row.variant != "int8")
    comparison.model_copy(update={"rows": rows, "failures": ("int8: failed",)}).save(path)
    assert track.publish(params).sent == 1, "the report"
    assert standing() == everything - {"int8 @ host-cpu", "int8 @ ethos-u55-128"}
    path.write_bytes(original)
    track.publish(params)
    assert standing() == everything
    assert len(store.all_runs()) == 8, "two reports, and what came back is the run that was there"


def test_what_another_clone_has_sent_stands(store: Store, params: Params) -> None:
    """It may measure other variants, on other devices, for the same experiment."""
    track.publish(params)
    ledger.LEDGER.unlink()
    path = paths.REPORT / "comparison.json"
    comparison = read(Comparison, path)
    here = tuple(row for row in comparison.rows if (row.variant, row.device) != ("int8", "ethos-u55-128"))
    comparison.model_copy(update={"rows": here}).save(path)
    track.publish(params)
    (run,) = (run for run in store.all_runs() if run.info.run_name == "int8 @ ethos-u55-128")
    assert run.data.tags["superseded"] == "false"


@pytest.mark.parametrize("status", ["invalid", "error", "unsupported"])
def test_figures_of_a_pair_that_is_not_ok_are_not_sent(store: Store, params: Params, status: str) -> None:
    def spoilt(row: Row) -> Row:
        energy = Energy(kind="counter_rapl", mj=3.0)
        measurement = changed(row.measurement, status=status, reason="too busy", energy=energy)
        return row.model_copy(update={"measurement": measurement})

    rewrite(spoilt)
    pairs = [entry for entry in contents.collect(params) if isinstance(entry, entries.Run) and not entry.model]
    assert len(pairs) == 4
    for run in pairs:
        assert run.points == ()
        assert (run.tags["status"], run.tags["reason"]) == (status, "too busy")
        assert run.artifact_sha256 is None


def test_ratios_and_instructions_are_sent_as_the_terminal_shows_them(make_row: MakeRow) -> None:
    estimated = {"device": "npu", "provenance": "estimated"}
    counted = {"device": "arm", "latency_ms": None}
    paired = Ratio(value=0.5, low=0.4, high=0.6, pairs=3)
    energy = Energy(kind="counter_rapl", mj=2.0, ratio=Ratio(value=0.7, low=0.6, high=0.8, pairs=3))
    rows = [
        make_row("float32", latency_ms=2.0),
        make_row("int8", latency_ms=1.1, ratio=paired, reference="float32", energy=energy),
        make_row("float32", latency_ms=2.0, **estimated),
        make_row("int8", latency_ms=0.5, **estimated),
        make_row("float32", instructions=Instructions(per_inference=100, spread=0, cpu="a"), **counted),
        make_row("int8", instructions=Instructions(per_inference=150, spread=0, cpu="a"), **counted),
    ]
    rows = [row for device in compare.by_device(rows).values() for row in compare.with_speed(device, "float32")]
    runs = {(row.variant, row.device): contents.of_row("w", row, {}, None) for row in rows}
    found = {key: {point.key: point.value for point in run.points} for key, run in runs.items()}
    assert found["int8", "host-cpu"]["latency_ratio"] == 0.5
    assert (found["int8", "host-cpu"]["energy_mj"], found["int8", "host-cpu"]["energy_ratio"]) == (2.0, 0.7)
    assert found["int8", "npu"]["latency_ratio"] == 0.25
    assert (found["int8", "arm"]["instructions"], found["int8", "arm"]["instructions_ratio"]) == (150, 1.5)
    assert not [name for key, known in found.items() if key[0] == "float32" for name in known if "ratio" in name]
    tags = runs["int8", "host-cpu"].tags
    assert (tags["ratio_against"], tags["latency_ratio_interval"]) == ("float32", "0.4 to 0.6")


def test_the_ends_of_an_energy_are_called_what_they_are(make_row: MakeRow) -> None:
    def named(kind: str, windows: int) -> list[str]:
        energy = Energy(kind=kind, mj=2.0, low_mj=1.5, high_mj=2.5)  # type: ignore[arg-type]  # checked by pydantic
        window = Window(
            variant="int8", runs=9, seconds=1, busy_s=1, ms_p10=1, ms_p50=1, ms_mean=1, cpu_ms_mean=1,
            load_ms=1, first_ms=1, peak_memory_kib=None, energy_mj=2.0,
        )  # fmt: skip
        row = make_row("int8", energy=energy, windows=(window,) * windows)
        tags = contents.of_row("w", row, {}, None).tags
        assert tags.pop("energy_mj_source") == kind
        assert tags.pop("energy_mj_error", None) == ("error not known" if kind.startswith("estimate_") else None)
        assert all(tags[name] == "1.5 to 2.5" for name in tags if name.startswith("energy_mj_"))
        return [name for name in tags if name.startswith("energy_mj_")]

    assert named("counter_rapl", 6) == ["energy_mj_interval"]
    assert named("counter_rapl", 5) == ["energy_mj_range"]
    assert named("estimate_cpu_time", 6) == ["energy_mj_bounds"]
    assert named("estimate_compiler", 0) == ["energy_mj_bounds"]


SHAPES = [[], None, "text", 1, {"sqlite:///mlflow.db": []}, {"sqlite:///mlflow.db": {"a": 1}}, {"b": None}]


@pytest.mark.parametrize("written", SHAPES, ids=json.dumps)
def test_what_is_no_ledger_counts_as_an_empty_one(project: Path, written: Any) -> None:
    entry = entries.Alias("key", "name", None)
    files.write_json(ledger.LEDGER, written)
    Path("mlflow.db").write_bytes(b"a database")
    assert ledger.unknown(server.DEFAULT_URI, [entry]) == [entry]
    ledger.remember(server.DEFAULT_URI, entry)
    assert ledger.unknown(server.DEFAULT_URI, [entry]) == []


def test_a_ledger_with_secrets_in_it_is_understood_and_loses_them(project: Path) -> None:
    old, new = (entries.Alias(key, key, None) for key in ("old", "new"))
    files.write_json(ledger.LEDGER, {"http://user:S3cr3t@host:5000": {"old": old.digest}, "http://h?token=S3cr3t": {}})
    assert ledger.unknown("http://host:5000", [old, new]) == [new]
    ledger.remember("http://user:0ther@host:5000", new)
    ledger.gather()
    assert json.loads(ledger.LEDGER.read_text()) == {
        "http://host:5000": {"old": old.digest, "new": new.digest},
        "http://h": {},
    }


def test_each_record_is_noted_by_a_line_and_a_line_that_a_kill_has_cut_is_left_out(project: Path) -> None:
    entries = [contents.Alias(f"key {n}", "name", None) for n in range(100)]
    Path("mlflow.db").write_bytes(b"a database")
    for entry in entries:
        ledger.remember(server.DEFAULT_URI, entry)
    assert not ledger.LEDGER.exists()
    assert len(ledger.LATEST.read_text().splitlines()) == len(entries)
    ledger.LATEST.write_text(ledger.LATEST.read_text()[:-9])
    for _ in range(2):
        assert ledger.unknown(server.DEFAULT_URI, entries) == entries[-1:]
        ledger.gather()
    assert not ledger.LATEST.exists()


def test_stores_that_differ_in_what_is_not_shown_are_not_taken_for_one(project: Path) -> None:
    entry = entries.Alias("key", "name", None)
    ledger.remember("postgresql://host/db?options=a", entry)
    assert ledger.unknown("postgresql://host/db?options=b", [entry]) == [entry]


CALLS = (  # in the order in which a publisher makes them first
    *("create_run", "create_logged_model", "log_outputs", "log_batch", "set_terminated", "log_artifacts"),
    *("log_model_artifact", "finalize_logged_model", "create_model_version", "set_registered_model_alias"),
)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_publisher_killed_anywhere_is_completed_by_the_next(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    import mlflow

    class Killed(BaseException):
        """Not an Exception: nothing may handle it, as nothing handles a kill."""

    for method in CALLS:
        real = getattr(mlflow.MlflowClient, method)

        def dies(self: Any, *args: Any, real: Any = real, **kwargs: Any) -> None:
            if when == "after":
                real(self, *args, **kwargs)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(mlflow.MlflowClient, method, dies)
            with pytest.raises(Killed):
                track.publish(params)
    track.publish(params)
    assert len(store.runs()) == 7
    assert {run.info.status for run in store.runs().values()} == {"FINISHED"}
    assert sorted(store.versions().values()) == ["float32", "int8"]
    assert store.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]
    assert store.curve("int8 @ host-cpu", "latency_ms") == [(0, 0.5)]
    ledger.LEDGER.unlink()
    assert track.publish(params).sent == 0


def test_two_publishers_at_once_send_everything_once(store: Store, params: Params) -> None:
    published: list[track.Published] = []
    threads = [threading.Thread(target=lambda: published.append(track.publish(params))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(each.sent for each in published) == [0, RECORDS]
    assert len(store.runs()) == 7


def test_nothing_new_costs_nothing(store: Store, params: Params) -> None:
    track.publish(params)
    script = """
import sys, time
from tasks import track
from tasks.params import Budget, Params
params = Params.model_validate_json(sys.stdin.read())
start = time.process_time()
published = track.publish(params)
print(time.process_time() - start, published.sent, published.already, "mlflow" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, input=params.model_dump_json(), capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    seconds, *rest = done.stdout.split()
    assert rest == ["0", str(RECORDS), "False"]
    assert float(seconds) < 0.05


def test_a_file_that_is_elsewhere_waits(store: Store, params: Params) -> None:
    artifact = paths.artifact("int8") / "model.tflite"
    artifact.rename("kept")
    published = track.publish(params)
    assert (published.sent, published.waiting) == (RECORDS - 3, 3)  # the file, and the two aliases for it
    Path("kept").rename(artifact)
    published = track.publish(params)
    assert (published.sent, published.already, published.waiting) == (3, RECORDS - 3, 0)


def test_the_report_must_be_there(project: Path, params: Params) -> None:
    with pytest.raises(DataError, match="has not run"):
        track.publish(params)
