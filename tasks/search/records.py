"""What a search keeps of each trial, and what it ends with, as JSON."""

from typing import Any, Literal

from tasks.records import Provenance, Record

Status = Literal["ok", "stopped", "refused", "failed"]


class Trial(Record):
    """`.tercet/search/<study>/<number>/trial.json`: one chain of methods at one scheme, and what became of it.

    `stopped`: it was not worth its next step. `refused`: it cannot be made, or a device cannot run it. `failed`: an
    error that says nothing of the variant. Each has its reason.
    """

    schema_version: Literal[1] = 1
    number: int
    variant: str  # its name in params.yaml, where it is or would be written there
    key: str  # equal for trials that make the same
    label: str
    handwritten: bool  # in params.yaml before the search
    models: tuple[tuple[str, dict[str, Any]], ...]  # name and entry of `compress`, each the parent of the next
    entry: dict[str, Any]  # of `quantize`
    status: Status
    reason: str | None = None
    figures: dict[str, float]  # by name, of devices `name@device`; on validation data
    provenance: dict[str, Provenance]  # of each of them
    seconds: dict[str, float]  # by step


class Distance(Record):
    """How far a figure is from a goal."""

    goal: str  # in words
    value: float | None  # null: not known
    beyond: float | None  # in the figure's own unit; 0 where the goal is kept
    share: float | None  # of the limit, as champions are chosen by; of a drop of quality at least of a tenth of a point


class Found(Record):
    """`.tercet/search/<study>/found.json`: what the search has found so far."""

    schema_version: Literal[1] = 1
    trials: int
    counts: dict[str, int]  # of trials by status
    best: str | None  # variant
    distances: tuple[Distance, ...]  # of the best, goal by goal
    front: tuple[int, ...]  # trial numbers
    within_goals: bool  # whether the front keeps to all of them
    hypervolume: float | None  # what all trials dominate of the box from the best to a tenth beyond the worst
    handwritten_hypervolume: float | None  # the same of the hand-written variants alone
    winners: tuple[str, ...] = ()  # variants that are in params.yaml now
