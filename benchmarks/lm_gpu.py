"""Language models on one NVIDIA GPU: programs of StableHLO by jaxlib alone beside compiled PyTorch on the same card.

Two steps, of which the second needs the GPU, numpy, jaxlib with its CUDA plugin and PyTorch, and no TensorFlow:

    python benchmarks/lm_gpu.py prepare --out FOLDER
    python benchmarks/lm_gpu.py measure --folder FOLDER --out RESULTS.json [--models 1b …]

`prepare` traces the programs of Llama-like decoders from their sizes alone: some MB. `measure` makes random weights on
the card, the same for both sides, and measures, per model: greedy decoding from place 512 of a cache of 1,024, at batch
1, 8 and 64, in bfloat16, and with int8 and int4 weights; of 1b the last beside bfloat16, too, in one process; prompts
of 512 tokens; how far each side's scores lie from those in float32; energy by NVML's counter. Windows of the two sides
take turns. The share of the roof is of the card's copy bandwidth (read and written), and what a step reads is all
weights once and the whole cache.

The peer: the same architecture by `lm_peer.py`, as gpt-fast writes it, compiled whole, with a static cache, its steps
in a CUDA graph, in a process of its own. What each figure was made with stands beside it in the record.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lm_sizes import BATCHES, PROMPT, ROOM, SIZES, STEPS, THETA

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # it is not installed on the GPU machine

NUMBERS = {"bf16": (None, None), "int8": (8, None), "int4": (4, None), "int4-128": (4, 128)}  # bits and block
# model, numbers, the set of calls: the programs, with their batches. `cudnn` and `ptx` are of NVIDIA's GPUs alone:
# cuDNN's attention, and with it our own kernel for products of four bits
WANTED = {
    ("100m", "bf16", "plain"): {"generate": BATCHES, "decode": (1,)},
    ("100m", "bf16", "cudnn"): {"generate": (64,), "prompt": (1, 8)},
    ("100m", "int8", "plain"): {"generate": (1,)},
    ("100m", "int4", "plain"): {"generate": (1,)},
    ("1b", "bf16", "plain"): {"generate": BATCHES, "decode": (1, 8), "prompt": (1, 8)},
    ("1b", "bf16", "cudnn"): {"generate": BATCHES, "decode": BATCHES, "prompt": (1, 8)},
    ("1b", "int8", "plain"): {"generate": (1, 8), "decode": (1,)},
    ("1b", "int8", "cudnn"): {"generate": (1, 64)},
    ("1b", "int4", "cudnn"): {"generate": BATCHES, "decode": (1,)},
    ("1b", "int4", "plain"): {"generate": BATCHES, "decode": (1,), "few": (1,)},
    ("1b", "int4", "ptx"): {"generate": BATCHES, "decode": (1,), "few": (1,)},
    ("1b", "int4-128", "ptx"): {"generate": (1,), "few": (1,)},
    ("1b", "int4-128", "plain"): {"generate": (1,)},
    ("7b", "bf16", "plain"): {"generate": (1,)},
    ("7b", "bf16", "cudnn"): {"generate": (1,)},
    ("7b", "int4", "plain"): {"generate": (1,)},
    # for `lm_cards.py`: no matrix is joined to another, so each can be parted among cards
    ("1b", "bf16", "apart"): {"generate": (1, 64), "prompt": (1, 8)},
    ("7b", "bf16", "apart"): {"generate": (1,), "prompt": (1,)},
}


def prepare(options: argparse.Namespace) -> None:
    """Trace every program that is wanted, and not there yet."""
    from tasks.decoder import attending, multiplying, network
    from tasks.decoder.multiplying import FEW
    from tasks.decoder.portable import Network, Numbers, numberless
    from tasks.decoder.rotary import plain
    from tasks.decoder.spec import Block, DecoderSpec
    from tasks.quantize import packing, programs

    sets: dict[str, dict[str, Any]] = {
        "plain": {},
        "cudnn": {"attend": attending.by_cudnn},
        "ptx": {"attend": attending.by_cudnn, "multiply": multiplying.by_ptx},
        "apart": {"joined": False},
    }
    makes = {
        "generate": lambda net, batch: programs.generate(net, batch, ROOM, STEPS),
        "decode": lambda net, batch: programs.decode(net, batch, ROOM),
        "prompt": lambda net, batch: programs.prefill(net, batch, ROOM, PROMPT, fresh=True),
        "few": lambda net, batch: programs.prefill(net, batch, ROOM, FEW, fresh=True),
    }
    for (model, numbers, calls), wanted in WANTED.items():
        if model not in options.models:
            continue
        size, (bits, block) = SIZES[model], NUMBERS[numbers]
        blocks = (Block(tuple(map(float, plain(THETA, size.head_width)))),) * size.layers
        spec = DecoderSpec(
            vocabulary=size.vocabulary, width=size.width, hidden=size.hidden, heads=size.heads, kv_heads=size.kv_heads,
            head_width=size.head_width, blocks=blocks, room=ROOM, attention_scale=size.head_width**-0.5, tied=True,
        )  # fmt: skip
        with numberless():
            net = Network(network.build(spec), Numbers("bfloat16", bits, block), **sets[calls])
        for kind, batches in wanted.items():
            for batch in batches:
                folder = options.out / f"{model}-{numbers}-{calls}-{kind}-{batch}"
                if folder.exists():
                    continue
                program = makes[kind](net, batch)
                folder.mkdir(parents=True)
                (folder / f"{kind}.stablehlo").write_bytes(program.content)
                page = packing.manifest(net, {kind: program}, batch, ROOM)
                (folder / "lm.json").write_text(json.dumps(page) + "\n", encoding="utf-8")
                print(f"{folder.name}: {len(program.content) / 1e3:.0f} kB", flush=True)


def measure(options: argparse.Namespace) -> None:
    """All that the folder has programs for."""
    import lm_measure

    lm_measure.measure(options.folder, options.out, options.models, options.only)


def main() -> None:
    parser = argparse.ArgumentParser(description="Language models on one NVIDIA GPU, beside compiled PyTorch.")
    steps = parser.add_subparsers(required=True)
    for step, path in ((prepare, None), (measure, "folder")):
        words = steps.add_parser(step.__name__)
        words.set_defaults(step=step)
        words.add_argument("--out", type=Path, required=True)
        words.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
        if path:
            words.add_argument(f"--{path}", type=Path, required=True)
            words.add_argument("--only", nargs="+", default=[], help="parts to measure; none: all")
    options = parser.parse_args()
    options.step(options)


if __name__ == "__main__":
    main()
