"""Language models on two NVIDIA GPUs of one host: one model over both cards, and one model on each.

    python benchmarks/lm_gpu.py prepare --out FOLDER
    python benchmarks/lm_cards.py --folder FOLDER --out RESULTS.json

The second needs both GPUs and jax. Tensor parallel, as in Shoeybi et al., "Megatron-LM" (2019): rows of what reads a
layer's input and the columns of what gives its output lie half on each card, as do the heads of the caches; XLA puts in
what the cards tell each other. Programs are those of one card, with the places of their arguments noted. Replicas: a
process a card, both at work at the same time, beside one alone.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # it is not installed on the GPU machine

from lm_sizes import PROMPT, SIZES, STEPS  # noqa: E402  # of the folder that is named above

WINDOWS, WINDOW_S, TOGETHER_S = 5, 1.0, 15.0
LIMIT_S = 60  # of a process
FLAGS = {
    "default": {},
    "nccl": {
        "xla_gpu_experimental_use_collective_kernels": "",
        "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,COLLECTIVES",
    },
}
ROWS, COLUMNS = ("query", "key", "value", "gate", "up", "embedding"), ("output", "down")  # what is parted by which


def parted(name: str, shape: list[int]) -> tuple[str | None, ...]:
    """Which axis of an argument lies half on each card."""
    part = name.removesuffix(".weight").rpartition("_")[2]
    if name.startswith("kv_cache"):
        return (None, "cards", None, None)
    if len(shape) == 2 and part in ROWS:
        return ("cards", None)
    return (None, "cards") if len(shape) == 2 and part in COLUMNS else (None,) * len(shape)


class Program:
    """A program over some cards, its weights and caches, random but the same whatever the number of cards."""

    def __init__(self, folder: Path, cards: int, flags: dict[str, str]) -> None:
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        page = json.loads((folder / "lm.json").read_text())
        ((self.name, about),) = page["programs"].items()
        self.batch, self.arguments, self.results = page["batch"], about["arguments"], about["results"]
        self.mesh = Mesh(np.array(jax.devices()[:cards]), ("cards",))
        self.back = [(k, j) for j, k in about["donated"]]

        def at(name: str, shape: list[int]) -> Any:
            return NamedSharding(self.mesh, PartitionSpec(*(parted(name, shape) if cards > 1 else ())))

        self.at = {name: at(name, shape) for name, shape, _ in self.arguments + self.results}
        start = time.perf_counter()
        content = (folder / about["file"]).read_bytes()
        self.program = compiled(noted(content, self) if cards > 1 else content, self.mesh, flags)
        self.compile_s = time.perf_counter() - start
        self.given: list[Any] = [
            None if dtype == "int32" else drawn(number, name, shape, dtype, self.at[name])
            for number, (name, shape, dtype) in enumerate(self.arguments)
        ]

    def give(self, **values: Any) -> None:
        import jax

        for number, (name, *_) in enumerate(self.arguments):
            if name in values:
                self.given[number] = jax.device_put(np.asarray(values[name], np.int32), self.at[name])

    def call(self) -> dict[str, Any]:
        import jax

        told = self.program.execute_sharded(self.given).disassemble_into_single_device_arrays()
        found = [
            jax.make_array_from_single_device_arrays(tuple(shape), self.at[name], parts)
            for (name, shape, _), parts in zip(self.results, told, strict=True)
        ]
        for k, j in self.back:
            self.given[j] = found[k]
        return dict(zip((name for name, *_ in self.results), found, strict=True))

    def begin(self) -> None:
        """Where decoding begins, or a prompt."""
        tokens = np.random.default_rng(5).integers(0, 32_000, (self.batch, PROMPT))
        self.give(token=np.arange(self.batch), position=PROMPT, tokens=tokens, start=0, last=PROMPT - 1)

    def window(self, seconds: float) -> float:
        """Tokens a second in a window of so many."""
        count, calls, begun = (STEPS if self.name == "generate" else PROMPT) * self.batch, 0, time.perf_counter()
        while time.perf_counter() - begun < seconds or not calls:
            self.begin()
            np.asarray(self.call()["token"])
            calls += 1
        return calls * count / (time.perf_counter() - begun)


def noted(content: bytes, program: Program) -> bytes:
    """The program with the places of its arguments and results among the cards, as XLA's partitioner reads them."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    def words(name: str, shape: list[int]) -> str:
        axes = [2 if axis else 1 for axis in parted(name, shape)]
        return f"{{devices={json.dumps(axes, separators=(',', ':'))}<=[2]}}" if 2 in axes else "{replicated}"

    with ir.Context() as context, ir.Location.unknown():
        stablehlo.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, content)
        main = next(each for each in module.body if each.attributes["sym_name"].value == "main")
        before = main.attributes["arg_attrs"]
        given = [
            ir.DictAttr.get(
                {**{one.name: one.attr for one in old}, "mhlo.sharding": ir.StringAttr.get(words(*row[:2]))}
            )
            for old, row in zip(before, program.arguments, strict=True)
        ]
        main.attributes["arg_attrs"] = ir.ArrayAttr.get(given)
        main.attributes["res_attrs"] = ir.ArrayAttr.get(
            [ir.DictAttr.get({"mhlo.sharding": ir.StringAttr.get(words(*row[:2]))}) for row in program.results]
        )
        module.operation.attributes["mhlo.num_partitions"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), 2)
        return str(module).encode()


