"""What is shipped does what was measured, where nothing else is installed."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def bare_python(tmp_path):
    """An environment of numpy and the runtime (and what that asks for itself)."""
    wanted = [f"{name}=={version(name)}" for name in ("numpy", "ai-edge-litert")]
    for words in (
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")],
        [str(UV), "pip", "install", "--quiet", "--python", str(tmp_path / "env" / "bin" / "python"), *wanted],
    ):
        subprocess.run(words, timeout=300, check=True)
    return tmp_path / "env" / "bin" / "python"


@pytest.mark.slow
def test_every_bundle_classifies_the_test_split_as_it_was_evaluated(make_clone, bare_python):
    clone = make_clone()
    clone.run("tercet", "run")
    installed = subprocess.run([bare_python, "-c", "import tensorflow"], capture_output=True, timeout=60, check=False)
    assert installed.returncode, "the environment holds more than it should"
    bundles = sorted((clone.root / "out" / "bundles").iterdir())
    assert [bundle.name for bundle in bundles] == ["ethos-u55-128", "host-cpu"]
    for bundle in bundles:
        manifest = json.loads((bundle / "manifest.json").read_text())
        evaluation = json.loads((clone.root / "out" / "evaluations" / f"{manifest['variant']}.json").read_text())
        recorded = next(
            score["predictions"]
            for score in evaluation["scores"]
            if (score["split"], score["kernels"]) == ("test", manifest["kernels"])
        )
        command = [bare_python, "-I", bundle / "classify.py", clone.root / "out/data/test/inputs.image.npy"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, cwd=bundle)
        assert [json.loads(line)["index"] for line in said.stdout.splitlines()] == recorded
        command = [bare_python, "-I", bundle / "classify.py", "--check"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=bundle)
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["agree"] is True
        assert json.loads(said.stdout)["examples"] == 8
