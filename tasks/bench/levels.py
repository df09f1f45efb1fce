"""At what level the reference ran before: `.tercet/levels/<device>.jsonl`, one measurement a line."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tasks import paths
from tasks.bench import stats
from tasks.bench.request import Request
from tasks.files import write_text
from tasks.records import Record

KEPT = 200  # lines
PASSING = ("mhz", "load1", "temperature_c", "gpu_mhz", "gpu_memory_mhz", "gpu_temperature_c")  # of the environment
log = logging.getLogger(__name__)


class Level(Record):
    """The reference's median latency in one measurement."""

    key: str  # what must be the same, see `key`
    ms_p50: Annotated[float, Field(gt=0)]
    epoch_s: float  # when


def drifted(key: str, device: str, level_ms: float) -> bool:
    """Whether the reference now runs at another level than in earlier runs of the same measurement.

    A run ends with its report: what was measured since the last one is the run's own.
    """
    ended_s, levels = _ended_s(), _lines(_file(device))
    earlier = [level.ms_p50 for level in levels if level.key == key and level.epoch_s < ended_s]
    return stats.drifted(level_ms, earlier)


def keep(key: str, device: str, level_ms: float, epoch_s: float) -> None:
    """Add a level, of a measurement that is one, at the moment `epoch_s`."""
    path = _file(device)
    lines = [*_lines(path), Level(key=key, ms_p50=level_ms, epoch_s=epoch_s)]
    write_text(path, "".join(line.model_dump_json() + "\n" for line in lines[-KEPT:]))


def key(request: Request, plan: Any, environment: Mapping[str, Any]) -> str:
    """What must be the same for two levels to be compared: reference, device, how long, and the machine as it is."""
    device = request.device.model_dump(mode="json", exclude={"description"})
    rounds = [request.protocol.new_tokens] if request.reference.card.scenario == "generate" else []
    told = json.dumps(
        [request.reference.card.sha256, device, repr(plan), lasting(environment), *rounds], sort_keys=True
    )
    return hashlib.sha256(told.encode()).hexdigest()


def lasting(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of an environment is the same on another day, where nobody has changed the machine."""
    return {name: value for name, value in environment.items() if name not in PASSING}


def _file(device: str) -> Path:
    return paths.STATE / "levels" / f"{device}.jsonl"


def _ended_s() -> float:
    """When the last run ended; 0 before the first has."""
    report = paths.REPORT / "comparison.json"
    return report.stat().st_mtime if report.is_file() else 0.0


def _lines(path: Path) -> Iterator[Level]:
    """The file's lines; one that is damaged is left out, with a word."""
    content = path.read_bytes() if path.is_file() else b""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            yield Level.model_validate_json(line)
        except ValidationError:
            log.warning("%s:%d: not a level of an earlier measurement; left out", path, number)
