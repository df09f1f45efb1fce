"""`tercet serve` under load, beside what one writes by hand and MLflow's own server, all of the same program.

    python benchmarks/serving.py BUNDLE IMAGES.npy [--turns 7] [--seconds 4] [--record FILE]

The bundle is one of images and one class, by LiteRT. The sides, each one process on loopback, all running all the time:

- `tercet`: `tercet serve BUNDLE`.
- `bare`: serving_bare.py, whose handler is a `def`, as FastAPI's pages advise for what holds a thread.
- `inline`: the same as an `async def`, which saves the hand-over to a thread, and keeps everybody waiting meanwhile.
- `mlflow`: `mlflow models serve` of the same bundle, as `track.promote` registers it.

First each side answers 1,000 images, which must be what the bundle's own script says of them. Then they take turns,
with 1 client and with 32, each of which asks again as soon as it is answered (`wrk`, Debian, one thread, on the same
processors). A turn is a warm-up of a second and so many seconds. Goals, also beside `inline`, the quicker where a
program is brief: 1.0 times the throughput with one client, 1.5 times with 32, and a 99th percentile that is no worse;
beside MLflow's, no less. Seen: README.md.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from machine import record

HERE, BIN = Path(__file__).resolve().parent, Path(sys.executable).parent
CLIENTS = (1, 32)
GOALS = {1: 1.0, 32: 1.5}  # times the bare handler's throughput
CHECKED = 1000  # images that every side answers first
STARTING_S = 120
LOAD = """
local bodies, next = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
request = function()
  next = next % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[next])
end
done = function(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  print(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def body(images: np.ndarray) -> str:
    return json.dumps({"instances": images[..., 0].tolist()})


def asked(address: str, images: np.ndarray) -> list[dict[str, Any]]:
    request = urllib.request.Request(address, body(images).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.load(answer)["predictions"])


@contextmanager
def started(command: list[str], address: str, image: np.ndarray) -> Iterator[None]:
    """A server that answers; ended with all that it has started."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until = time.monotonic() + STARTING_S
        while True:
            try:
                asked(address, image[None])
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} does not answer") from None
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def mlflow_model(bundle: Path, folder: Path) -> Path:
    from tasks.track import champions

    champions.write_model(folder / "model", bundle, json.loads((bundle / "manifest.json").read_text()))
    return folder / "model"


def sides(bundle: Path, folder: Path, port: int) -> dict[str, tuple[list[str], str]]:
    """Each side's command, and its address."""
    bare = [sys.executable, str(HERE / "serving_bare.py"), str(bundle)]
    model = str(mlflow_model(bundle, folder))
    serve = [str(BIN / "mlflow"), "models", "serve", "--env-manager", "local", "--model-uri", model, "--port"]
    commands = {
        "tercet": ([str(BIN / "tercet"), "serve", str(bundle), "--port"], "predict"),
        "bare": ([*bare, "--port"], "predict"),
        "inline": ([*bare, "--inline", "--port"], "predict"),
        "mlflow": (serve, "invocations"),
    }
    return {
        name: ([*command, str(port + k)], f"http://127.0.0.1:{port + k}/{path}")
        for k, (name, (command, path)) in enumerate(commands.items())
    }


def loaded(address: str, clients: int, seconds: float, files: dict[str, Path]) -> dict[str, float]:
    """What wrk sees of one side."""
    command = ["wrk", "-t1", f"-c{clients}", "-s", str(files["script"]), "--timeout", "10s"]
    environment = {**os.environ, "BODIES": str(files["bodies"])}
    for duration in ("1s", f"{seconds:g}s"):  # the first warms it up
        done = subprocess.run(
            [*command, "-d", duration, address],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if told["failed"]:
        raise SystemExit(f"{address}: {told['failed']} requests failed")
    return {**told, "per_s": told["requests"] / told["seconds"]}


def check(addresses: dict[str, str], bundle: Path, images: np.ndarray, folder: Path) -> None:
    """Every side says of each image what the bundle's script does."""
    np.save(folder / "images.npy", images)
    script = [sys.executable, "-I", str(bundle / "classify.py"), str(folder / "images.npy")]
    said = subprocess.run(script, capture_output=True, text=True, timeout=300, check=True).stdout
    expected = [json.loads(line) for line in said.splitlines()]
    for name, address in addresses.items():
        told = [asked(address, image[None])[0] for image in images]
        same = sum(one["label"] == other["label"] for one, other in zip(told, expected, strict=True))
        off = max(abs(one["score"] - other["score"]) for one, other in zip(told, expected, strict=True))
        print(f"{name:8} {same} of {len(images)} labels as the script's, scores within {off:.1e}", flush=True)
        if same != len(images):
            raise SystemExit(f"{name} answers otherwise")


def told(figures: dict[str, dict[int, list[dict[str, float]]]]) -> dict[str, Any]:
    """The medians of each side, and of each turn's ratios to the bare handlers' and MLflow's."""
    summary: dict[str, Any] = {}
    for clients in CLIENTS:
        turns = {name: found[clients] for name, found in figures.items()}
        for name, mine in turns.items():
            middle = {key: median(turn[key] for turn in mine) for key in ("per_s", "p50_ms", "p99_ms")}
            ratios = {
                f"{key}_over_{other}": median(a[key] / b[key] for a, b in zip(turns["tercet"], theirs, strict=True))
                for other, theirs in turns.items() if name == "tercet" and other != name
                for key in ("per_s", "p99_ms")
            }  # fmt: skip
            summary[f"{name}, {clients}"] = {**middle, **ratios}
            print(
                f"{name:8} {clients:3} clients: "
                + "  ".join(f"{k} {v:.4g}" for k, v in summary[f"{name}, {clients}"].items())
            )
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description="tercet serve under load.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, help="uint8 [n, h, w, 1]")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--beside", default="", help="what else runs on the machine, for the record")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    images = np.load(options.images)[:CHECKED]
    version = re.match(r"wrk (\S+)", subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout)
    with TemporaryDirectory() as temporary, ExitStack() as servers:
        folder = Path(temporary)
        files = {"script": folder / "load.lua", "bodies": folder / "bodies.txt"}
        files["script"].write_text(LOAD)
        files["bodies"].write_text("".join(body(image[None]) + "\n" for image in images[:256]))
        found = sides(options.bundle.resolve(), folder, options.port)
        for command, address in found.values():
            servers.enter_context(started(command, address, images[0]))
        addresses = {name: address for name, (_, address) in found.items()}
        check(addresses, options.bundle, images, folder)
        figures: dict[str, dict[int, list[dict[str, float]]]] = {name: {c: [] for c in CLIENTS} for name in found}
        for turn in range(options.turns):
            for clients in CLIENTS:
                for name in sorted(addresses, reverse=bool(turn % 2)):
                    figures[name][clients].append(loaded(addresses[name], clients, options.seconds, files))
    summary = told(figures)
    manifest = json.loads((options.bundle / "manifest.json").read_text())
    about = {"variant": manifest["variant"], "artifact_sha256": manifest["artifact_sha256"], "checked": len(images)}
    record(
        options.record, bundle=about, wrk=version[1] if version else None, beside=options.beside, goals=GOALS,
        medians=summary, turns=figures,
    )  # fmt: skip


if __name__ == "__main__":
    main()
