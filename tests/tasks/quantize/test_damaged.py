"""LiteRT files with changed bytes: every reader of this process takes them or refuses them in one line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.errors import ConversionError, ModelError, UnsupportedError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.formats import cost
from tasks.quantize import as_is
from tasks.training.keras_files import LITERT

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
NAMES = ("float32", "int8", "two", "recurrent", "custom")
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=16)


def changed(name, changes):
    content = np.frombuffer((GOLDEN / f"{name}.tflite").read_bytes(), np.uint8).copy()
    for place, value in changes:
        content[place % len(content)] = value
    return content.tobytes()


def in_a_line(call, *errors):
    """What a call gives; None where it refuses, which it does in one line."""
    try:
        return call()
    except errors as error:
        if "\n" in str(error) or not str(error):
            pytest.fail(f"not one line: {error}")
        return None


@settings(max_examples=300)
@given(name=st.sampled_from(NAMES), changes=CHANGES)
@example(name="float32", changes=[(place, 0xFF) for place in range(3000, 3016)])
def test_the_graph_of_a_damaged_file_is_read_or_refused(tmp_path, name, changes):
    file = tmp_path / "model.tflite"
    file.write_bytes(changed(name, changes))
    in_a_line(lambda: cost.read(file), UnsupportedError)


@settings(max_examples=300)
@given(name=st.sampled_from(NAMES), changes=CHANGES)
def test_a_damaged_file_becomes_a_variant_or_is_refused(tmp_path, monkeypatch, name, changes):
    spec = Spec({"image": TensorSpec((8, 8, 1), "float32")}, ("a", "b", "c"))
    monkeypatch.setattr(as_is.dataset, "spec", lambda: spec)
    monkeypatch.setattr(as_is.guard, "check", lambda *_args: None)  # which has a process of its own
    (tmp_path / LITERT).write_bytes(changed(name, changes))
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    in_a_line(lambda: as_is.write(out, "v", "m", tmp_path, None), ModelError, ConversionError)
