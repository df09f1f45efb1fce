"""Whether another runtime computes what the artifact does, before its figures are taken for the artifact's."""

import numpy as np

from tasks.bench import judging, predict, timed
from tasks.bench.request import Questions, Request, Result
from tasks.bench.setup import Setup
from tasks.bench.transport import Local
from tasks.distance import rms, rounded
from tasks.errors import UnsupportedError
from tasks.examples import Array
from tasks.formats.schemes import SCHEMES
from tasks.records import Runnable, judged

# some forty units in the last place: PJRT computes float16 in halves throughout, GPUs multiply in TF32, of as many
# bits, and TPUs in bfloat16; so do decoders, whose weights are not float32
HALVES = 0.02
COARSE = 0.1


def measure(request: Request) -> Result:
    """Measure one pair on this machine by a runtime that is not LiteRT, and answer the splits with its kernels.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference, or computes something else.
        DeviceError: a window crashed or did not end.
    """
    setup = timed.setup_of(request.device.kind, request.device, Local())
    check(request, setup)
    return timed.judge(request, setup)


def check(request: Request, setup: Setup) -> None:
    """Compare a runtime's outputs with LiteRT's, here, on the examples to time with.

    Raises:
        UnsupportedError: they are too far apart for the scheme, or one of the two refuses the artifact.
        InvalidError: one of the two answers no numbers.
        DeviceError: a prediction crashed.
    """
    asked = Questions(request.inputs)
    given, wanted = (judging.kept(request.artifact, asked, each)[0] for each in (setup, predict.litert()))
    for who, answers in (("LiteRT", wanted), (setup.runtime, given)):
        answers.check(f"examples by {who}")
    theirs, ours = given.values, wanted.values
    card, spread = request.artifact.card, rms(ours - ours.mean())
    bound, between = allowed(card, setup), step(card, ours)
    off = rms(theirs - ours) if theirs.shape == ours.shape else np.inf
    if off > bound * spread + between:
        raise UnsupportedError(
            f"{request.variant}: {setup.runtime} does not compute what the file says: outputs of {len(ours)} examples "
            f"are {off / spread if spread else off:.2g} of their spread from LiteRT's; {card.scheme} allows {bound:g}"
        )


def allowed(card: Runnable, setup: Setup) -> float:
    """How far a runtime may lie from LiteRT, as the root mean square of the difference over the outputs' own.

    That of the outputs is about their mean. They may lie apart by a `step` besides.
    """
    found = SCHEMES.load(card.scheme)
    if setup.runtime != "pjrt":
        return found.apart
    if setup.options["platform"] == "tpu" or (card.scenario == "generate" and found.weights != 32):
        return COARSE
    return HALVES if found.halves or setup.offloads else found.apart


def step(card: Runnable, answers: Array) -> float:
    """What numbers of the output that is compared may differ by, however little they spread, in their own unit.

    Integers may be rounded to the next one. Floats are as fine as they are large: years spread over a few units and lie
    at 2,000 of them.
    """
    scale = next((output.scale or 0.0 for output in card.outputs if output.name == judged(card.outputs)), 0.0)
    return max(scale, rounded(answers))
