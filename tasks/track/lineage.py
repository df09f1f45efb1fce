"""What a model or a variant was made by, from the data on: the parameters that tell the runs of a sweep apart.

They are read off the cards of the stages, which say what was done: params.yaml may have been edited since.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tasks import paths, records
from tasks.errors import DataError
from tasks.records import ArtifactCard, ModelCard

LINKS = {"quantize": ("model", "scheme")}  # params of a run by themselves
NEEDS = {  # what means nothing where another parameter is not set
    "teacher_weight": "teacher",
    "temperature": "teacher",
    "aware_learning_rate": "aware_epochs",
}
LONGEST = 6000  # of a parameter's value in MLflow


@dataclass(frozen=True)
class Data:
    """The prepared data, as MLflow lists it."""

    name: str
    digest: str
    origin: str


def digest(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def data() -> Data | None:
    """The data that all was trained on and judged by; None where its card is missing."""
    card = _data_card()
    if card is None:
        return None
    return Data(card["source"], digest(card["sha256"])[:36], " ".join(card["origin"]) or card["source"])


def of_model(name: str) -> dict[str, str]:
    """The parameters of a model and of all that it comes from, each by its section or method: `prune.sparsity`.

    A method that stands in the line twice has a number the second time: `prune-2.sparsity`.
    """
    steps: list[ModelCard] = []
    while (path := paths.model(name) / "card.json").exists():
        steps.insert(0, records.read(ModelCard, path))
        if steps[0].parent is None:
            break
        name = steps[0].parent
    card, found, seen = _data_card(), dict[str, str](), list[str]()
    if card is not None:
        found |= {"prepare.source": card["source"], "prepare.seed": str(card["seed"])}
        found |= {f"prepare.{split}": str(count) for split, count in card["counts"].items()}
    for section, known in ((section, known) for step in steps for section, known in step.params.items()):
        seen.append(section)
        repeated = seen.count(section)
        found |= _flat(section if repeated == 1 else f"{section}-{repeated}", known)
    return found


def of_variant(variant: str, model: str) -> dict[str, str]:
    """The parameters of a variant: its model's, and those of its entry in `quantize`."""
    path = paths.artifact(variant) / "card.json"
    own = _flat("quantize", records.read(ArtifactCard, path).params) if path.exists() else {}
    return of_model(model) | own


def _flat(section: str, known: dict[str, Any]) -> dict[str, str]:
    return {
        f"{section}.{key}": (value if isinstance(value, str) else json.dumps(value))[:LONGEST]
        for key, value in known.items()
        if key not in ("parent", "method", *LINKS.get(section, ()))
        and value not in ([], {}, "")
        and (key not in NEEDS or known.get(NEEDS[key]))
    }


def _data_card() -> dict[str, Any] | None:
    try:
        card: dict[str, Any] = json.loads((paths.DATA / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{paths.DATA / 'card.json'}: {error}; delete {paths.DATA} and run `tercet run`") from None
    return card
