"""Estimates of a device from what others have published, for the kinds of devices that run nothing themselves."""

from typing import Annotated, Any

from pydantic import AfterValidator

from tasks.bench.request import Artifact
from tasks.errors import UnsupportedError, suggest
from tasks.formats import cost
from tasks.published import estimate, language, power, table
from tasks.published.beside import numeric
from tasks.published.estimate import Kernels
from tasks.published.runtimes import RUNTIMES
from tasks.published.work import work
from tasks.records import Energy, Latency


def _known(kernels: str) -> str:
    if kernels not in RUNTIMES:
        raise ValueError(f"received {kernels!r}; {suggest(kernels, RUNTIMES)}")
    return kernels


def _written_by(runtime: str) -> str:
    if runtime not in language.RUNTIMES or language.RUNTIMES[runtime].size != "GB":
        told = [name for name, each in language.RUNTIMES.items() if each.size == "GB"]
        raise ValueError(f"received {runtime!r}; {suggest(runtime, told)}")
    return runtime


Published = Annotated[str, AfterValidator(_known)]  # kernels that figures are published of
Written = Annotated[str, AfterValidator(_written_by)]  # likewise of what writes texts


def latency(
    artifact: Artifact, kernels: Kernels, board: str | None, core: str | None = None, clock_mhz: float | None = None
) -> Latency | str:
    """What a variant takes by these kernels on a board, or on a core at a clock; in words, why it is not known."""
    if numeric(artifact.card.scheme) != kernels.numeric:
        return f"what is published is of {kernels.numeric} throughout, the scheme is {artifact.card.scheme}"
    try:
        operators = cost.read(artifact.path)
    except UnsupportedError as error:
        return str(error)
    if any(operator.macs and operator.product is None for operator in operators):
        return "nothing is published of its products of activations with each other"
    asked = work(operator.product for operator in operators if operator.product)
    found = estimate.estimate(kernels, asked, board, core, clock_mhz)
    if isinstance(found, str):
        return found
    return Latency(
        provenance="estimated",
        ms_p50=found.ms,
        ms_low=found.low,
        ms_high=found.high,
        judged=found.judged,
        fitted_to=fitted_to(kernels),
    )


def token(artifact: Artifact, runtime: str, call: str, board: str | None) -> tuple[Latency, Energy] | str:
    """What a token takes that a signature tells, by what it reads and what is published of the runtime on its board.

    In words, why that does not tell it: of another board it says nothing.
    """
    known = language.RUNTIMES[runtime].board
    if board != known:
        return f"tokens by {runtime} are published on {known} alone, not on {board or 'its board'}"
    (signature,) = (each for each in artifact.card.signatures if each.name == call)
    found = language.estimate(runtime, cost.reads(artifact.path, call, signature.state.values()) / 1e9)
    if isinstance(found, str):
        return found
    latency = Latency(
        provenance="estimated",
        ms_p50=found.ms,
        ms_low=found.low,
        ms_high=found.high,
        judged=found.judged,
        fitted_to=f"{len(language.rows(runtime))} figures of {runtime} on {known}",
    )
    drawn = language.power(runtime)
    return latency, Energy(kind="none", reason=drawn) if isinstance(drawn, str) else energy(latency, drawn)


def fitted_to(kernels: Kernels) -> str:
    """Which figures, in words."""
    rows = estimate.rows(kernels)
    boards, networks = (len({getattr(row, name) for row in rows}) for name in ("board", "network"))
    counted = f"{boards} {'board' if boards == 1 else 'boards'}, {networks} networks"
    return f"{len(rows)} figures of {kernels.runtime} in {kernels.numeric}, {counted}"


def energy(taken: Latency, found: power.Power) -> Energy:
    """A board's power over an estimated time; its error is that of the power, as if the time were known."""
    assert taken.ms_low is not None  # as of every estimate
    assert taken.ms_high is not None
    watts = " to ".join(_milli(each) for each in (found.low, found.high))
    return Energy(
        kind="estimate_published",
        mj=taken.ms_p50 * found.watts,
        low_mj=taken.ms_low * found.low,
        high_mj=taken.ms_high * found.high,
        scope=found.scope,
        formula=f"{_milli(found.watts)} mW [{watts}] x {taken.ms_p50:.3g} ms",
        judged=found.judged,
    )


def _milli(value: float) -> str:
    return f"{1e3 * value:.3g}"


def rests_on(kernels: Kernels, board: str | None) -> dict[str, Any]:
    """For a device's fingerprint: the published figures that its estimates are made from."""
    own = table.of_board(board) if board else []
    return {"estimated_from": table.digest([*estimate.rests_on(kernels, board), *own])}
