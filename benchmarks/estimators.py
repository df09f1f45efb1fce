"""How far estimates from published figures are from figures that they have not seen, beside bars and a naive model.

Of every runtime, kind of numbers and count of threads each network is left out in turn, with all its figures; where
several boards have one core, the board besides. The naive model is products times one constant for each board. A range
is made without the network that it has to hold. Energy is given the time.

    python benchmarks/estimators.py [--record FILE]

Takes seconds. Seen: README.md, beside this.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from machine import record

from tasks.published import compiled, estimate, judge, language, networks, power, table
from tasks.published.estimate import Kernels
from tasks.published.fit import STYLES
from tasks.published.judge import Guess
from tasks.published.language import Token
from tasks.published.runtimes import APPLICATION, MICRO, RUNTIMES
from tasks.published.table import INTEGERS
from tasks.published.work import work

BARS: dict[str, tuple[str, float]] = {  # by what runtimes are called: as users ask for them
    "X-CUBE-AI": ("x-cube-ai", 0.20),
    "TFLM": ("tflm", 0.25),
}
ENERGY = {"processors": (MICRO, 0.10), "accelerators": (("gap9", "syntiant", "cortex-m33+mvp"), 0.20)}
COST_MS = 50
RECORDS = Path(__file__).parent / "records"
PEAKS_GB_S = {"raspberry-pi-5": 17.1, "a100-80gb": 2039}  # of their datasheets
NOT_FITTED = ("edge-tpu", "gap9", "openvx", "qualcomm-low-power-ai")


def fitted_together() -> list[Kernels]:
    """All that has figures of three networks or more."""
    found = {
        Kernels(name, row.numeric, row.ran_threads)
        for name, runtime in RUNTIMES.items()
        for row in table.rows()
        if row.numeric and runtime.has(row)
    }
    return sorted((each for each in found if estimate.guesses(each)), key=str)


def held(guesses: Sequence[Guess]) -> float:
    """The share of figures within a range that is made of the other networks' guesses."""
    inside = []
    for guess in guesses:
        others = [other for other in guesses if other.network != guess.network]
        inside.append(guess.factor <= judge.factor(others))
    return fmean(inside)


def errors(guesses: Sequence[Guess]) -> dict[str, Any]:
    """In the numbers that stand beside an estimate."""
    found = judge.judged(guesses)
    return found.model_dump() if found else {"rows": 0}


def study(kernels: Kernels) -> dict[str, Any]:
    """One line of the page."""
    rows, guesses = estimate.rows(kernels), estimate.guesses(kernels)
    line = {
        "runtime": kernels.runtime,
        "numbers": kernels.numeric,
        "threads": kernels.threads,
        "boards": len({row.board for row in rows}),
        "networks": len({row.network for row in rows}),
        "network_left_out": errors(guesses),
        "naive": errors(estimate.naive(rows)),
        "range_factor": judge.factor(guesses),
        "range_held": held(guesses),
        "board_and_network_left_out": errors(estimate.guesses(kernels, boards=True)) if _known(rows) else {"rows": 0},
    }
    line["cost_ms"] = took(kernels)
    print(shown(line), flush=True)
    return line


def _known(rows: Iterable[table.Row]) -> bool:
    return any(row.clock_mhz is not None for row in rows)


