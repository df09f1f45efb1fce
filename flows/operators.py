"""Which operator runs at which scheme on which runtime: found out by running models of one operator each.

`python -m flows.operators` probes this machine's runtimes and writes `infra/support.json`, which `tercet devices
--support` shows. What the file has from the same versions is kept, and it is written behind each operator, so that a
probing that was stopped goes on. A converter may crash on a model, so the models are made by a child process, and
another one goes on behind the scheme that it crashed on.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks import paths
from tasks.bench import devices, timed
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.runner import machine
from tasks.bench.transport import Local
from tasks.errors import ConversionError, DeviceError, TercetError, UnsupportedError
from tasks.formats.schemes import SCHEMES
from tasks.params import Protocol, Quantize
from tasks.process import told
from tasks.quantize import variant as quantization
from tasks.records import ArtifactCard, Record, read
from tasks.scratch import scratch, unplaced

if TYPE_CHECKING:
    import tf_keras

Outcome = Literal["runs", "differs", "refused", "not converted"]
RUNTIMES = {  # the device of the catalog that stands for each
    "litert": "host-cpu",
    "onnxruntime": "host-cpu-onnxruntime",
    "openvino": "host-cpu-openvino",
    "pjrt": "host-cpu-pjrt",
    "tflite-micro": "stm32h743",
    "ethos-u55": "ethos-u55-128",
    "ethos-u85": "ethos-u85-256",
}
EXAMPLES = 16
ALLOWED = (
    0.08  # of the output's range, between a runtime and LiteRT's reference kernels: int8 steps, not another result
)
CHILD_S = 900  # for the files of one operator


class Cell(Record):
    """One operator at one scheme on one runtime."""

    operator: str
    scheme: str
    runtime: str
    outcome: Outcome
    reason: str | None = None


class Matrix(Record):
    """`infra/support.json`."""

    schema_version: Literal[1] = 1
    versions: dict[str, str]
    cells: tuple[Cell, ...]


def operators() -> dict[str, Callable[[], "tf_keras.Model"]]:
    """A model of one operator each, by the operator's name; weights are random and the batch is free."""
    import tf_keras as keras

    layers = keras.layers
    image, vector, sequence = (8, 8, 4), (16,), (6, 8)

    def of(shape: tuple[int, ...], layer: Any, *, twice: bool = False) -> Callable[[], Any]:
        def build() -> Any:
            inputs = [keras.Input(shape, name=name) for name in ("a", "b")[: 2 if twice else 1]]
            return keras.Model(inputs, layer(inputs if twice else inputs[0]))

        return build

    def embedding() -> Any:
        tokens = keras.Input((6,), dtype="int32", name="a")
        return keras.Model(tokens, layers.Embedding(20, 8)(tokens))

    def attention() -> Any:
        tokens = keras.Input(sequence, name="a")
        return keras.Model(tokens, layers.MultiHeadAttention(2, 4)(tokens, tokens))

    return {
        "conv": of(image, layers.Conv2D(8, 3)),
        "depthwise conv": of(image, layers.DepthwiseConv2D(3)),
        "transposed conv": of(image, layers.Conv2DTranspose(4, 3, strides=2)),
        "dense": of(vector, layers.Dense(8)),
        "max pool": of(image, layers.MaxPooling2D()),
        "average pool": of(image, layers.AveragePooling2D()),
        "global average pool": of(image, layers.GlobalAveragePooling2D()),
        "batch norm": of(image, layers.BatchNormalization()),
        "layer norm": of(sequence, layers.LayerNormalization()),
        "relu": of(vector, layers.ReLU()),
        "sigmoid": of(vector, layers.Activation("sigmoid")),
        "tanh": of(vector, layers.Activation("tanh")),
        "swish": of(vector, layers.Activation("swish")),
        "gelu": of(vector, layers.Activation("gelu")),
        "softmax": of(vector, layers.Softmax()),
        "add": of(image, layers.Add(), twice=True),
        "multiply": of(image, layers.Multiply(), twice=True),
        "concatenate": of(image, layers.Concatenate(), twice=True),
        "upsampling": of(image, layers.UpSampling2D()),
        "zero padding": of(image, layers.ZeroPadding2D()),
        "flatten": of(image, layers.Flatten()),
        "embedding": embedding,
        "attention": attention,
        "attention scores": of(sequence, layers.Dot(axes=2), twice=True),  # a product of two activations
        "1-d conv": of(sequence, layers.Conv1D(8, 3)),
        "causal 1-d conv": of(sequence, layers.Conv1D(8, 3, padding="causal", dilation_rate=2)),
        "lstm": of(sequence, layers.LSTM(4)),  # one fused operator where the runtime has it
        "unrolled lstm": of(sequence, layers.LSTM(4, unroll=True, implementation=1)),  # as the family rnn builds it
        "gru": of(sequence, layers.GRU(4)),  # a loop
        "unrolled gru": of(sequence, layers.GRU(4, unroll=True, implementation=1)),
    }


