"""Give a project of scale.py with two variants as many as are asked for, each with records that are copies.

A run of 1,000 variants on 20 devices takes hours; what a run with nothing to do looks at is there in minutes. The files
are as many and as large as a run's. The hashes in dvc.lock are those of the second variant, so that DVC, were it asked,
would find the copies changed: what is timed is the answer that does not ask it. MLflow is said to have them all.

    python scale_grow.py 1000      in the project's folder
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import scale_stand_ins
import yaml
from dvc.repo import Repo

from flows import seen, stale
from tasks import dvc_lock, files, params, paths
from tasks.dvc_lock import ENTRY, LOCK
from tasks.stages import call
from tasks.track import contents, ledger, server

SECOND = "v0001"


def widen(variants: int) -> params.Params:
    """Ask for so many variants, all of the first one's kind."""
    asked = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    first = asked["quantize"][scale_stand_ins.FIRST]
    asked["quantize"] |= {f"v{number:04}": first for number in range(1, variants)}
    files.write_text(paths.PARAMS, yaml.safe_dump(asked, sort_keys=False))
    return params.load()


def copy(settings: params.Params, variant: str) -> None:
    """The records of the second variant under another one's name."""
    scale_stand_ins.quantize(settings, variant)
    scale_stand_ins.evaluate(settings, variant)
    sha256 = files.read_json(paths.artifact(variant) / "card.json")["sha256"]
    for device in settings.benchmark.devices:
        of = files.read_json(paths.benchmark(SECOND, device))
        files.write_json(paths.benchmark(variant, device), {**of, "variant": variant, "artifact_sha256": sha256})


def entries(lock: str, variants: list[str]) -> Iterator[str]:
    """What dvc.lock has of the second variant, for each of the others."""
    own = [entry for entry in ENTRY.split(lock) if SECOND in entry.partition("\n")[0]]
    for variant in variants:
        yield from (entry.replace(SECOND, variant) for entry in own)


def settle(settings: params.Params) -> None:
    """Have it as after a run that found nothing to do."""
    stale.write_down(settings)
    dvc_lock.keep()
    for entry in contents.collect(settings):
        ledger.remember(server.uri(), entry)
    ledger.gather()
    seen.keep(seen.state(Path(Repo(".").cache.local.path)))


def main() -> None:
    settings = widen(int(sys.argv[1]))
    others = [name for name in settings.quantize if name not in (scale_stand_ins.FIRST, SECOND)]
    for variant in others:
        copy(settings, variant)
    lock = LOCK.read_text(encoding="utf-8")
    files.write_text(LOCK, lock + "".join(entries(lock, others)))
    call("report")
    settle(settings)


if __name__ == "__main__":
    main()
