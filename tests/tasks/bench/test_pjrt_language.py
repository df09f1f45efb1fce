"""A decoder is measured through PJRT phase by phase, as through LiteRT: the same text, each with its figures."""

from pathlib import Path

import numpy as np
import pytest

from tasks.bench import devices
from tasks.bench.kinds import pjrt
from tasks.bench.request import Artifact, Questions, Request
from tasks.decoder import network
from tasks.examples import Arrays
from tasks.params import Protocol, Quantize
from tasks.records import ArtifactCard, read
from tests.tasks.quantize.test_programs import ROOM, SPEC, TEXT, WINDOW, WORDS

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("workshop", "crowded")
def test_a_decoder_is_measured_and_judged_at_every_place(tmp_path: Path) -> None:
    from tasks.quantize import variant

    keras.utils.set_random_seed(0)
    model = network.build(SPEC, WINDOW)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(w.ndim == 1, 0.2, w.shape) for w in model.get_weights()])
    windows = np.stack([TEXT[k : k + WINDOW] for k in range(8)])
    folder = tmp_path / "made"
    folder.mkdir()
    entry = Quantize(model="baseline", scheme="float32", prefill=[4], room=ROOM)
    variant.write(folder, "made", entry, model, Arrays({"tokens": windows}, {}))
    card = read(ArtifactCard, folder / "card.json")
    assert card.stablehlo is not None
    np.savez(tmp_path / "inputs.npz", tokens=windows)
    protocol = Protocol(mode="quick", windows=1, window_s=0.05, new_tokens=5)
    one, asked = Artifact(card, folder / card.file), Questions(tmp_path / "inputs.npz")
    result = pjrt.measure(
        Request(one, one, devices.load("host-cpu-pjrt"), protocol, tmp_path / "inputs.npz", {"test": asked})
    )
    assert list(result.measurement.phases) == ["prefill", "decode"]
    assert result.measurement.details["state_kept"] == "in place"
    assert result.measurement.details["stablehlo_sha256"] == card.stablehlo.sha256
    expected = model(windows).numpy()
    found = result.kept["test"].values
    assert found.shape == (8, WINDOW, WORDS)
    off = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
    assert off < 1e-4
    text = list(windows[0])
    whole = network.build(SPEC)
    whole.set_weights(model.get_weights())
    for token in result.measurement.details["decoded"]:
        assert token == int(np.argmax(whole(np.array([text])).numpy()[0, -1]))
        text.append(token)
