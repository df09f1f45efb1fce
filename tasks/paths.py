"""Where each noun of the pipeline lives, relative to the project root (the working directory)."""

from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("requirements.lock")
PRESETS = Path("infra/presets")
DEVICES = Path("infra/devices")
ARM64 = Path("infra/arm64")  # what an emulated Arm processor is made of
SUPPORT = Path("infra/support.json")  # which operator runs where, as probed
OUT = Path("out")
CODE = OUT / "code"
DATA = OUT / "data"
MODELS = OUT / "models"
ARTIFACTS = OUT / "artifacts"
EVALUATIONS = OUT / "evaluations"
BENCHMARKS = OUT / "benchmarks"
REPORT = OUT / "report"
BUNDLES = OUT / "bundles"
STATE = Path(".tercet")  # this machine's own: checkpoints, failures, what is published. Never versioned.
CHATTER = STATE / "chatter.log"  # what libraries say
FAILURES = STATE / "failures"


def model(name: str) -> Path:
    """The folder of a Keras model: `model.h5` and `card.json`."""
    return MODELS / name


def artifact(variant: str) -> Path:
    """The folder of a deployable file: `model.tflite` and `card.json`."""
    return ARTIFACTS / variant


def evaluation(variant: str) -> Path:
    """The evaluation of a variant's artifact."""
    return EVALUATIONS / f"{variant}.json"


def fingerprint(device: str) -> Path:
    """What the figures of a device hang from: its processor and its runtime's versions."""
    return OUT / "fingerprints" / f"{device}.json"


def code(of: str) -> Path:
    """What code and libraries a stage's outputs hang from: of `train`, `compress.<model>`, `benchmark.<device>`."""
    return CODE / f"{of}.json"


def source(kind: str) -> Path:
    """What the project's data or its models are, by their content."""
    return OUT / "sources" / f"{kind}.json"


def benchmark(variant: str, device: str) -> Path:
    """The measurement of one variant on one device."""
    return BENCHMARKS / f"{variant}@{device}.json"


def samples(variant: str, device: str) -> Path:
    """The raw latency samples behind a measurement."""
    return BENCHMARKS / f"{variant}@{device}.npz"


def failure(stage: str, *keys: str) -> Path:
    """Why the last try of a stage failed; absent when it did not."""
    return FAILURES / stage / f"{'@'.join(keys) or stage}.json"


def bundle(device: str) -> Path:
    """The folder that is shipped to a device."""
    return BUNDLES / device


def device(name: str) -> Path:
    """The catalog entry of a device."""
    return DEVICES / f"{name}.yaml"


def host(device: str) -> Path:
    """Which machines have answered as a device that is reached by its name."""
    return STATE / "hosts" / f"{device}.json"


def preset(name: str) -> Path:
    """A ready-made params.yaml."""
    return PRESETS / f"{name}.yaml"
