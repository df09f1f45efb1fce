"""Classify raw inputs with the model in this folder. It needs Python 3.11, numpy and the runtime that README.txt names.

python classify.py INPUT    prints one line of JSON per example: {"label": name, "index": class, "score": output}; of
several labels at once {"labels": names, "scores": outputs}; of a regression {"value": output}; where the model
reconstructs its input {"error": mean squared error}: the larger, the less normal the example is

python classify.py --check    answers the examples in this folder, and prints one line of JSON: {"examples": how many,
"off": root mean square of the outputs' difference from those expected, "allowed": how much of it, "agree": whether it
is within}; where they do not agree it ends with status 1

INPUT is an `.npy` file of one raw example or of a batch (images: uint8 [h, w, c] or [n, h, w, c]; arrays: numbers of
the model's shape, or [n, ...]; texts: str [n]), an `.npz` file of such arrays by the names of several inputs, a `.csv`
file with a header for a model of tables, a `.txt` file with one text a line, or `-` for such lines on standard input.
A model of images reads a JPEG or PNG file as well, of any size, where Pillow is installed.
"""
# ruff: noqa: E402 - nothing may be imported before the script's own folder is off the path

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib is one more module to import before
if __name__ == "__main__":  # Python looks beside a script first: what lies there is never a module, until it is checked
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != HERE]

import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
SIGNATURE = "model.sig"  # over all files, for who brings the bundle to a device; not looked at here
NEEDED = {"module", "options", "output", "serves"}  # of a manifest's program
COMPARED = {"file", "outputs", "bound", "step"}  # of its examples
EXPECTED = "expected"  # the array of the outputs that are expected of them
CHECK = "--check"
IMAGES = (".jpg", ".jpeg", ".png")
TEXTS = ("text", "tokens")
TARGET = "label"  # what the model is for, of several targets
EVEN = 0.5  # a label that is as likely there as not
PACKAGE = "shipped"  # what the checked modules are imported under


class UserError(Exception):
    """Shown as one line; the script then ends with status 2."""