def compiled(content: bytes, mesh: Any, flags: dict[str, str]) -> Any:
    import jax
    from jaxlib import xla_client

    options, devices = xla_client.CompileOptions(), list(mesh.devices)
    options.num_partitions = len(devices)
    build = options.executable_build_options
    build.use_spmd_partitioning = len(devices) > 1
    build.num_partitions = len(devices)
    build.device_assignment = xla_client.DeviceAssignment.create(np.array([[each.id for each in devices]]))
    options.env_option_overrides = list(flags.items())
    return jax.devices()[0].client.compile_and_load(content, xla_client.DeviceList(tuple(devices)), options)


@cache
def maker(shape: tuple[int, ...], dtype: str, scale: float, place: Any) -> Any:
    """Compiled once for all arrays of a shape."""
    import jax
    import jax.numpy as jnp

    def make(number: Any) -> Any:
        value = jax.random.normal(jax.random.key(number), shape, jnp.float32) * scale
        return (1 + value if len(shape) == 1 else value).astype(dtype)

    return jax.jit(make, out_shardings=place)


def drawn(number: int, name: str, shape: list[int], dtype: str, place: Any) -> Any:
    """Random numbers of a name, the same on one card and on two."""
    scale = 0.1 if len(shape) == 1 else 1.0 if name.startswith("kv_cache") else shape[1] ** -0.5
    return maker(tuple(shape), dtype, scale, place)(number)