def shown(line: dict[str, Any]) -> str:
    """A line of the table in README.md."""
    out, plain, boards = line["network_left_out"], line["naive"], line["board_and_network_left_out"]
    percent = [f"{out[key]:.0%}" for key in ("mean", "median", "worst")]
    other = f"{boards['mean']:.0%} of {boards['rows']}" if boards["rows"] else "–"
    threads = f", {line['threads'] or 'not told'}" if line["threads"] != "1" else ""
    name = f"`{line['runtime']}` {line['numbers']}{threads}"
    cells = [
        name,
        out["rows"],
        *percent,
        f"{plain['mean']:.0%}",
        other,
        f"{line['range_factor']:.2f}",
        f"{line['range_held']:.0%}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def took(kernels: Kernels) -> float:
    """Milliseconds of this process's processor for one estimate of a pair, all its errors found anew."""
    board = estimate.rows(kernels)[0].board
    estimate.guesses.cache_clear()
    began = time.process_time()
    estimate.estimate(kernels, work(networks.structure("mobilenet_v1-1.0-224")), board)
    return 1e3 * (time.process_time() - began)


def energies(cores: tuple[str, ...]) -> list[Guess]:
    """Of each board, clock, runtime and round: its energies as the power of its other networks has them."""
    found: dict[tuple[object, ...], list[table.Row]] = {}
    for row in table.rows():
        plain = "+" not in row.core.removesuffix("+") or row.core in cores
        if row.energy_mj and row.latency_ms and row.network and row.core.startswith(cores) and plain:
            found.setdefault((row.board, row.clock_mhz, row.runtime, row.release), []).append(row)
    return [guess for rows in found.values() for guess in power.left_out(rows)]


def pooled(pick: Callable[[Kernels], bool]) -> tuple[list[Guess], list[Guess]]:
    """The guesses of several runtimes together, and the naive model's."""
    chosen = [each for each in fitted_together() if pick(each)]
    return (
        [guess for each in chosen for guess in estimate.guesses(each)],
        [guess for each in chosen for guess in estimate.naive(estimate.rows(each))],
    )


def bars() -> list[dict[str, Any]]:
    """Each bar, and whether it is met."""
    found = []
    for name, (prefix, bar) in BARS.items():
        ours, naive = pooled(lambda each, prefix=prefix: each.runtime.startswith(prefix) and each.numeric == INTEGERS)  # type: ignore[misc]  # bound now
        found.append({"what": f"latency, {name}", "bar": bar, **errors(ours), "naive_mean": errors(naive)["mean"]})
    for name, (cores, bar) in ENERGY.items():
        found.append({"what": f"energy given the time, {name}", "bar": bar, **errors(energies(cores))})
    for line in found:
        line["met"] = line["mean"] <= line["bar"]
        verdict = "met" if line["met"] else "not met"
        print(f"{line['what']}: {line['mean']:.1%} of {line['rows']}; bar {line['bar']:.0%}: {verdict}")
    return found


def tokens() -> list[dict[str, Any]]:
    """Language models: published tokens, each left out, beside the bytes at the peak of the memory; and our own."""
    found = []
    for name, runtime in language.RUNTIMES.items():
        known = language.tokens(language.rows(name), name)
        line = {"runtime": name, "board": runtime.board, **errors(language.left_out(known))}
        line["energy_given_the_time"] = errors(language.energies_left_out(known))
        if peak := PEAKS_GB_S.get(runtime.board):
            naive = [Guess(each.model, "", each.size / peak * 1e3, each.ms) for each in known]
            line["at_the_peak"] = errors(naive)
        found.append(line)
    for name, known in (("ours, H100", of_h100()), ("ours, this processor", of_processor())):
        at_once = [Guess(each.model, "", each.size, each.ms) for each in known]
        found.append(
            {"runtime": name, **errors(language.left_out(known)), "at_the_measured_bandwidth": errors(at_once)}
        )
    for line in found:
        print(f"tokens, {line['runtime']}: {line['mean']:.1%} of {line['rows']}, worst {line['worst']:.1%}")
    return found


def of_h100() -> list[Token]:
    """Our records of bfloat16 on an H100; the size is what the bytes take at the bandwidth of a copy then, in ms."""
    rows = json.loads((RECORDS / "h100-lm.json").read_text())["rows"]
    own = {name: row for name, row in rows.items() if re.fullmatch(r"\w+-bf16-decode-\d+", name)}
    return [
        Token(
            model=name,
            size=1e3 * row["bytes_read"] / row["copy_bytes_per_s"],
            ms=1e3 * int(name.rsplit("-", 1)[1]) / row["ours_tokens_per_s"],
            mj=None,
        )
        for name, row in own.items()
    ]


def of_processor() -> list[Token]:
    """Likewise of SmolLM2 by LiteRT on this processor, and the bandwidth of its memory as measured between."""
    groups = json.loads((RECORDS / "language-peers.json").read_text())["groups"]
    return [
        Token(
            model=f"{each['bits']}, {each['threads']}",
            size=each["reads"] / median(each["memory_gb_s"]) / 1e6,
            ms=each["sides"]["tercet"]["decode_ms"],
            mj=None,
        )
        for each in groups
    ]


def not_fitted() -> list[dict[str, Any]]:
    """Accelerators whose networks left out are too far off, or told no better than by one constant."""
    found = []
    for core in NOT_FITTED:
        rows = [row for row in table.rows() if row.core == core and row.network and row.latency_ms and row.numeric]
        ours = errors(estimate.left_out(rows, tuple(STYLES)))
        line = {"core": core, "network_left_out": ours, "naive": errors(estimate.naive(rows))}
        print(f"not fitted, {core}: {ours['mean']:.0%} of {ours['rows']}, one constant {line['naive']['mean']:.0%}")
        found.append(line)
    return found


def compilers() -> dict[str, Any]:
    """Vela's cycles beside published ones."""
    found = errors(compiled.guesses("ethos-u55-128"))
    print(f"Vela, Ethos-U55: off by {found['mean']:.1%} on {found['rows']} network")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of the estimates from published figures.")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    lines = [study(kernels) for kernels in fitted_together()]
    processors = [
        guess
        for each in fitted_together()
        if RUNTIMES[each.runtime].cores == APPLICATION
        for guess in estimate.guesses(each)
    ]
    shares = [
        line["range_held"] * line["network_left_out"]["rows"]
        for line in lines
        if RUNTIMES[line["runtime"]].cores == APPLICATION
    ]
    print(f"ranges of application processors hold {sum(shares) / len(processors):.1%} of {len(processors)}; bar 90%")
    print(
        f"one estimate costs at most {max(line['cost_ms'] for line in lines):.0f} ms of processor time; bar {COST_MS}"
    )
    others = {"tokens": tokens(), "not_fitted": not_fitted(), "compilers": compilers()}
    record(options.record, bars=bars(), estimators=lines, **others)


if __name__ == "__main__":
    main()
