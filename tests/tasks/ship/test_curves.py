"""Training curves: in their run while the model trains, and never twice."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import paths, track
from tasks.params import Params
from tasks.records import ModelCard, read

Store = Any  # of conftest.py
Stream = Callable[..., None]  # likewise


def test_a_streamed_curve_is_there_before_its_card_and_not_sent_again(
    store: Store, params: Params, stream: Stream
) -> None:
    stream(range(2))
    assert store.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]
    streamed = store.runs()["model baseline"].info.run_id
    track.publish(params)
    run = store.runs()["model baseline"]
    assert run.info.run_id == streamed
    assert run.data.params["method"] == "train"
    assert store.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]


def test_a_resumed_training_goes_on_in_its_run(store: Store, params: Params, stream: Stream) -> None:
    with pytest.raises(KeyboardInterrupt):
        stream(range(1), kill=True)
    track.settle()
    stream(range(1, 2))
    assert store.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]


def test_what_a_stream_left_out_is_filled_in(store: Store, params: Params, stream: Stream) -> None:
    stream(range(1, 2))  # resumed after an epoch that could not be sent
    streamed = store.runs()["model baseline"].info.run_id
    track.publish(params)
    assert store.runs()["model baseline"].info.run_id == streamed
    assert store.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]
    assert store.curve("model baseline", "val_accuracy") == [(0, 0.6), (1, 0.8)]


def test_a_training_that_starts_again_leaves_the_killed_run_behind(
    store: Store, params: Params, stream: Stream
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stream(range(1), kill=True)
    track.settle()
    stream(range(2))
    assert sorted((run.info.status, len(store.history(run))) for run in store.all_runs()) == [
        ("FINISHED", 2),
        ("KILLED", 1),
    ]


def test_a_curve_that_is_not_the_cards_stays_apart(store: Store, params: Params, stream: Stream) -> None:
    stream(range(2))
    path = paths.model("baseline") / "card.json"
    read(ModelCard, path).model_copy(update={"history": {"loss": (3.0, 2.0)}}).save(path)
    track.publish(params)
    baseline = [run for run in store.all_runs() if run.info.run_name == "model baseline"]
    assert sorted(sorted(store.history(run)) for run in baseline) == [[(0, 1.5), (1, 0.7)], [(0, 3.0), (1, 2.0)]]


def test_what_a_language_model_writes_is_in_its_run_while_it_trains_and_afterwards(
    store: Store, params: Params, tmp_path: Path
) -> None:
    def texts() -> dict[str, str]:
        run_id = store.runs()["model baseline"].info.run_id
        names = [each.path for each in store.client.list_artifacts(run_id, "samples")]
        return {name: Path(store.client.download_artifacts(run_id, name)).read_text() for name in names}

    written = tmp_path / "written"
    with track.curves("baseline", params, written) as on_epoch:
        for epoch in range(2):
            written.mkdir(exist_ok=True)
            (written / f"epoch-{epoch + 1:04}.txt").write_text(f"after {epoch}")
            on_epoch(epoch, {"loss": (1.5, 0.7)[epoch], "val_accuracy": (0.6, 0.8)[epoch]})
    track.settle()
    expected = {"samples/epoch-0001.txt": "after 0", "samples/epoch-0002.txt": "after 1"}
    assert texts() == expected
    shutil.copytree(written, paths.model("baseline") / "samples")
    track.publish(params)
    assert texts() == expected
    (paths.model("baseline") / "samples" / "epoch-0002.txt").write_text("otherwise")
    assert track.publish(params).sent == 1
    assert texts()["samples/epoch-0002.txt"] == "otherwise"


def test_training_without_an_epoch_makes_no_run(store: Store, params: Params, stream: Stream) -> None:
    stream(range(0))
    assert store.client.get_experiment_by_name("digits-cnn") is None
