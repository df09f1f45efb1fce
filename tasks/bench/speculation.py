"""Greedy text with a draft's proposals, measured beside what the target writes alone: window by window, by turns."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.bench import devices, locks, shots, stats, timed
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request
from tasks.bench.setup import Setup
from tasks.bench.shots import Shot
from tasks.bench.transport import Local
from tasks.errors import UnsupportedError
from tasks.examples import dataset, first, save_inputs
from tasks.intervals import turned
from tasks.params import Protocol
from tasks.records import Phase
from tasks.records.speculation import Speculation
from tasks.scratch import scratch

PROMPTS = 4  # of the test examples, by turns: how much of a draft stays hangs from the text
PLAIN, SPECULATED = "plain", "speculated"
ABLE = "language"  # the runner's module that can
NOT_ABLE = "speculation is measured where LiteRT runs on this machine alone"


def measure(target: Artifact, draft: Artifact, device: str, protocol: Protocol, ahead: int) -> Speculation:
    """Measure a pair; it waits until the machine is free.

    Args:
        target: what writes.
        draft: what proposes `ahead` tokens at a time.
        device: its name.
        protocol: how long is measured, and how many tokens are written after each prompt.
        ahead: the target has a signature that takes one token more.

    Raises:
        DeviceError: a window crashed or did not end.
        DataError, ParamsError: the examples or the device's file are missing or wrong.
    """
    found = devices.load(device)
    kind = KINDS.load(found.kind)
    with scratch("inputs") as folder:
        inputs = folder / "inputs.npz"
        save_inputs(inputs, first(dataset.load("test", PROMPTS), PROMPTS))
        request = Request(target, target, found, protocol, inputs)
        setup = kind.setup(found, Local()) if kind.here and kind.setup else None
        able = setup is not None and setup.generates == ABLE
        if reason := devices.usable(found) if able else NOT_ABLE:
            return _record(request, draft, ahead, status="unsupported", reason=reason)
        assert setup is not None  # it is able
        with locks.hold(kind.lock(found), exclusive=kind.measures):
            try:
                return _told(request, draft, ahead, setup, _shoot(request, draft, setup, ahead))
            except UnsupportedError as error:
                return _record(request, draft, ahead, status="unsupported", reason=str(error))


def _shoot(request: Request, draft: Artifact, setup: Setup, ahead: int) -> list[Shot]:
    """Every window of both, in order."""
    plan = timed.plan_of(request)
    files = {**setup.files(request.artifact), "draft": setup.model(draft)}
    asked = {
        "scenario": "speculate", "ahead": ahead, "prompts": PROMPTS, "new_tokens": request.protocol.new_tokens,
        "draft_options": setup.ask("time", draft)["options"],
    }  # fmt: skip
    with scratch("bench") as folder:
        samples = Path(folder, "samples.npz")
        return [
            timed.shot(
                request, setup, request.artifact, files, plan=plan, samples=samples,
                more={**asked, "turned": turned(turn)},
            )
            for turn in range(plan.windows)
        ]  # fmt: skip


def _told(request: Request, draft: Artifact, ahead: int, setup: Setup, taken: Sequence[Shot]) -> Speculation:
    """The record of what was seen: a text that is not the target's own makes it invalid."""
    again = f"tercet speculate {request.variant} {draft.card.variant}"
    found = shots.fault(taken, starved=0 if setup.offloads else shots.STARVED, again=again)
    fault = found.said if found else None
    seen = [shot.answer.facts["speculation"] for shot in taken]
    wrong = next((each["wrong"] for each in seen if each["wrong"]), None)
    if wrong:
        fault = f"the text is not the one that {request.variant} writes alone: {wrong}"
    plain, speculated = (_phase(taken, name, setup) for name in (PLAIN, SPECULATED))
    own, other = ([shot.phases[name] for shot in taken] for name in (SPECULATED, PLAIN))
    energy = shots.energy(own, other, setup.watts_per_core, offloads=setup.offloads)
    alone, both = ([each.samples for each in side] for side in (other, own))
    ratio = stats.ratio(alone, both, own[0].metered.window.period)
    return _record(
        request, draft, ahead,
        status="invalid" if fault else "ok",
        reason=fault,
        prompts=len(seen[0]["texts"]),
        **{name: sum(each[name] for each in seen) for name in ("proposed", "accepted", "calls")},
        plain=plain,
        speculated=speculated.model_copy(update={"ratio": ratio, "energy": energy}),
        environment=dict(taken[-1].answer.environment),
    )  # fmt: skip


def _phase(taken: Sequence[Shot], name: str, setup: Setup) -> Phase:
    """The figures of one of the two."""
    own = [shot.phases[name] for shot in taken]
    window = own[-1].metered.window
    return Phase(
        unit=window.unit,
        volume=window.volume,
        latency=stats.latency([each.samples for each in own]),
        energy=shots.energy(own, [], setup.watts_per_core, offloads=setup.offloads),
        windows=tuple(replace(each, variant=name).window() for each in own),
        details=shots.details(own),
    )


def _record(request: Request, draft: Artifact, ahead: int, **figures: Any) -> Speculation:
    return Speculation(
        target=request.variant,
        draft=draft.card.variant,
        device=request.device.name,
        device_kind=request.device.kind,
        ahead=ahead,
        mode=request.protocol.mode,
        target_sha256=request.artifact.card.sha256,
        draft_sha256=draft.card.sha256,
        **figures,
    )
