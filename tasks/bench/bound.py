"""What limits the writing of a text: each token reads every weight and the whole cache, so often the memory does."""

import logging
from collections.abc import Mapping
from typing import Any

from tasks.bench.request import Artifact, Request
from tasks.bench.runner import prompts
from tasks.bench.setup import Setup
from tasks.errors import DeviceError
from tasks.formats import cost
from tasks.records import Phase
from tasks.records.figures import DECODE, PREFILL

log = logging.getLogger(__name__)
BANDWIDTH_S = 120.0
MOST = 0.6  # of what the memory gives, from which on it is the memory that limits
CACHED = 1.1  # of it, from which on much was never read from there


def told(request: Request, setup: Setup, phases: Mapping[str, Phase]) -> dict[str, Phase]:
    """The phases, of which that of a token tells what it reads, how fast, and how fast this memory is read.

    What it reads hangs from its room: it is counted where the middle one of the measured tokens stands. Where another
    processor computes, from memory of its own, nothing is told. A machine that fails to say how fast its memory is
    spoils no measurement.
    """
    decode = phases.get(DECODE)
    if decode is None or decode.latency is None or setup.offloads:
        return dict(phases)
    prompt = phases[PREFILL].volume if PREFILL in phases else 0
    asked, files = setup.ask("bandwidth", request.artifact), setup.files(request.artifact)
    try:
        answer = setup.session.run(asked, files, {}, timeout_s=BANDWIDTH_S)
    except DeviceError as error:
        log.warning("%s: what limits it is not known: %s", request.variant, error)
        return dict(phases)
    if not answer.read_gb_s:
        return dict(phases)
    count = (setup.reads or _reads)(request.artifact, prompt + request.protocol.new_tokens // 2)
    gb_s, most = count / decode.latency.ms_p50 / 1e6, answer.read_gb_s
    about: dict[str, Any] = {"bytes_read": count, "read_gb_s": gb_s, "memory_gb_s": most, "bound": _bound(gb_s / most)}
    return {**phases, DECODE: decode.model_copy(update={"details": {**decode.details, **about}})}


def _reads(artifact: Artifact, place: int) -> int:
    """The bytes that a token at a place reads at least, by its LiteRT file."""
    calls = {signature.name: signature.model_dump() for signature in artifact.card.signatures}
    call = prompts.at(calls, DECODE, place)
    return cost.reads(artifact.path, call["name"], call["state"].values())


def _bound(share: float) -> str:
    """What limits a token that reads at such a share of what the memory gives."""
    if share >= CACHED:
        return "caches"
    return "bandwidth" if share >= MOST else "compute"
