"""Where each noun of the pipeline lives: relative to the project root (the working directory), or in the package.

What comes with Tercet is named by its place in the repository, which is a project itself; in another one, a file of
that name is the project's own and comes first.
"""

from pathlib import Path

import tasks

PARAMS = Path("params.yaml")
LOCK = Path("requirements.lock")
PRESETS = Path("infra/presets")
DEVICES = Path("infra/devices")
OWN_DEVICES = Path("devices")  # of a project, without the catalog's
ARM64 = Path("infra/arm64")  # what an emulated Arm processor is made of
PUBLISHED = Path("infra/published/latency.csv")  # what others have measured
COMPILED = Path("infra/published/compiled.csv")  # what compilers say of the same networks
SUPPORT = Path("infra/support.json")  # which operator runs where, as probed
SEEDS = Path("seeds")  # the graph of further seeds, and its lock: versioned, as those of the first
OUT = Path("out")
CODE = OUT / "code"
DATA = OUT / "data"
MODELS = OUT / "models"
ARTIFACTS = OUT / "artifacts"
EVALUATIONS = OUT / "evaluations"
BENCHMARKS = OUT / "benchmarks"
REPORT = OUT / "report"
BUNDLES = OUT / "bundles"
FLEET = Path("fleet")  # who may sign, and what each device shall run: public, to be versioned
GATE = OUT / "gate.json"  # what the last `tercet gate` found
STATE = Path(".tercet")  # this machine's own: checkpoints, failures, what is published. Never versioned.
CHATTER = STATE / "chatter.log"  # what libraries say
FAILURES = STATE / "failures"
CHECKPOINTS = STATE / "checkpoints"  # of trainings that have not come to their end


def packaged(place: Path) -> Path:
    """What comes with Tercet: in a wheel it lies in `tasks/resources`, in the repository where it is named."""
    from importlib.resources import files  # not for every start: it imports archives

    home = Path(str(files(tasks)))
    wheel = home / "resources"
    return (wheel if wheel.is_dir() else home.parent) / place


def own_or_packaged(place: Path) -> Path:
    """The project's own file or folder of that place; else what comes with Tercet."""
    return place if place.exists() else packaged(place)


def listed(folder: Path, *own: Path) -> dict[str, Path]:
    """The YAML files of a folder that comes with Tercet, and those of the project, by name; the project's count.

    Args:
        folder: its place.
        own: other folders in which a project may have such files.
    """
    return {path.stem: path for each in (packaged(folder), folder, *own) for path in sorted(each.glob("*.yaml"))}


def model(name: str) -> Path:
    """The folder of a Keras model: `model.h5` and `card.json`."""
    return MODELS / name


def artifact(variant: str) -> Path:
    """The folder of a deployable file: `model.tflite` and `card.json`."""
    return ARTIFACTS / variant


def evaluation(variant: str) -> Path:
    """The evaluation of a variant's artifact."""
    return EVALUATIONS / f"{variant}.json"


def yardstick(name: str) -> Path:
    """What a yardstick scores; among the evaluations, which the report reads as one folder."""
    return EVALUATIONS / "yardsticks" / f"{name}.json"


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


def speculation(target: str, draft: str, ahead: int, device: str) -> Path:
    """What two variants cost together, where the draft proposes so many tokens."""
    return OUT / "speculation" / f"{target}+{draft}-{ahead}@{device}.json"


def failure(stage: str, *keys: str) -> Path:
    """Why the last try of a stage failed; absent when it did not."""
    return FAILURES / stage / f"{'@'.join(keys) or stage}.json"


def bundle(device: str) -> Path:
    """The folder that is shipped to a device."""
    return BUNDLES / device


def device(name: str) -> Path:
    """A device's file in the project's catalog."""
    return DEVICES / f"{name}.yaml"


def host(device: str) -> Path:
    """Which machines have answered as a device that is reached by its name."""
    return STATE / "hosts" / f"{device}.json"
