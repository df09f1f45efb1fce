"""What grows with the number of variants and devices, and how: planning, a run, a run with nothing to do, DVC, MLflow.

For each number of variants: a first plan (`tercet run --dry-run`) of that many on so many simulated devices. For each
number that is to be run: `tercet run` from nothing; the same with nothing to do, right behind it; once more, when a
comment in params.yaml has DVC look at each stage; `dvc status`; and `tercet publish` into a new database.
scale_stand_ins.py, beside this, says what stands in for devices and for the making of variants: all else is Tercet's
own, and the figures are of Tercet and its engines, never of a network or a device.

    python benchmarks/scale.py [--plan 250 500 1000] [--run 25 50 100] [--grown 250 500 1000] [--devices 20]
                               [--service 0.002] [--task-runs 20000] [--record FILE]

Processor seconds stand beside those of the clock, and the most memory of the command's own process. With `--task-runs`
a Prefect server of its own, on SQLite, is filled with so many, and asked what its page of runs asks. `--run 1000` wants
hours and 10 GB; `--grown` times a run with nothing to do alone, among records that are copies (scale_grow.py). Goals: a
plan of 1,000 variants on 20 devices in 10 s, nothing to do in 15 s, the page in 2 s.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml
from machine import ROOT, record

from flows.start.prefect_server import Server

HERE = Path(__file__).parent
LIMIT_S = 6 * 3600
PLAN_S, NOTHING_S, PAGE_S = 10.0, 15.0, 2.0
PER_RUN = 200  # task runs of a flow run
ENTRY_POINTS = "[tercet.kinds]\nsimulated = scale_stand_ins:KIND\n"
DEVICE = "kind: simulated\ndescription: a device that only waits\nservice_s: {}\n"


def plug_in(folder: Path) -> None:
    """Make the simulated kind known to who has the folder on the path of packages."""
    about = folder / "scale_stand_ins-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: scale-stand-ins\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")


def project(folder: Path, variants: int, devices: int, service_s: float) -> None:
    """The preset `smoke` with so many variants of one model, on so many devices that only wait."""
    command = [str(Path(sys.executable).with_name("tercet")), "init", str(folder), "--from", "smoke"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    names = [f"simulated-{number:02}" for number in range(devices)]
    (folder / "devices").mkdir()
    for name in names:
        (folder / "devices" / f"{name}.yaml").write_text(DEVICE.format(service_s), encoding="utf-8")
    asked = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    same = {"model": "baseline", "scheme": "float32"}
    asked |= {
        "compress": {},
        "quantize": {"fp32": same} | {f"v{n:04}": same for n in range(1, variants)},
        "benchmark": asked["benchmark"] | {"devices": names},
        "bundle": {"default": {"minimize": "bytes"}},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(asked, sort_keys=False), encoding="utf-8")


def timed(folder: Path, *command: str) -> dict[str, float]:
    """Run a command in a project; its seconds, of the clock and of the processor, and its most memory."""
    plugged, home = folder.parent / "plugged", folder.parent / "home"
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))}
    variables |= {
        "PYTHONPATH": f"{plugged}:{HERE}:{ROOT}",
        "PREFECT_HOME": str(home / "prefect"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "TERCET_LOCKS": str(home),
    }
    log = folder.parent / f"{folder.name}.log"
    start = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    return told(time.perf_counter() - start, used)


def told(seconds: float, used: resource.struct_rusage) -> dict[str, float]:
    """A command's cost, that of its children among it."""
    return {"seconds": seconds, "processor_s": used.ru_utime + used.ru_stime, "memory_kib": used.ru_maxrss}


def tercet(folder: Path, *words: str) -> dict[str, float]:
    """The command, with what stands in for the making of variants."""
    found = timed(folder, str(HERE / "scale_stand_ins.py"), "tercet", *words)
    print(f"{folder.name}: tercet {' '.join(words)}: {found}", flush=True)
    return found


def planned(folder: Path) -> dict[str, Any]:
    """A first plan, the quicker of two: the first reads the code, which the second knows."""
    found = min((tercet(folder, "run", "--dry-run") for _ in range(2)), key=lambda each: each["seconds"])
    return found | {"stages": len((folder.parent / f"{folder.name}.log").read_text().splitlines())}