def probe(known: Matrix | None = None) -> Iterator[Matrix]:
    """Make the one-operator models at each scheme, run them on every runtime, and give the matrix behind each operator.

    Args:
        known: what was found before, by any versions; what these versions have found is not asked again.

    Raises:
        DeviceError: the models of an operator could not be made.
    """
    targets = {runtime: devices.load(name) for runtime, name in RUNTIMES.items()}
    versions, schemes = _versions(targets), [scheme for scheme in SCHEMES if converted(scheme)]
    cells = known.cells if known and known.versions == versions else ()
    found = {(cell.operator, cell.scheme, cell.runtime): cell for cell in cells}
    for operator in operators():
        asked = [s for s in schemes if any((operator, s, runtime) not in found for runtime in RUNTIMES)]
        for cell in _cells(operator, asked, targets):
            found[operator, cell.scheme, cell.runtime] = cell
        places = product(operators(), schemes, RUNTIMES)
        yield Matrix(versions=versions, cells=tuple(found[place] for place in places if place in found))


def _cells(operator: str, schemes: list[str], targets: dict[str, Device]) -> list[Cell]:
    with scratch("support") as folder, ThreadPoolExecutor(machine.cpus_allowed()) as pool:
        work = [
            pool.submit(_cell, operator, scheme, runtime, device, made)
            for scheme, made in _made(folder, operator, schemes).items()
            for runtime, device in targets.items()
        ]
        return [done.result() for done in work]


def _made(folder: Path, operator: str, schemes: list[str]) -> dict[str, Path | str]:
    """The folder of each scheme's files, or the reason why there is none."""
    made: dict[str, Path | str] = {}
    while left := [scheme for scheme in schemes if scheme not in made]:
        command = [sys.executable, "-P", "-m", "flows.operators", str(folder), operator, *left]
        done = told(command, timeout_s=CHILD_S, what=f"making the models of {operator}")
        begun = [line.removeprefix("begin ") for line in done.out.splitlines() if line.startswith("begin ")]
        if not begun:
            raise DeviceError(f"the models of {operator}: {done.last_words}")
        for scheme in begun:
            reason = folder / scheme / "reason"
            made[scheme] = reason.read_text(encoding="utf-8") if reason.exists() else folder / scheme
        if done.code:
            made[begun[-1]] = "the converter crashes on it"
    return made


def make(folder: Path, operator: str, schemes: list[str]) -> None:
    """The child's part: write the files of each scheme, and say on standard output which is begun."""
    import tf_keras as keras

    for scheme in schemes:
        print(f"begin {scheme}", flush=True)  # its output is its interface
        keras.utils.set_random_seed(0)
        made = folder / scheme
        made.mkdir()
        try:
            _write(made, scheme, operators()[operator]())
        except (ConversionError, UnsupportedError, ValueError) as error:
            (made / "reason").write_text(" ".join(str(error).split()), encoding="utf-8")


def converted(scheme: str) -> bool:
    """Whether a scheme makes a file of a model."""
    return SCHEMES.load(scheme).converts is not None


