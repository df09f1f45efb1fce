"""A kind of device from outside the tree, whose runtime is a file of its own: here, by ssh, and in a bundle."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices, reach, shipping, timed, wheels
from tasks.bench.kinds import KINDS, ssh
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.transport import Local
from tasks.closure import Reader
from tasks.errors import DataError
from tasks.params import Protocol

KIND = """
from pathlib import Path

from tasks.bench import meters, same_answers, shipping
from tasks.bench.device import Processor
from tasks.bench.kinds import Kind
from tasks.bench.setup import Setup

RESOURCES = ("toy_abacus.py",)
CODE = Path(__file__).with_name("toy_abacus.py")


def setup(device, session):
    return Setup(session, "abacus", {}, meters.HOST, device.watts_per_core, code=CODE, describe=True)


KIND = Kind(schema=Processor, measure=same_answers.measure, setup=setup, ships=shipping.processor, here=True)
"""
RUNTIME = """
import numpy as np

from .arrays import RefusedError
from .tensors import Described

PACKAGE = "numpy"
MODULE = "numpy"
REFUSALS = ()


class Model(Described):
    def __init__(self, path, options):
        sides = ([each["name"] for each in options[side]] for side in ("inputs", "outputs"))
        super().__init__(options, *({name: np.dtype("f4") for name in side} for side in sides))
        self.names = [each["name"] for each in options["outputs"]]
        if "product" not in self.names:
            raise RefusedError("it multiplies, and nothing else")

    def put(self, example):
        self.given = dict(example)

    def invoke(self):
        a, b = self.given["a"], self.given["b"]
        for _ in range(100):  # once takes no more than a clock's two readings
            self.found = {"difference": a - b, "product": a * b}

    def read(self):
        return [self.found[name] for name in self.names]

    def operators(self):
        return []
"""


@pytest.fixture
def abacus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the kind, which a package adds by an entry point."""
    site = tmp_path / "site"
    about = site / "toy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[tercet.kinds]\nabacus = toy_kind:KIND\n")
    (site / "toy_kind.py").write_text(KIND)
    (site / "toy_abacus.py").write_text(RUNTIME)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "toy_kind", raising=False)
    return "abacus"


@pytest.fixture
def product(described: Any, tmp_path: Path) -> tuple[Artifact, Questions, np.ndarray]:
    """A file that multiplies two inputs, examples of it, and their products."""
    two, rng = described("two"), np.random.default_rng(0)
    outputs = sorted(two.card.outputs, key=lambda output: output.name != "product")
    a, b = rng.random((6, 3), np.float32), rng.random((6, 3), np.float32)
    np.savez(tmp_path / "inputs.npz", a=a, b=b)
    card = two.card.model_copy(update={"outputs": tuple(outputs)})
    return Artifact(card, two.path), Questions(tmp_path / "inputs.npz"), a * b


@pytest.mark.slow
@pytest.mark.usefixtures("crowded")
def test_a_runtime_from_outside_is_sent_and_measured_here_and_there(
    abacus: str, board: Any, product: tuple[Artifact, Questions, np.ndarray]
) -> None:
    artifact, asked, expected = product
    plain = devices.load("board")
    there: Any = ssh.Ssh.model_validate({**plain.model_dump(), "runtime": abacus})
    fields = plain.model_dump(include={"name", "description", "watts_per_core"})
    here: Any = KINDS.load(abacus).schema.model_validate({**fields, "kind": abacus})
    setup = timed.setup_of(abacus, here, Local())
    for device, measure in ((here, KINDS.load(abacus).measure), (there, ssh.measure)):
        protocol = Protocol(mode="quick", windows=2, window_s=0.02)
        result = measure(Request(artifact, artifact, device, protocol, asked.inputs, {"test": asked}))
        assert result.measurement.status == "ok"
        assert result.measurement.environment["runtime"].startswith("numpy ")
        np.testing.assert_array_equal(result.kept["test"].values, expected)
    assert list(board.tmp.iterdir()) == []
    assert reach.runner(abacus, setup.code)(here).startswith("numpy ")
    assert ", numpy " in ssh.probe(there)
    assert "toy_abacus.py" in Reader().closure(["toy_kind"]).files


@pytest.mark.usefixtures("workshop")
def test_a_bundle_holds_the_runtime_and_what_it_needs_of_ours(
    abacus: str, product: tuple[Artifact, Questions, np.ndarray], tmp_path: Path
) -> None:
    fields = {"name": "frame", "kind": abacus, "description": "of wood", "watts_per_core": [1, 2, 3]}
    device, folder = KINDS.load(abacus).schema.model_validate(fields), tmp_path / "bundle"
    folder.mkdir()
    shipped = shipping.ships(product[0], device, folder)
    assert (shipped.module, shipped.found_by, shipped.requires) == ("abacus", "abacus", ())
    assert sorted(path.stem for path in (folder / "runner").iterdir()) == ["abacus", "arrays", "tensors"]
    script = "from runner.abacus import Model; print(Model.__name__)"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "Model\n"), done.stderr


def test_packages_that_are_not_in_our_lock_are_pinned_by_the_kind(tmp_path: Path, abacus: str) -> None:
    there, pinned = wheels.Platform("aarch64", "3.11.2", "2.36"), tmp_path / "pinned.txt"
    with pytest.raises(DataError, match=r"requirements.lock: no version of toy for Python 3.11; .* `pinned`"):
        wheels.pins(["numpy", "toy"], there)
    pinned.write_text("toy==1.0 \\\n    --hash=sha256:abc\nnumpy==0.1 --hash=sha256:def\n")
    found = wheels.pins(["numpy", "toy"], there, pinned)
    assert found["toy"].line == "toy==1.0 --hash=sha256:abc"
    assert found["numpy"] == wheels.pins(["numpy"], there)["numpy"]  # ours goes first
