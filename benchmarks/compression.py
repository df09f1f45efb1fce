"""What every method of compression gives on one preset: accuracy, bytes and time, the mean of several seeds.

One project per seed in FOLDER: a clone of HEAD with the preset, its seeds set, in which `tercet run` runs. Called again
it goes on where it was stopped, as `tercet run` does, and a seed that FILE has of the same preset is not run again, on
whichever machine it was. Accuracy is of the test split, with half of the 95 % interval that a finite test split gives
one seed, and the range of the seeds. Ratios and times are means of the seeds' medians; an emulated device's time is the
same on every machine.

    python benchmarks/compression.py FOLDER --data data/mnist [--preset mnist-small] [--seeds 3] [--record FILE]
    python benchmarks/compression.py FOLDER --data data/cifar10-jpeg.tar.xz --preset cifar10-small …

`--goals` judges what the preset is for. Takes hours on two cores; `--limit 200` tries it out, with so many images in
each split and one epoch of each training. Seen: README.md, beside this, and tasks/compress/README.md.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from machine import ROOT, commit, environment, record

from tasks import files
from tasks.bench.runner.machine import processor
from tasks.records import Comparison, Row, notation, read

LIMIT_S = 4 * 3600
HOST, MICRO = "host-cpu", "ethos-u55-128"
ACCURACY = 0.9889  # of the baseline of mnist-small, of which its goals speak
CIFAR = 0.85  # of the float32 baseline: MLPerf Tiny takes a ResNet-8 by it
Figures = dict[str, Any]


def project(folder: Path, preset: str, data: Path, seed: int, limit: int | None = None) -> Path:
    """A clone of HEAD whose every training and every choice has this seed."""
    place = folder / f"seed-{seed}"
    if not place.exists():
        with files.replaced_folder(place) as clone:
            command = ["git", "clone", "--quiet", str(ROOT), str(clone)]
            subprocess.run(command, check=True, timeout=60)
            text = yaml.safe_load((clone / "infra" / "presets" / f"{preset}.yaml").read_text(encoding="utf-8"))
            text["prepare"] |= {"path": str(data.resolve()), "seed": seed}
            for section in (text["train"], *text["compress"].values(), *text["quantize"].values()):
                section["seed"] = seed
                if limit is not None:
                    section |= {key: 1 for key in ("epochs", "aware_epochs") if section.get(key)}
            if limit is not None:
                text["prepare"]["limit"] = limit
            (clone / "params.yaml").write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    return place


def rows(place: Path) -> list[Row]:
    """The comparison that `tercet run` makes in a project."""
    command = [str(Path(sys.executable).with_name("tercet")), "run"]
    subprocess.run(command, cwd=place, env=environment(place), check=True, timeout=LIMIT_S)
    return list(read(Comparison, place / "out" / "report" / "comparison.json").rows)


def figures(run: Sequence[Row]) -> dict[str, Figures]:
    """By variant what one seed gave, in the preset's order: a list for each figure that differs by seed."""
    names = list(dict.fromkeys(row.variant for row in run))
    return {name: _figures([row for row in run if row.variant == name]) for name in names}


def _figures(found: Sequence[Row]) -> Figures:
    first = found[0]
    return {
        "accuracy": first.quality,
        "accuracies": [first.quality],
        "half_interval": (first.quality_high - first.quality_low) / 2,
        "bytes": [first.bytes],
        "gzip_bytes": [first.gzip_bytes],
        "latency_ratio": [_ratio(row) for row in found if row.device == HOST],
        "ethos_u_ms": [_latency(row) for row in found if row.device == MICRO],
    }


def joined(earlier: dict[str, Figures], more: dict[str, Figures]) -> dict[str, Figures]:
    """The figures of several seeds, one after the other; the interval stays that of the first."""
    if not earlier:
        return more
    found = {}
    for name, before in earlier.items():
        lists = {key: [*of, *more[name][key]] for key, of in before.items() if isinstance(of, list)}
        found[name] = before | lists | {"accuracy": fmean(lists["accuracies"])}
    return found


def digest(preset: str, limit: int | None) -> str:
    """Of what a preset asks for, whatever its comments say: seeds of other recipes are not put together."""
    text = (ROOT / "infra" / "presets" / f"{preset}.yaml").read_text(encoding="utf-8")
    return hashlib.sha256(json.dumps([yaml.safe_load(text), limit], sort_keys=True).encode()).hexdigest()


def recorded(path: Path | None, recipe: str) -> dict[str, Any]:
    """What an earlier call wrote of the same recipe, or nothing of any seed."""
    found = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else {}
    kept = found if found.get("recipe") == recipe else {}
    return {"variants": kept.get("variants", {})} | {key: kept.get(key, []) for key in ("seeds", "commits", "machines")}


def _ratio(row: Row) -> float | None:
    return row.measurement.ratio.value if row.measurement.status == "ok" and row.measurement.ratio else None


