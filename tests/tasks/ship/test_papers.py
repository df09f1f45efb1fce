"""What a bundle says of itself: its manifest by the schema, its model card by its manifest, its bill by CycloneDX."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks import files, paths
from tasks.errors import DataError
from tasks.params import Bundle, Params
from tasks.records import read
from tasks.records.figures import FIGURES
from tasks.ship import libraries, licences
from tasks.ship.manifest import Manifest
from tasks.stages import bundle as stage
from tests import checkpoints
from tests.bundles import GOLDEN

DEVICES = ("host-cpu", "ethos-u55-128")
NUMBER = re.compile(r"(?<![\w.-])\d+(?:[.,]\d+)*(?!\w)")  # no part of a digest or a name


@pytest.fixture
def shipped_to(ready: Path, params: Params) -> Callable[[str], Path]:
    """A function that makes a device's bundle; `out/code` is as it would be."""
    for device in DEVICES:
        files.write_json(paths.code(f"bundle.{device}"), {"files": {"a.py": "0" * 32}, "libraries": {}})

    def make(device: str) -> Path:
        stage.bundle(params, device)
        return paths.bundle(device)

    return make


@pytest.fixture
def folder(shipped_to: Callable[[str], Path]) -> Path:
    """The processor's bundle."""
    return shipped_to("host-cpu")


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def leaves(value: Any) -> Iterator[Any]:
    """Every name, text and number in a value of JSON."""
    if isinstance(value, dict | list):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def test_the_manifest_keeps_to_its_schema_and_to_the_files(folder: Path) -> None:
    schema = Manifest.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    manifest = told(folder)
    jsonschema.Draft202012Validator(schema).validate(manifest)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**manifest, "files": {"model.tflite": "a digest alone"}})
    assert manifest["schema_version"] == 2
    sizes = {name: file["bytes"] for name, file in manifest["files"].items()}
    assert sizes == {name: (folder / name).stat().st_size for name in sizes}
    assert {"MODEL_CARD.md", "sbom.cdx.json", "examples.npz"} <= sizes.keys()


def test_the_manifest_knows_what_goes_in_and_out_and_where_all_comes_from(folder: Path) -> None:
    manifest, interpreter = told(folder), Interpreter(str(GOLDEN / "int8.tflite"))
    for side in ("input", "output"):
        (given,) = getattr(interpreter, f"get_{side}_details")()
        (found,) = manifest["made"][f"{side}s"]
        assert (found["shape"], found["dtype"]) == (list(given["shape"][1:]), np.dtype(given["dtype"]).name)
        assert (pytest.approx(found["scale"]), found["zero_point"]) == given["quantization"]
    assert manifest["data"]["origin"] == {"noise.npy": "0" * 64}
    assert manifest["data"]["sha256"] == files.sha256(paths.DATA / "card.json")
    assert manifest["code_sha256"] == files.sha256(paths.code("bundle.host-cpu"))
    for key, found in manifest["figures"].items():
        assert (found["unit"], found["better"]) == (FIGURES[key].unit, FIGURES[key].better)
        assert found["provenance"] == "measured"
    assert manifest["licences"]["tercet"] == "MIT"
    assert manifest["licences"]["data"] is manifest["licences"]["model"] is None
    assert "BSD-3-Clause" in manifest["licences"]["numpy"]


def test_an_estimate_is_called_one(shipped_to: Callable[[str], Path]) -> None:
    folder = shipped_to("ethos-u55-128")
    assert told(folder)["figures"]["latency_ms"]["provenance"] == "estimated"
    card = (folder / "MODEL_CARD.md").read_text()
    assert re.search(r"latency_ms \|.*\| ms \|.*\| estimated \|", card)
    assert "Quality was not found on the device: the host stood in for it." in card


@pytest.mark.parametrize("device", DEVICES)
def test_no_number_or_name_of_the_model_card_is_without_a_record(
    shipped_to: Callable[[str], Path], device: str
) -> None:
    folder = shipped_to(device)
    manifest, card = told(folder), (folder / "MODEL_CARD.md").read_text()
    known = list(leaves(manifest))
    words = set(NUMBER.findall(" ".join(each for each in known if isinstance(each, str)) + " 95 %"))
    numbers = [abs(each) for each in known if isinstance(each, int | float)]
    for shown in NUMBER.findall(card):
        stands = shown in words or any(np.isclose(float(shown), each, rtol=1e-5) for each in numbers)
        assert stands, f"{shown} is in no record"
    assert set(re.findall(r"\b[0-9a-f]{64}\b", card)) <= set(known), "every digest is one of a record's"
    assert "None" not in card
    for name, figure in manifest["figures"].items():
        assert f"| {name} | {figure['value']:.6g} | {figure['unit']} |" in card
    for licence in filter(None, manifest["licences"].values()):
        assert licence in card