def checked(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the content of every file by name, if all are as they were shipped and there is no other.

    `SHA256SUMS` has the digest of each, the manifest's too. This finds what was damaged, cut or mixed up, and not what
    somebody has rewritten together with its digest: that finds who checks the signature.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; that of a bundle is expected, such as out/bundles/host-cpu")
    listed = sums(folder / SUMS)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if strange := sorted(found.keys() - listed.keys() - {SUMS, SIGNATURE}):
        raise UserError(f"{folder}: not part of what was shipped: {', '.join(strange)}; move it elsewhere")
    content = {name: found[name].read_bytes() for name in sorted(listed) if name in found}
    if changed := [name for name in sorted(listed) if digest(content.get(name)) != listed[name]]:
        raise UserError(f"{folder}: not as it was shipped: {', '.join(changed)}; copy it again")
    manifest = json.loads(content.get(MANIFEST, b"null"))
    program = manifest.get("program") if isinstance(manifest, dict) else None
    if not isinstance(program, dict) or not program.keys() >= NEEDED:
        raise UserError(f"{folder}: {MANIFEST} names no program with {', '.join(sorted(NEEDED))}; copy it again")
    if program["serves"] not in listed:
        raise UserError(f"{folder}: {MANIFEST} runs a file that was not shipped; copy it again")
    named = manifest.get("files")
    told = {name: digest_in(file) for name, file in named.items()} if isinstance(named, dict) else None
    if told != {name: listed[name] for name in listed if name != MANIFEST}:
        raise UserError(f"{folder}: {MANIFEST} names other files than {SUMS}; copy it again")
    return manifest, content


def sums(path: Path) -> dict[str, str]:
    """Digests by the name of a file, as `sha256sum` writes them."""
    try:
        text = path.read_text(encoding="utf-8")
        listed = {name: expected for expected, name in (line.split("  ", 1) for line in text.split("\n")[:-1])}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no list of a bundle's files: {error}; copy it again") from None
    if text != "".join(f"{expected}  {name}\n" for name, expected in listed.items()):
        raise UserError(f"{path}: not as it was shipped; copy it again")
    return listed


def digest_in(file: Any) -> Any:
    """What a manifest's entry of a file says of its content."""
    return file.get("sha256") if isinstance(file, dict) else None


def digest(content: bytes | None) -> str | None:
    """The SHA-256 of a file's content, in hex."""
    return None if content is None else hashlib.sha256(content).hexdigest()


class Checked(MetaPathFinder, Loader):
    """Imports the bundle's own modules, as `shipped.…`, from the bytes that were checked."""

    def __init__(self, content: dict[str, bytes], package: str = PACKAGE) -> None:
        names = {name: name.removesuffix(".py").replace("/", ".") for name in content if name.endswith(".py")}
        self.package = package
        self.sources = {f"{package}.{module}": content[name] for name, module in names.items()}

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the bundle comes from; None for all others."""
        package = any(source.startswith(f"{fullname}.") for source in self.sources)
        if fullname not in self.sources and not package:
            return None
        return ModuleSpec(fullname, self, origin=fullname, is_package=package)

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's source; a folder has none."""
        source = self.sources.get(module.__name__, b"")
        exec(compile(source, f"<{module.__name__}>", "exec"), module.__dict__)  # noqa: S102 - it was checked


def read(source: str, inputs: dict[str, Any], preprocess: Any) -> dict[str, Any]:
    """The raw examples `[n, ...]` of a file or of standard input, by the names of the model's inputs."""
    import numpy as np

    if any("columns" in spec for spec in inputs.values()):
        if not source.endswith(".csv"):
            raise UserError(f"{source}: this model reads tables: give a .csv file with a header")
        table = preprocess.cells(Path(source))
        return {name: preprocess.pick(spec, table) for name, spec in inputs.items()}
    if source.endswith(".npz"):
        with np.load(source, allow_pickle=False) as arrays:
            if absent := inputs.keys() - set(arrays.files):
                raise UserError(f"{source}: no array {', '.join(sorted(absent))}; received {', '.join(arrays.files)}")
            return {name: _batch(arrays[name], spec) for name, spec in inputs.items()}
    if len(inputs) > 1:
        raise UserError(
            f"{source}: this model has the inputs {', '.join(inputs)}: give an .npz file with one array each"
        )
    ((name, spec),) = inputs.items()
    if source.lower().endswith(IMAGES) and spec["kind"] == "image":
        return {name: _decoded(source, spec)}
    if source.endswith(".npy"):  # mapped: a file that promises too much is refused
        return {name: _batch(np.load(source, mmap_mode="r", allow_pickle=False), spec)}
    if spec["kind"] not in TEXTS:
        raise UserError(f"{source}: this model reads {spec['kind']}s: give an .npy file")
    lines = _lines(_stdin() if source == "-" else Path(source).read_text(encoding="utf-8"))
    if not lines:
        raise UserError(f"{source}: no text in it; one text a line is expected")
    return {name: np.array(lines)}


def _stdin() -> str:
    """All of standard input, which Python would read as the machine's locale has it, and without a word."""
    return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8").read()


def _lines(content: str) -> list[str]:
    """The texts of a file: a sign within one that only Unicode takes for a line's end, such as U+2028, parts none."""
    lines = content.removeprefix("\ufeff").split("\n")
    return lines if lines[-1] else lines[:-1]


def _decoded(source: str, spec: dict[str, Any]) -> Any:
    """The pixels of an image file in the model's size, as `prepare` decodes it: a batch of one."""
    images = import_module(f"{PACKAGE}.images")
    try:
        return images.decode(Path(source).read_bytes(), tuple(spec["shape"]))[None]
    except ImportError:
        raise UserError(f"{source}: install Pillow to decode it, or give its pixels as an .npy file") from None


def _batch(raw: Any, spec: dict[str, Any]) -> Any:
    """One example alone as a batch of one; a text is one without axes, whatever is made of it."""
    axes = 0 if spec["kind"] in TEXTS and raw.dtype.kind == "U" else len(spec.get("shape", ()))
    return raw[None] if raw.ndim == axes else raw


def loaded(program: dict[str, Any], folder: str, package: str = PACKAGE) -> Any:
    """The program in the runtime that has timed it."""
    runtime = import_module(f"{package}.runner.{program['module']}")
    return runtime.Model(str(Path(folder, program["serves"])), program["options"])


def scores(program: dict[str, Any], examples: dict[str, Any]) -> Iterator[Any]:
    """The model's real-valued output of each model-ready example `[n, ...]`."""
    model, arrays = loaded(program, HERE), import_module(f"{PACKAGE}.runner.arrays")
    for example in model.prepare(arrays.match(examples, list(model.inputs))):
        model.put(example)
        model.invoke()
        yield judged(model.floats([model.read()]), program["output"], program["serves"])[0]


def judged(outputs: dict[str, Any], name: str, file: str) -> Any:
    """Of the outputs of a file the one that is answered by."""
    if name not in outputs and len(outputs) > 1:
        raise UserError(f"{file}: it gives {', '.join(outputs)}, and no {name}")
    return outputs.get(name, next(iter(outputs.values())))


def classify(source: str) -> Iterator[dict[str, Any]]:
    """The answer for each example of `source`."""
    import numpy as np

    manifest, _ = opened()
    target, examples = ready(source)
    first = next(iter(examples.values()))
    for place, (example, output) in enumerate(zip(first, scores(manifest["program"], examples), strict=True)):
        if not np.isfinite(output).all():
            raise UserError(f"{source}: example {place}: the model answers with what is no finite number")
        yield answer(target, example, output)


def check() -> dict[str, Any]:
    """Whether the bundle's own examples come out as expected, here: what is printed of it."""
    import numpy as np

    manifest, content = opened()
    told = manifest.get("examples")
    if not isinstance(told, dict) or not told.keys() >= COMPARED or not {told["file"], told["outputs"]} <= set(content):
        raise UserError(f"{HERE}: {MANIFEST} names no examples with {', '.join(sorted(COMPARED))}; copy it again")
    target, examples = ready(str(Path(HERE, told["file"])))
    found = judgement(target, np.stack(list(scores(manifest["program"], examples))))
    with np.load(io.BytesIO(content[told["outputs"]]), allow_pickle=False) as arrays:
        expected = arrays[EXPECTED]
    off = rms(found - expected) if found.shape == expected.shape else math.inf
    allowed = told["bound"] * rms(expected - expected.mean()) + told["step"]
    known = off if math.isfinite(off) else None  # of no numbers, or of another shape, there is no distance
    return {"examples": len(expected), "off": known, "allowed": allowed, "agree": off <= allowed}


def rms(values: Any) -> float:
    """The root mean square of an array."""
    return float((values.astype(float) ** 2).mean() ** 0.5)


def opened() -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the content of every file of this folder; its modules can be imported from here on."""
    manifest, content = checked(Path(HERE))
    sys.meta_path.insert(0, Checked(content))
    return manifest, content


def ready(source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the model is for, and the model-ready examples `[n, ...]` of a file or of standard input by input."""
    preprocess = import_module(f"{PACKAGE}.preprocess")
    described = preprocess.read(Path(HERE, "preprocess.json"))
    inputs = described["inputs"]
    raw = read(source, inputs, preprocess)
    return described["targets"][TARGET], {name: preprocess.apply(spec, raw[name]) for name, spec in inputs.items()}


def judgement(target: dict[str, Any], outputs: Any) -> Any:
    """Of outputs `[n, ...]` what an answer is made of: of the scores at every place of a text those at the last."""
    return outputs[:, -1] if target["kind"] == "tokens" else outputs


def answer(target: dict[str, Any], example: Any, output: Any) -> dict[str, Any]:
    """What is printed of one model-ready example and the model's output for it."""
    import numpy as np

    if target["kind"] == "value":
        return {"value": output.tolist()[0] if output.size == 1 else output.tolist()}
    if target["kind"] == "labels":
        scores = dict(zip(target["classes"], output.tolist(), strict=True))
        return {"labels": [name for name, score in scores.items() if score >= EVEN], "scores": scores}
    if target["kind"] == "anomaly":
        return {"error": float(((output - example) ** 2).mean())}
    if target["kind"] == "tokens":  # scores of every token at each place: it is told what follows the text
        (last,) = judgement(target, output[None])
        likely = np.exp(last - last.max())
        output = likely / likely.sum()
    index = int(output.argmax())
    return {"label": target["classes"][index], "index": index, "score": float(output[index])}


def main(arguments: list[str]) -> int:
    """Serve the command line; 0, 1 where examples come out otherwise, or 2 after an error: each told in one line."""
    if len(arguments) != 1 or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    try:
        return run(arguments[0])
    except ImportError as error:
        print(f"classify.py: {error}; install what README.txt says", file=sys.stderr)
    except UserError as error:
        print(f"classify.py: {error}", file=sys.stderr)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        print(f"classify.py: {arguments[0]}: UTF-8 expected; received the byte 0x{byte:02x}", file=sys.stderr)
    except Exception as error:  # whatever a damaged or hostile file makes numpy, a parser or the runtime raise
        print(f"classify.py: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
    return 2


def run(argument: str) -> int:
    """Print what was asked for; 0, or 1 where the bundle's examples come out otherwise than expected."""
    if argument != CHECK:
        for line in classify(argument):
            print(json.dumps(line, ensure_ascii=False))
        return 0
    found = check()
    print(json.dumps(found))
    if found["agree"]:
        return 0
    off = "no numbers, or of another shape" if found["off"] is None else f"{found['off']:.3g} from those expected"
    why = "is it the runtime that README.txt names, and can this machine compute as it does?"
    print(f"classify.py: the outputs are {off}, where {found['allowed']:.3g} is allowed; {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