def tensor_parallel(folder: Path, model: str, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """Each program on one card, and over both, by each set of flags; and how far their answers lie apart.

    In a process each, which is given up on: programs that wait for each other's cards were seen to wait for ever.
    """
    for each in sorted(folder.glob(f"{model}-bf16-apart-*")):
        with TemporaryDirectory() as told:
            one: dict[str, Any] = {}
            for cards, flags in ((1, "default"), *((2, name) for name in FLAGS)):
                row = apart(each, cards, flags, Path(told))
                if cards == 1:
                    one = row
                elif "tokens_per_s" in row and "tokens_per_s" in one:
                    row["over_one"] = row["tokens_per_s"] / one["tokens_per_s"]
                    row |= beside(Path(told, f"2{flags}.npz"), Path(told, "1default.npz"))
                keep(f"{each.name} {cards} {flags}", row)


def apart(program: Path, cards: int, flags: str, told: Path) -> dict[str, Any]:
    """What `one` says in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(program), "--one", str(cards), flags, str(told)]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {LIMIT_S} s"}
    if found.returncode:
        return {"error": found.stderr.strip().splitlines()[-1][:400]}
    row: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return row


def one(folder: Path, cards: int, flags: str, told: Path) -> dict[str, Any]:
    """A program's rate, what its cards tell each other, and its answers, in a file."""
    program = Program(folder, cards, FLAGS[flags])
    program.begin()
    answers = {name: np.asarray(value, np.float32) for name, value in program.call().items() if "cache" not in name}
    np.savez(told / f"{cards}{flags}.npz", **answers)
    text = program.program.hlo_modules()[0].to_string()
    counts = {f"{kind}s": len(re.findall(rf" {kind}(-start)?\(", text)) for kind in ("all-reduce", "all-gather")}
    rates = [program.window(WINDOW_S) for _ in range(WINDOWS)]
    row = {"tokens_per_s": median(rates), "least": min(rates), "most": max(rates), "compile_s": program.compile_s}
    return row | counts


def beside(two: Path, single: Path) -> dict[str, float]:
    """Whether both say the same: of a prompt its scores; of a text the first tokens: bfloat16 parts the rest."""
    with np.load(two) as a, np.load(single) as b:
        if "logits" in a:
            return {"logits_apart": float(np.linalg.norm(a["logits"] - b["logits"]) / np.linalg.norm(b["logits"]))}
        return {"first_same": float((a["tokens"][0] == b["tokens"][0]).mean())}


def replica(folder: Path) -> None:
    """A process's part: its rate in a window that begins at a moment that it is told."""
    program = Program(folder / "1b-bf16-plain-generate-1", 1, {})
    program.window(2.0)
    print("ready", flush=True)
    time.sleep(max(0.0, float(sys.stdin.readline()) - time.time()))
    print(json.dumps({"tokens_per_s": program.window(TOGETHER_S)}), flush=True)


def replicas(folder: Path) -> dict[str, Any]:
    """One process on a card alone, each card in turn, and both at once."""

    def rates(cards: list[int]) -> list[float]:
        command = [sys.executable, __file__, "--folder", str(folder), "--replica"]
        each = [
            subprocess.Popen(
                command, env=os.environ | {"CUDA_VISIBLE_DEVICES": str(card)}, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True,
            )
            for card in cards
        ]  # fmt: skip
        for process in each:
            process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe
        begun = time.time() + 0.5
        told = [process.communicate(f"{begun}\n", timeout=120)[0] for process in each]
        return [json.loads(line)["tokens_per_s"] for line in told]

    alone = [rates([card])[0] for card in (0, 1)]
    both = rates([0, 1])
    return {"alone": alone, "both": both, "over_one": sum(both) / (sum(alone) / 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Language models on two NVIDIA GPUs.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--models", nargs="+", choices=SIZES, default=["1b", "7b"])
    parser.add_argument("--replica", action="store_true", help="be one process of the replicas")
    parser.add_argument("--one", nargs=3, metavar=("CARDS", "FLAGS", "TOLD"), help="be one process of a program")
    options = parser.parse_args()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if options.replica:
        replica(options.folder)
        return
    if options.one:
        cards, flags, told = options.one
        print(json.dumps(one(options.folder, int(cards), flags, Path(told))))
        return
    found: dict[str, Any] = {"rows": {}}

    def keep(key: str, value: dict[str, Any]) -> None:
        found["rows"][key] = value
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(key, value, flush=True)

    keep("replicas", replicas(options.folder))
    found["gpus"] = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split("\n")[:-1]
    found["packages"] = {name: version(name) for name in ("jax", "jaxlib", "jax-cuda13-pjrt")}
    for model in options.models:
        tensor_parallel(options.folder, model, keep)


if __name__ == "__main__":
    main()
