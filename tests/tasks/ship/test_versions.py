"""What is in use is read off the registry: by its alias, to the byte."""

from pathlib import Path

import pytest

from tasks import files, paths, track
from tasks.errors import DataError
from tasks.gate import registered
from tasks.params import Params
from tasks.records import ArtifactCard, read
from tasks.track import versions
from tests.tasks.ship.conftest import Store


def test_a_file_of_the_registry_comes_back_as_the_artifact_that_was_sent(
    store: Store, params: Params, tmp_path: Path
) -> None:
    assert versions.aliases(params.name) == {}
    track.publish(params)
    known = versions.aliases(params.name)
    assert known.keys() == {"candidate-host-cpu", "candidate-ethos-u55-128"}
    version = versions.fetch(params.name, known["candidate-host-cpu"], tmp_path / "found")
    assert version.name == f"digits-cnn/{known['candidate-host-cpu']}"
    assert version.inputs is None
    same(version)


def test_a_champion_comes_back_out_of_its_bundle_with_how_it_prepares_inputs(
    store: Store, params: Params, tmp_path: Path
) -> None:
    track.promote(paths.bundle("host-cpu"), params.name)
    known = versions.aliases(params.name)
    version = versions.fetch(params.name, known["champion-host-cpu"], tmp_path / "found")
    described = files.read_json(paths.bundle("host-cpu") / "preprocess.json")
    assert version.inputs == described["inputs"]
    same(version)


def same(version: versions.Version) -> None:
    """As the project has it."""
    card = read(ArtifactCard, paths.artifact(version.tags["variant"]) / "card.json")
    assert files.sha256(version.file) == card.sha256 == version.sha256
    made = registered.artifact(version, card)
    assert made.path == version.file
    alike = ("variant", "scheme", "sha256", "bytes", "inputs", "outputs", "operators", "signatures")
    assert {name: getattr(made.card, name) for name in alike} == {name: getattr(card, name) for name in alike}


def test_a_version_without_the_variants_own_file_is_refused(
    store: Store, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track.publish(params)
    monkeypatch.setattr(files, "sha256", lambda path: "0" * 64)
    with pytest.raises(DataError, match=r"digits-cnn/1: it holds no LiteRT file of the variant's own, of the SHA-256 "):
        versions.fetch(params.name, "1", tmp_path / "found")


def test_what_is_no_litert_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"nothing")
    version = versions.Version("digits-cnn/1", {}, path, files.sha256(path))
    with pytest.raises(DataError, match="digits-cnn/1: not a whole LiteRT file"):
        registered.artifact(version, ArtifactCard.model_construct())


def test_where_there_is_no_store_there_is_no_alias_and_none_is_made(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert versions.aliases("digits-cnn") == {}
    assert not list(project.iterdir())


def test_the_alias_of_a_device_that_is_removed_goes_unless_another_project_has_moved_it(
    store: Store, params: Params
) -> None:
    less = params.model_copy(update={"benchmark": params.benchmark.model_copy(update={"devices": ["host-cpu"]})})

    def sent(settings: Params) -> dict[str, str]:
        table = paths.REPORT / "comparison.json"  # made anew, as by any run that removes a device
        table.write_text(table.read_text() + "\n")
        track.publish(settings)
        return versions.aliases("digits-cnn")

    both = sent(params)
    assert set(both) == {"candidate-host-cpu", "candidate-ethos-u55-128"}
    assert set(sent(less)) == {"candidate-host-cpu"}
    assert sent(params) == both, "it comes back with the device"
    moved = both | {"candidate-ethos-u55-128": str(3 - int(both["candidate-ethos-u55-128"]))}
    assert moved != both
    store.client.set_registered_model_alias("digits-cnn", "candidate-ethos-u55-128", moved["candidate-ethos-u55-128"])
    assert sent(less) == moved