def test_what_the_figures_do_not_show_and_what_was_not_kept_to_stands_in_the_card(ready: Path, params: Params) -> None:
    hard = Bundle.model_validate({"default": {"max_latency_ms": 0.25, "max_quality_drop": 0.01}})
    stage.bundle(params.model_copy(update={"bundle": hard}), "host-cpu")
    folder = paths.bundle("host-cpu")
    card, manifest = (folder / "MODEL_CARD.md").read_text(), read(Manifest, folder / "manifest.json")
    assert "| latency_ms | 0.25 | beyond it by 1 of it |" in card, "0.5 ms are twice as much"
    assert "| quality_drop | 0.01 | yes |" in card
    assert manifest.doubts
    assert all(f"- {doubt}" in card for doubt in manifest.doubts)


def test_the_bill_of_materials_is_one_and_names_all_that_runs(folder: Path) -> None:
    written = (folder / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.replace('"SHA-256"', '"SHA-257"')) is not None
    bill, manifest = json.loads(written), told(folder)
    parts = {part["bom-ref"]: part for part in bill["components"]}
    named = {part["name"]: part["hashes"][0]["content"] for part in parts.values() if part["type"] == "file"}
    after = {"sbom.cdx.json"}
    assert named == {name: file["sha256"] for name, file in manifest["files"].items() if name not in after}
    assert bill["metadata"]["component"]["hashes"][0]["content"] == manifest["program"]["sha256"]
    wanted = {"numpy", "ai-edge-litert"}
    for line in requires("ai-edge-litert") or []:
        asked = Requirement(line)
        if asked.marker is None or asked.marker.evaluate({"extra": ""}):
            wanted.add(canonicalize_name(asked.name))
    found = {part["name"]: part["version"] for part in parts.values() if part["type"] == "library"}
    assert wanted <= found.keys()
    assert all(version(name) == number for name, number in found.items())
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert set(edges) <= {*parts, "model"}
    assert {other for others in edges.values() for other in others} <= set(parts)


def test_packages_are_followed_through_extras_and_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(name: str, *lines: str) -> None:
        about = tmp_path / f"{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1", *lines]))

    package("top", "Requires-Dist: mid[more]", "Requires-Dist: never; python_version < '3'", "License-Expression: MIT")
    package("mid", "Requires-Dist: top", "Requires-Dist: extra; extra == 'more'", "Requires-Dist: no; extra == 'less'")
    package("extra", "Classifier: License :: OSI Approved :: BSD License", "License: a text\n        of lines")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = libraries.of(["top==1", "absent-one==2.5"])
    assert found["top"].needs == ("mid",)
    assert found["mid"].needs == ("extra", "top")
    assert (found["absent-one"].version, found["absent-one"].licence) == ("2.5", None)
    assert not {"never", "no"} & found.keys()
    assert [(found[name].licence, found[name].expression) for name in ("top", "mid", "extra")] == [
        ("MIT", True), (None, False), ("BSD License", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\nText", "apache-2.0"),
        ("text\n---\nlicense: mit\n---\n", None),
        ("---\nlicense: [a\n---\n", None),
        ("---\nlicense: 7\n---\n", None),
        ("---\n- a\n---\n", None),
        ("", None),
        (None, None),
    ],
)
def test_a_checkpoint_says_its_licence_at_the_head_of_its_readme(
    tmp_path: Path, head: str | None, licence: str | None
) -> None:
    path = checkpoints.make(tmp_path, "llama")
    if head is not None:
        (path / "README.md").write_text(head)
    assert licences.of_checkpoint(path) == licence
    assert licences.of_checkpoint(None) is None


@pytest.mark.parametrize("device", DEVICES)
def test_made_again_elsewhere_at_another_time_it_has_the_same_bytes(
    shipped_to: Callable[[str], Path], params: Params, device: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first = shipped_to(device).absolute()
    elsewhere = tmp_path_factory.mktemp("another") / "place"
    shutil.copytree(Path.cwd(), elsewhere)
    shutil.rmtree(elsewhere / "out" / "bundles")
    monkeypatch.chdir(elsewhere)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    before = os.umask(0o077)
    try:
        stage.bundle(params, device)
    finally:
        os.umask(before)
    assert contents(elsewhere / paths.bundle(device)) == contents(first)
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=first, capture_output=True, check=True).returncode == 0


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The mode and the bytes of every file, and the mode of every folder."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *sorted(folder.rglob("*")))
    }


def test_without_a_record_of_the_data_nothing_is_shipped(ready: Path, params: Params) -> None:
    (paths.DATA / "card.json").unlink()
    with pytest.raises(DataError, match=r"card\.json: no such file"):
        stage.bundle(params, "host-cpu")
    assert not paths.bundle("host-cpu").exists()
