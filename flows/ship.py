"""`tercet ship`: bring bundles to the devices that run them, take them back, and say what runs where."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from tasks import params, paths, track
from tasks.errors import DataError, ParamsError, ShippingError, TercetError, TrackingError, WordsError
from tasks.scratch import scratch
from tasks.ship import delivery, targets
from tasks.ship.delivery import Delivered
from tasks.ship.targets import Target

AT_ONCE = 16  # conversations
LOG = paths.STATE / "ships.jsonl"
Step = Callable[[Target], str]
UNITS = {"latency_ms": "ms", "energy_mj_with_input": "mJ"}


def ship(names: Sequence[str], *, signed: bool) -> int:
    """Ship the bundle of each device to its fleet, and say what runs where; 0 if all of them run it.

    Raises:
        TercetError: a device is not known, or has no bundle, or none that is signed: nothing was shipped.
    """
    settings = params.load()
    fleets = {name: targets.of(settings, name) for name in _named(names)}
    with scratch("ship") as place:  # all get the same, though a run makes bundles anew meanwhile
        folders = {name: delivery.held(name, place) for name in fleets}
        cargoes = {name: delivery.cargo(name, folder, signed=signed) for name, folder in folders.items()}
        codes = [_shipped_to(fleet, cargoes[name], folders[name], settings.name) for name, fleet in fleets.items()]
    return next((code for code in codes if code), 0)


def _shipped_to(fleet: Sequence[Target], cargo: delivery.Cargo, folder: Path, project: str) -> int:
    """Ship to the machines of one device, and have the registry follow; the code."""

    def shipped(target: Target) -> str:
        done = delivery.ship(target, cargo, told=_tell)
        _log("ship", target, done.id, variant=cargo.about["variant"])
        return _line(target, done)

    code = _canary_first(fleet, shipped)
    if not code:
        _register(partial(track.promote, folder, project))
    return code


def back(names: Sequence[str]) -> int:
    """Have the fleet of each device run what it ran before; who runs that already is left as it is.

    Raises:
        TercetError: a device is not known, or nobody can say which of its bundles is the newest: nothing was done.
    """
    settings = params.load()
    fleets = {name: targets.of(settings, name) for name in _named(names)}
    leave = {name: _newest(name, fleet) for name, fleet in fleets.items()}
    digests: dict[str, set[str]] = defaultdict(set)

    def returned(target: Target) -> str:
        done = delivery.back(target, leave[target.device])
        digests[target.device].add(str(done.about["bundle_sha256"]))
        runs = f"{target.name}: runs {done.about['variant']} ({done.id})"
        if done.proof is None and not done.settled:
            return f"{runs}, which is not what is taken back: left as it is"
        _log("back", target, done.id)
        if done.proof is None:
            return f"{done.settled}\n{runs}"
        first = f"{done.settled}\n" if done.settled else ""
        return f"{first}{runs} again instead of {done.before}; {done.seconds:.1f} s"

    codes = []
    for name, fleet in fleets.items():
        codes.append(_each(fleet, returned))
        if codes[-1]:
            continue
        first, *others = sorted(digests[name])
        if others:  # one of them was away when the others had another
            print(f"MLflow: the machines of {name} run {1 + len(others)} bundles now; its alias stays where it was")
        else:
            _register(partial(track.reinstate, first, name, settings.name))
    return next((code for code in codes if code), 0)


def status(names: Sequence[str]) -> int:
    """Print what each target runs: device, version, health, age; 0 if all are well."""
    settings = params.load()
    found = [target for name in names or _shipped(settings) for target in targets.of(settings, name)]
    if not found:
        raise ParamsError("nothing is shipped here: name hosts or folders in the section `ship` of params.yaml")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = list(pool.map(_row, found))
    heads = ("device", "where", "version", "age", "health")
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads) - 1)]
    for row in (heads, *rows):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
    return 0 if all(row[-1] == "well" for row in rows) else 1


def _newest(name: str, fleet: Sequence[Target]) -> set[str]:
    """The bundles that a step back of a fleet leaves: those that no other machine ran before the one that it runs.

    A machine that a rollout has not reached, or that has gone back already, must not go one further. Who cannot be
    asked has no say, and fails when its turn comes.

    Raises:
        ShippingError: each of them ran before another one on some machine.
    """

    def asked(target: Target) -> dict[str, Any]:
        try:
            return delivery.status(target, prove=False)
        except TercetError:
            return {"leaves": None, "before": []}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(asked, fleet))
    running = {each["leaves"] for each in found} - {None}
    newest = running - {former for each in found for former in each["before"]}
    if running and not newest:
        several = ", ".join(sorted(running))
        raise ShippingError(
            f"{name}: its machines run {several}, each from before another; `tercet ship` the one meant"
        )
    return newest


def _register(move: Callable[[], track.Promoted]) -> None:
    """Have the registry's alias follow what all machines of a fleet have confirmed; if it cannot, they run it still."""
    try:
        found = move()
    except (DataError, TrackingError) as error:
        print(f"MLflow: {error}; its alias stays where it was, until the next `tercet ship`", flush=True)
    else:
        print(f"MLflow: {found.alias} is version {found.version}, at {found.uri}", flush=True)


