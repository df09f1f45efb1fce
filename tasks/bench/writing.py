"""What a language model's own file writes behind a text: each token the likeliest, as where it is timed."""

from pathlib import Path

import numpy as np

from tasks.bench.request import Artifact
from tasks.bench.setup import Setup, accepted
from tasks.examples import Array
from tasks.scratch import scratch

TIMEOUT_S = 900.0
NEW_TOKENS = 48


def fits(artifact: Artifact, text: Array) -> Array:
    """The last tokens of a text [n] that leave room for `NEW_TOKENS` more; none where there is no such room."""
    rooms = [call.places for call in artifact.card.signatures if call.name == "decode"]
    room = next((places for places in rooms if places is not None), NEW_TOKENS + len(text))
    return text[max(0, len(text) - max(0, room - NEW_TOKENS)) :] if room > NEW_TOKENS else text[:0]


def written(artifact: Artifact, prompt: Array, setup: Setup) -> tuple[int, ...]:
    """The `NEW_TOKENS` tokens behind a prompt [n].

    Raises:
        UnsupportedError: the runtime refuses the artifact, or the prompt.
        DeviceError: it crashed, or did not end in time.
    """
    with scratch("writing") as folder:
        inputs = Path(folder, "inputs.npz")
        np.savez(inputs, allow_pickle=False, tokens=prompt[None].astype(np.int32))
        ask = {**setup.ask("write", artifact), "new_tokens": NEW_TOKENS}
        answer = setup.session.run(ask, {**setup.files(artifact), "inputs": inputs}, {}, timeout_s=TIMEOUT_S)
        accepted(artifact.card.variant, answer)
        return tuple(answer.facts["decoded"])