def run(folder: Path, pairs: int) -> dict[str, Any]:
    """A run from nothing, and what is asked of the project afterwards."""
    tercet(folder, "run", "--quiet", "--variant", "fp32", "--device", "simulated-00")  # the others are copies of it
    found: dict[str, Any] = {"run": tercet(folder, "run", "--quiet")}
    found["overhead_s_a_pair"] = found["run"]["processor_s"] / pairs
    found["nothing_to_do"] = tercet(folder, "run", "--quiet")
    with (folder / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# asked again\n")
    found["dvc_looks"] = tercet(folder, "run", "--quiet")
    found["dvc_status"] = timed(folder, "-m", "dvc", "status", "--quiet")
    found["lock_bytes"] = (folder / "dvc.lock").stat().st_size
    for name in ("mlflow.db", ".tercet/published.json"):
        (folder / name).unlink()
    found["publish"] = tercet(folder, "publish")
    found["records_a_second"] = pairs / found["publish"]["seconds"]
    return found


def grown(folder: Path, variants: int) -> list[dict[str, float]]:
    """Three runs with nothing to do among the records of so many variants, of which all but two are copies."""
    tercet(folder, "run", "--quiet", "--variant", "fp32", "--device", "simulated-00")
    tercet(folder, "run", "--quiet")
    print(f"grow: {timed(folder, str(HERE / 'scale_grow.py'), str(variants))}", flush=True)
    return [tercet(folder, "run") for _ in range(3)]


def page(task_runs: int) -> dict[str, float]:
    """Seconds, in the median of five, of what Prefect's page of runs asks of a server with so many task runs."""
    server = Server()
    server.wait()
    try:
        with httpx.Client(base_url=server.address, timeout=60, trust_env=False) as client:
            flow = client.post("/flows/", json={"name": "scale"}).raise_for_status().json()["id"]
            for number in range(-(-task_runs // PER_RUN)):
                fill(client, flow, number)
            return {path: asked(client, path, body) for path, body in asks(flow).items()}
    finally:
        server.stop()


def asks(flow: str) -> dict[str, dict[str, Any]]:
    """The requests of the page, by their paths."""
    of = {"flows": {"id": {"any_": [flow]}}}
    return {
        "/flow_runs/paginate": {**of, "sort": "START_TIME_DESC", "limit": 50, "page": 1},
        "/flow_runs/count": of,
        "/task_runs/paginate": {**of, "sort": "EXPECTED_START_TIME_DESC", "limit": 50, "page": 1},
        "/task_runs/count": of,
    }


def asked(client: httpx.Client, path: str, body: dict[str, Any]) -> float:
    """How long an answer takes."""
    took = []
    for _ in range(5):
        start = time.perf_counter()
        client.post(path, json=body).raise_for_status()
        took.append(time.perf_counter() - start)
    return sorted(took)[2]


def fill(client: httpx.Client, flow: str, number: int) -> None:
    """One more flow run that has completed, with its task runs."""
    state = {"type": "COMPLETED", "name": "Completed"}
    made = client.post("/flow_runs/", json={"flow_id": flow, "name": f"run {number}", "state": state})
    run_id = made.raise_for_status().json()["id"]

    for task in range(PER_RUN):
        body = {"flow_run_id": run_id, "task_key": "benchmark", "dynamic_key": str(task), "state": state}
        client.post("/task_runs/", json={**body, "name": f"benchmark {task}"}).raise_for_status()


def measured(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """All figures that are asked for."""
    plug_in(home / "plugged")
    (home / "home").mkdir()
    found: dict[str, Any] = {"plan": {}, "run": {}, "grown": {}}
    for variants in options.plan:
        folder = home / f"plan-{variants}"
        project(folder, variants, options.devices, options.service)
        found["plan"][variants] = planned(folder)
        shutil.rmtree(folder)
    for variants in options.run:
        folder = home / f"run-{variants}"
        project(folder, variants, options.devices, options.service)
        found["run"][variants] = run(folder, variants * options.devices)
        shutil.rmtree(folder)
    for variants in options.grown:
        folder = home / f"grown-{variants}"
        project(folder, 2, options.devices, options.service)
        found["grown"][variants] = grown(folder, variants)
        shutil.rmtree(folder)
    if options.task_runs:
        os.environ["PREFECT_HOME"] = str(home / "page")
        os.chdir(home)
        found["page"] = page(options.task_runs)
        print(f"{options.task_runs} task runs: {found['page']}", flush=True)
    return found


def goals(found: dict[str, Any], devices: int) -> dict[str, bool]:
    """Which promises hold, of what was measured."""
    kept = {}
    if devices == 20 and 1000 in found["plan"]:
        kept["a plan in 10 s"] = found["plan"][1000]["seconds"] <= PLAN_S
    if devices == 20 and 1000 in found["grown"]:
        kept["nothing to do in 15 s"] = max(each["seconds"] for each in found["grown"][1000]) <= NOTHING_S
    if "page" in found:
        kept["the page in 2 s"] = max(found["page"].values()) <= PAGE_S
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description="What grows with the number of variants and devices.")
    parser.add_argument("--plan", type=int, nargs="*", default=[250, 500, 1000], help="variants")
    parser.add_argument("--run", type=int, nargs="*", default=[25, 50, 100], help="variants")
    parser.add_argument("--grown", type=int, nargs="*", default=[250, 500, 1000], help="variants")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--service", type=float, default=0.002, help="seconds that a simulated device waits")
    parser.add_argument("--task-runs", type=int, default=0)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    record_at = options.record and options.record.absolute()
    with TemporaryDirectory(prefix="tercet-scale-", ignore_cleanup_errors=True) as home:
        found = measured(options, Path(home))
    kept = goals(found, options.devices)
    print(f"goals: {kept}")
    settings = {"devices": options.devices, "service_s": options.service, "task_runs": options.task_runs}
    record(record_at, **settings, **found, goals=kept)


if __name__ == "__main__":
    main()