def _latency(row: Row) -> float | None:
    return row.measurement.latency.ms_p50 if row.measurement.status == "ok" and row.measurement.latency else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def table(found: dict[str, Figures]) -> str:
    """The summary in Markdown."""
    lines = [
        "| variant | accuracy, % | seeds | bytes | gzip | host-cpu, ratio | Ethos-U55-128, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, of in found.items():
        seeds = f"{100 * min(of['accuracies']):.2f} to {100 * max(of['accuracies']):.2f}"
        accuracy = f"{100 * of['accuracy']:.2f} ± {100 * of['half_interval']:.2f}"
        sizes = [f"{round(fmean(of[kind])):,}" for kind in ("bytes", "gzip_bytes")]
        times = [notation.significant(_mean(of[kind])) for kind in ("latency_ratio", "ethos_u_ms")]
        lines.append(f"| {' | '.join([name, accuracy, seeds, *sizes, *times])} |")
    return "\n".join(lines)


def judge_mnist(found: dict[str, Figures]) -> dict[str, bool]:
    """Which of the goals that mnist-small is for are met, by the means of the seeds."""
    accurate = [of for of in found.values() if of["accuracy"] >= ACCURACY]
    base = _mean(found["int8"]["ethos_u_ms"])
    close = [of for of in found.values() if of["accuracy"] >= found["control-fp32"]["accuracy"] - 0.001]
    micro = [time for of in accurate if (time := _mean(of["ethos_u_ms"])) is not None]
    host = [ratio for of in accurate if (ratio := _mean(of["latency_ratio"])) is not None]
    return {
        "98.89 % in 6,000 bytes under gzip and 22,000 raw": any(
            max(of["gzip_bytes"]) <= 6_000 and max(of["bytes"]) <= 22_000 for of in accurate
        ),
        "0.10 point below the control in 12,300 bytes under gzip": any(max(of["gzip_bytes"]) <= 12_300 for of in close),
        "98.89 % in a fifth of float32's time on host-cpu": min(host, default=1) <= 1 / 5,
        "98.89 % in an eighth of int8's time on Ethos-U55-128": base is not None
        and min(micro, default=base) <= base / 8,
    }


def judge_cifar(found: dict[str, Figures]) -> dict[str, bool]:
    """Which of the goals that cifar10-small and cifar10-small-resnet20 are for are met, by the means of the seeds."""
    floats, integers = found["fp32"], found["int8"]
    least = found["control-fp32"]["accuracy"] - 0.003
    half = [of for of in found.values() if max(of["gzip_bytes"]) <= min(integers["gzip_bytes"]) / 2]
    return {
        "85 % of the test images in float32": floats["accuracy"] >= CIFAR,
        "int8 within 0.3 point of float32": integers["accuracy"] >= floats["accuracy"] - 0.003,
        "0.3 point below the control in half of int8's bytes under gzip and 0.6 of its time on both devices": any(
            of["accuracy"] >= least and all(_at_most(of, integers, key, 0.6) for key in ("latency_ratio", "ethos_u_ms"))
            for of in half
        ),
    }


def _at_most(one: Figures, other: Figures, key: str, share: float) -> bool:
    ours, theirs = _mean(one[key]), _mean(other[key])
    return ours is not None and theirs is not None and ours <= share * theirs


GOALS = {"mnist-small": judge_mnist, "cifar10-small": judge_cifar, "cifar10-small-resnet20": judge_cifar}


def main() -> None:
    parser = argparse.ArgumentParser(description="Every method of compression on one preset, over several seeds.")
    parser.add_argument("folder", type=Path, help="where the projects are made, and found again")
    parser.add_argument("--preset", default="mnist-small")
    parser.add_argument("--data", type=Path, required=True, help="the folder or file that the preset's `path` means")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--goals", action="store_true", help="judge the preset's goals, and exit 1 if one is missed")
    parser.add_argument("--limit", type=int, help="at most so many images in each split, and one epoch: to try it out")
    parser.add_argument("--record", type=Path, help="a JSON file to write, after each seed")
    options = parser.parse_args()
    if options.goals and options.preset not in GOALS:
        parser.error(f"--goals: of the presets {', '.join(GOALS)}; received {options.preset!r}")
    judge = GOALS[options.preset] if options.goals else lambda _: {}
    recipe = digest(options.preset, options.limit)
    found = recorded(options.record, recipe)
    for seed in set(range(options.seeds)) - set(found["seeds"]):
        place = project(options.folder, options.preset, options.data, seed, options.limit)
        found["variants"] = joined(found["variants"], figures(rows(place)))
        found["seeds"].append(seed)
        found["commits"].append(commit(place))  # a project keeps its code; `-dirty` by its params.yaml
        found["machines"].append(processor()["cpu"])
        if len(found["seeds"]) < options.seeds:
            print(table(found["variants"]))
        record(options.record, preset=options.preset, recipe=recipe, **found, goals=judge(found["variants"]))
    goals = judge(found["variants"])
    print(table(found["variants"]), *(f"{'met' if met else 'MISSED'}: {goal}" for goal, met in goals.items()), sep="\n")
    raise SystemExit(not all(goals.values()))


if __name__ == "__main__":
    main()