def _write(folder: Path, scheme: str, model: "tf_keras.Model") -> None:
    """The variant's files, its card, and inputs to run it with."""
    from tasks.examples import Arrays

    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {}
    for tensor in model.inputs:
        shape = (EXAMPLES, *tensor.shape[1:])
        integer = tensor.dtype.is_integer
        inputs[tensor.name] = rng.integers(0, 20, shape, np.int32) if integer else rng.normal(size=shape).astype("f4")
    np.savez(folder / "inputs.npz", allow_pickle=False, **inputs)
    quantization.write(folder, "one", Quantize(model="one", scheme=scheme), model, Arrays(inputs, {}))


def _cell(operator: str, scheme: str, runtime: str, device: Device, made: Path | str) -> Cell:
    def cell(outcome: Outcome, reason: str | None = None) -> Cell:
        return Cell(
            operator=operator, scheme=scheme, runtime=runtime, outcome=outcome, reason=reason and unplaced(reason)
        )

    if isinstance(made, str):
        return cell("not converted", made)
    if reason := devices.usable(device):
        return cell("refused", reason)
    card = ArtifactCard.model_validate_json((made / "card.json").read_bytes())
    artifact, inputs = Artifact(card, made / card.file), made / "inputs.npz"
    request = Request(artifact, artifact, device, Protocol(mode="quick"), inputs, {"test": Questions(inputs)})
    try:
        answers = _answers(request)
    except UnsupportedError as error:
        return cell("refused", str(error).removeprefix("one: "))
    except TercetError as error:
        return cell("refused", f"it crashes: {error}")
    if isinstance(answers, str):
        return cell("refused", answers)
    return cell(*_agreement(artifact, inputs, answers))


def _answers(request: Request) -> Any:
    """What the device answers to the inputs, none from an estimate; or, in words, why it gives no figures."""
    kind = KINDS.load(request.device.kind)
    if kind.setup:
        return timed.kept(request, kind.setup(request.device, Local()))["test"].values
    result = kind.measure(request)
    if result.measurement.status != "ok":
        return result.measurement.reason
    return result.kept["test"].values if result.kept else None


def _agreement(artifact: Artifact, inputs: Path, answers: Any | None) -> tuple[Outcome, str | None]:
    """Whether the runtime's answers are those of LiteRT's reference kernels; an estimate has none to compare."""
    if answers is None:
        return "runs", None
    try:
        expected = _predict(artifact, inputs, "reference")
    except DeviceError:
        return "runs", "not compared: LiteRT's reference kernels crash on it"
    reach = float(np.ptp(expected)) or 1.0
    off = float(np.abs(answers.reshape(expected.shape) - expected).max()) / reach
    if np.isfinite(off) and off <= ALLOWED:
        return "runs", None
    return "differs", f"its answers are off by {off:.0%} of their range from LiteRT's reference kernels"


def _predict(artifact: Artifact, inputs: Path, kernels: str) -> Any:
    request = {"action": "predict", "runtime": "litert", "options": {"kernels": kernels, "threads": 1}}
    with scratch("support") as folder:
        outputs = Path(folder, "outputs.npz")
        Local().run(request, {"model": artifact.path, "inputs": inputs}, {"outputs": outputs}, timeout_s=60)
        with np.load(outputs, allow_pickle=False) as arrays:
            return arrays[artifact.card.outputs[0].name]


def _versions(targets: dict[str, Device]) -> dict[str, str]:
    packages = ["tensorflow", *(KINDS.load(device.kind).package or "" for device in targets.values())]
    return {package: devices.installed(package) or "not installed" for package in dict.fromkeys(packages)}


def main() -> None:
    """Probe this machine, or be the child that makes the models."""
    if sys.argv[1:]:  # the child's words: folder, operator, schemes
        from tasks.training.fit import import_tensorflow

        import_tensorflow()
        make(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
        return
    known = read(Matrix, paths.SUPPORT) if paths.SUPPORT.exists() else None
    for matrix in probe(known):
        matrix.save(paths.SUPPORT)


if __name__ == "__main__":
    main()
