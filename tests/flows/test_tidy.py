"""What is left of an earlier params.yaml."""

import json
from pathlib import Path

import pytest
import yaml

from flows.tidy import tidy
from tasks import paths
from tasks.params import Params

ROOT = Path(__file__).resolve().parents[2]


def test_bundles_of_other_devices_go_and_the_rest_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Params.model_validate(yaml.safe_load((ROOT / "infra/presets/smoke.yaml").read_text()))
    device, variant, model = params.benchmark.devices[0], next(iter(params.quantize)), next(iter(params.compress))
    used = [
        paths.bundle(device) / "manifest.json",
        paths.bundle(".half.new.1.tmp") / "manifest.json",
        *(paths.model(name) / "card.json" for name in ("baseline", model)),
        paths.artifact(variant) / "card.json",
        paths.evaluation(variant),
        *(place(variant, device) for place in (paths.benchmark, paths.samples)),
        paths.fingerprint(device),
        *(paths.CHECKPOINTS / of / "1" for of in ("train", f"compress.{model}", f"quantize.{variant}")),
    ]
    gone, left = paths.bundle("old") / "model.tflite", [paths.benchmark(variant, "old"), paths.samples(variant, "old")]
    left += [paths.artifact("gone") / "card.json", paths.evaluation("gone"), paths.fingerprint("old")]
    left.append(paths.CHECKPOINTS / "compress.gone" / "1")
    for path in (*used, gone, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    tidy(params)
    assert not gone.parent.exists()
    assert all(path.exists() for path in (*used, *left))
    removed, told = capsys.readouterr().err.splitlines()
    assert removed.startswith("removed out/bundles/old: ")
    assert told.startswith(
        "left of an earlier params.yaml, and used by nothing: .tercet/checkpoints/compress.gone, out/artifacts/gone, "
    )
    assert " and 3 more; " in told
    for path in left:
        path.unlink()
    for folder in (paths.artifact("gone"), paths.CHECKPOINTS / "compress.gone"):
        folder.rmdir()
    tidy(params)
    assert capsys.readouterr().err == ""


def test_what_somebody_has_put_beside_the_bundles_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Params.model_validate(yaml.safe_load((ROOT / "infra/presets/smoke.yaml").read_text()))
    device = params.benchmark.devices[0]
    for folder, of in (
        (paths.bundle(device), device),
        (paths.bundle("of-march"), device),
        (paths.bundle("old"), "old"),
    ):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"device": of}))
    packed = paths.BUNDLES / "of-march.tar.gz"
    packed.touch()
    tidy(params)
    assert packed.exists()
    assert sorted(path.name for path in paths.BUNDLES.iterdir() if path.is_dir()) == sorted([device, "of-march"])
    assert capsys.readouterr().err.startswith("removed out/bundles/old: ")