def _named(names: Sequence[str]) -> list[str]:
    if not names:
        raise WordsError("received no device; name those whose bundles are meant, such as `tercet ship host-cpu`")
    return list(dict.fromkeys(names))


def _shipped(settings: params.Params) -> list[str]:
    """The devices that something says of where their bundles go."""
    return [name for name in settings.benchmark.devices if name in settings.ship or _is_host(name)]


def _is_host(name: str) -> bool:
    from tasks.bench import devices

    return devices.load(name).kind == "ssh"


def _canary_first(fleet: Sequence[Target], step: Step) -> int:
    """The first alone, then the others side by side, and no more of them once one has failed."""
    if code := _each(fleet[:1], step):
        left = len(fleet) - 1
        if left:
            print(f"{left} others of the fleet were left as they are")
        return code
    return _each(fleet[1:], step)


def _each(fleet: Sequence[Target], step: Step) -> int:
    """Take a step with each target, side by side; the code of the first failure, after which none begins."""
    stop = Event()

    def taken(target: Target) -> int:
        if stop.is_set():
            print(f"{target.name}: left as it is")
            return 0
        try:
            print(step(target), flush=True)
        except TercetError as error:
            stop.set()
            print(f"failed: {error}", flush=True)
            _log("failed", target, None, why=str(error))
            return error.code if isinstance(error, ShippingError) else 1
        except BaseException:  # whatever it is, no more begin
            stop.set()
            raise
        return 0

    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(taken, fleet))
    return next((code for code in codes if code), 0)


def _line(target: Target, done: Delivered) -> str:
    """What is told of a shipment that succeeded."""
    first, variant = f"{done.settled}\n" if done.settled else "", done.about["variant"]
    if done.proof is None:
        return f"{first}{target.name}: runs {variant} ({done.id}) already, and well"
    found, record = done.proof["found"], done.proof["record"]
    figures = "".join(f", {found[key]:.3g} {UNITS[key]} (record {record[key]:.3g})" for key in record)
    instead = f" instead of {done.before}" if done.before else ""
    return (
        f"{first}{target.name}: runs {variant} ({done.id}){instead}: {done.proof['examples']} examples agree"
        f"{figures}; {done.seconds:.1f} s"
    )


def _row(target: Target) -> tuple[str, str, str, str, str]:
    """Device, where, version, age, health."""
    try:
        found = delivery.status(target)
    except TercetError as error:
        return target.device, target.name, "?", "?", str(error)
    champion = found["champion"] or {}
    version = f"{champion.get('variant', 'not confirmed')} ({found['current']})" if found["current"] else "nothing"
    age = "-" if found["age_s"] is None else _age(found["age_s"])
    return target.device, target.name, version, age, _health(found)


def _health(found: dict[str, Any]) -> str:
    if found["holder"]:
        return str(found["holder"])
    if found["turning"]:
        return f"not confirmed: a shipment broke off when it was {found['step']}; the next one settles it"
    if found["current"] is None:
        return "nothing was shipped"
    return found["health"] or "well"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _tell(line: str) -> None:
    print(line, flush=True)


def _log(what: str, target: Target, name: str | None, **more: Any) -> None:
    """Note in the project what was done to a target."""
    entry = {"at": time.strftime("%Y-%m-%d %H:%M:%S"), "what": what, "device": target.device, "where": target.name}
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry | {"bundle": name} | more, ensure_ascii=False) + "\n")
