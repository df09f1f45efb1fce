"""The wall time of eight variants by one worker and by two, each on a machine of its own with a clone of the project.

The machines are network namespaces with a processor of this one each, in whose worker one thread computes; on two
cores the flow, the servers and the store take their part of what the second worker could have. They trade through the
S3 store of `tercet up`. By turns, one and two, each from nothing: a fresh project and clones, an empty store.

    python benchmarks/spread.py [--repeats 1] [--epochs 500] [--record FILE]

Must be root. Takes a quarter of an hour on two cores, a repeat.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from machine import record

from tasks.intervals import turned
from tests import hosts, services
from tests.flows.conftest import copied
from tests.services import Team

LIMIT_S = 3600  # of a run
BAR = 0.6  # of one worker's time, that two may take
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def eight(epochs: int) -> Any:
    """Eight models of one parent, each pruned to another sparsity: nothing but the baseline comes before them."""

    def change(params: dict[str, Any]) -> None:
        names = {f"pruned{10 * k}": k / 10 for k in range(1, 9)}
        entry = {"parent": "baseline", "method": "prune", "epochs": epochs}
        params["prepare"].pop("limit", None)
        params["train"]["epochs"] = 1
        params["compress"] = {name: entry | {"sparsity": sparsity} for name, sparsity in names.items()}
        params["quantize"] = {
            "fp32": {"model": "baseline", "scheme": "float32"},
            **{f"{name}-int8": {"model": name, "scheme": "int8"} for name in names},
        }
        params["benchmark"]["devices"] = ["ethos-u55-128"]

    return change


@contextmanager
def project(epochs: int) -> Iterator[Team]:
    """A fresh project with services of its own; all of it ends with the block."""
    with services.team(copied) as team:
        team.clone.change(eight(epochs))
        team.up()
        yield team


def seconds(workers: int, epochs: int) -> float:
    """What a run takes, from the command to its end; servers and workers are up before."""
    with ExitStack() as ended:
        team, net = ended.enter_context(project(epochs)), ended.enter_context(hosts.Hosts(workers))
        env = ended.enter_context(hosts.shared(team, net))
        folder = ended.enter_context(tempfile.TemporaryDirectory())
        clones = [hosts.cloned(team.clone.root, Path(folder, str(k))) for k in range(workers)]
        address = ended.enter_context(hosts.dask(net, clones, env | ONE_THREAD))
        start = time.monotonic()
        with team.clone.started("tercet", "run", "--runner", f"dask@{address}", env=env) as (process, log):
            if process.wait(LIMIT_S):
                raise SystemExit(log.read_text()[-3000:])
            return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Eight variants by one machine's worker and by two.")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=500, help="of each variant: the work that is spread")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    took: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(options.repeats):
        for workers in (1, 2) if turned(repeat) else (2, 1):
            took[workers].append(seconds(workers, options.epochs))
            print(f"{repeat + 1}: {workers} machine(s): {took[workers][-1]:.1f} s", flush=True)
    ratios = [two / one for one, two in zip(took[1], took[2], strict=True)]
    print(f"two of one: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); at most {BAR} is asked")
    record(options.record, epochs=options.epochs, seconds={str(key): took[key] for key in took}, ratios=ratios)


if __name__ == "__main__":
    main()
