"""What `tercet init` asks in a terminal: each answer is one that a flag could give, and a wrong one is asked again."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from typer import BadParameter, prompt

from flows import own, presets
from flows.own import Own
from tasks.errors import ParamsError, TercetError

T = TypeVar("T")


def ask(preset: str, *, ci: bool) -> tuple[str, Own | None, bool]:
    """Ask for data of one's own, or else for a preset, and for a workflow.

    Args:
        preset: what is meant where nothing is answered.
        ci: the workflow is wanted, and not asked for.

    Returns:
        The preset; what is brought, None: the preset alone; and whether a workflow is wanted.
    """
    preset, brought = _start(preset)
    return preset, brought, ci or _answer("A workflow for GitHub and a Dockerfile, too: yes or no (nothing: no)", _yes)


def _start(preset: str) -> tuple[str, Own | None]:
    data = _answer("Your data, a folder of images or texts by class, a .csv or .jsonl file (nothing: a preset)", _data)
    if data is None:
        known = presets.names()
        return _answer(f"Which preset, of {', '.join(known)} (nothing: {preset})", presets.named, preset), None
    brought = _columns(data)
    model = _answer("A network that is trained already, a file (nothing: a small one is trained)", _model)
    usual = " ".join(own.usual_devices(brought))
    devices = _answer(f"Where it shall run, by names that `tercet devices` lists (nothing: {usual})", _devices, usual)
    return preset, Own(data, brought.target, brought.text, devices, model)


def _columns(data: Path) -> Own:
    """Which columns are meant, where the file leaves a choice."""
    there = own.columns(data)
    text = target = None
    if there and "text" not in there:
        if data.suffix == ".csv":
            said = "Which column is a text that is to be read (nothing: none)"
            text = _answer(said, lambda name: own.column("--text", name, there) if name else None)
        else:
            text = _answer("Which key has the text", lambda name: own.column("--text", name, there))
    brought = Own(data, text=text)
    if there and (own.kind(brought) == "table" or "label" not in there):
        told = f"Which column is to be told, of {', '.join(there)}"
        target = _answer(told, lambda name: own.column("--target", name, there))
    return Own(data, target, text)


def _answer(said: str, read: Callable[[str], T], default: str = "") -> T:
    """What is read of an answer; where that fails, why, and the question again."""

    def checked(text: str) -> T:
        try:
            return read(text.strip())
        except TercetError as error:
            raise BadParameter(str(error)) from None

    found: T = prompt(said, default=default, show_default=False, value_proc=checked)
    return found


def _data(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser()
    own.kind(Own(path))
    own.columns(path)
    return path


def _model(text: str) -> Path | None:
    return own.trained(Path(text).expanduser()) if text else None


def _devices(text: str) -> tuple[str, ...]:
    return own.known_devices(text.replace(",", " ").split())


def _yes(text: str) -> bool:
    if text.lower() not in ("", "y", "yes", "n", "no"):
        raise ParamsError(f"received {text!r}; yes or no expected")
    return text.lower().startswith("y")
