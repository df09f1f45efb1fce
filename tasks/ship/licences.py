"""Licences, as whoever gives something names them: packages in their metadata, checkpoints in their own files."""

from email.message import Message
from pathlib import Path

import yaml

from tasks.checkpoints.gguf import Gguf

CLASSIFIER = "License :: "
LONGEST = 80  # characters of a licence's name; what is longer is its text
FENCE = "---"  # around what a README.md tells machines, in YAML


def of_package(metadata: Message) -> tuple[str | None, bool]:
    """What a package's metadata say of its licence, by the newest of the three ways; and whether in SPDX's names."""
    if expression := metadata.get("License-Expression"):
        return str(expression), True
    classified = [line for line in metadata.get_all("Classifier") or () if line.startswith(CLASSIFIER)]
    if names := sorted({line.rpartition(" :: ")[2] for line in classified}):
        return " and ".join(names), False
    told = str(metadata.get("License") or "").strip()
    return (told if told and "\n" not in told and len(told) <= LONGEST else None), False


def of_checkpoint(source: Path | None) -> str | None:
    """What a checkpoint says: `general.license` of a GGUF file, `license` at the head of a folder's README.md."""
    if source is None:
        return None
    told = Gguf(source).value("general.license") if source.is_file() else _head(source / "README.md").get("license")
    return told if isinstance(told, str) and told else None


def _head(path: Path) -> dict[str, object]:
    """What stands between the first two fences; empty where a file has none, or is not there."""
    try:
        before, *parts = path.read_text(encoding="utf-8").split(f"{FENCE}\n", 2)
        told = yaml.safe_load(parts[0]) if len(parts) == 2 and not before else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return told if isinstance(told, dict) else {}
