"""What `tercet search` looks for, on which devices, and among what."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from tasks.errors import ParamsError, suggest
from tasks.members import METHODS
from tasks.params.compress import Compress
from tasks.params.quantize import SchemeName
from tasks.params.section import Count, Name, Natural, Section, Seed
from tasks.params.training import Training
from tasks.records.figures import FIGURES, QUALITY, Figure

STORED = "external"  # makes nothing of its parent
Scalar = int | float | str | bool | None


def _step(name: str) -> str:
    if name == STORED or name not in METHODS:
        raise ValueError(f"received {name!r}; {suggest(name, [each for each in METHODS if each != STORED])}")
    return name


Step = Annotated[str, AfterValidator(_step)]


def _known(name: str) -> str:
    if name not in FIGURES:
        raise ValueError(f"received {name!r}; {suggest(name, FIGURES)}")
    return name


class Wanted(Section):
    """A figure of a variant, on the device that it is meant on."""

    of: Annotated[
        str, AfterValidator(_known)
    ]  # latency_ratio: over the reference's, window by window, where the device is measured
    device: Name | None = None  # quality: null is this machine's LiteRT

    @model_validator(mode="after")
    def _device_fits(self) -> Self:
        if self.figure.scope == "file" and self.device is not None:
            raise ValueError(f"{self.of} is the file's own on every device; leave `device` out")
        if self.figure.scope == "device" and self.device is None:
            raise ValueError(f"{self.of} needs `device`, a device of the catalog")
        return self

    @property
    def figure(self) -> Figure:
        """Which it is."""
        return FIGURES[self.of]

    @property
    def key(self) -> str:
        """How the figure is named: `bytes`, `latency_ms@host-cpu`."""
        return self.of if self.device is None else f"{self.of}@{self.device}"


class Objective(Wanted):
    """What shall be as good as possible: quality high, costs low."""


class Goal(Wanted):
    """What is enough, and asked for; what keeps to all goals is preferred to all that does not."""

    min: float | None = None  # of what is better the higher it is, such as an accuracy
    max_drop: Annotated[float, Field(ge=0)] | None = None  # quality: how much worse than the reference's
    max: Annotated[float, Field(gt=0)] | None = None  # of everything else

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        allowed = ["min"] if self.figure.better == "higher" else ["max"]
        allowed += ["max", "max_drop"] if self.of == QUALITY else []  # the metric says which way is better
        given = [name for name in ("min", "max_drop", "max") if getattr(self, name) is not None]
        if len(given) != 1 or given[0] not in allowed:
            raise ValueError(f"a goal of {self.of} has {' or '.join(allowed)}; received {', '.join(given) or 'none'}")
        return self


class Interval(Section):
    """Every number between two; whole ones where both ends are."""

    low: int | float
    high: int | float
    log: bool = False  # drawn by its logarithm

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"low must be below high, and above 0 for log; received {self.low:g} and {self.high:g}")
        return self


Choices = Annotated[tuple[Scalar, ...], Field(min_length=1)]
Range = Interval | Choices
SPACE: dict[str, Range] = {  # the methods' parameters that are searched unless params.yaml says otherwise
    "slim.keep": Interval(low=0.1, high=0.9),
    "slim.score": ("taylor", "l1"),
    "slim.scope": ("global", "uniform"),
    "prune.sparsity": Interval(low=0.4, high=0.95),
    "cluster.clusters": (8, 16, 32, 64),
    "factorize.energy": Interval(low=0.7, high=0.98),
    "distill.teacher": ("baseline",),
    "distill.temperature": (2, 4, 8),
}
CHAINS: tuple[tuple[str, ...], ...] = (
    (),
    ("prune",),
    ("cluster",),
    ("prune", "cluster"),
    ("slim",),
    ("slim", "prune"),
    ("slim", "prune", "cluster"),
    ("slim", "distill"),
)


class TrialTraining(Training):
    """How the models of a trial are fitted, as `compress` has it; params.yaml's own models keep theirs."""

    epochs: Count = 3
    schedule: Literal["constant", "cosine", "exponential", "step"] = "cosine"
    examples: Count | None = None  # of the training split, evenly drawn; null: all, as `tercet run` trains


class Search(Section):
    """A search for the chains of methods, and their parameters, that serve some devices best."""

    objectives: Annotated[tuple[Objective, ...], Field(min_length=2, max_length=3)]
    goals: tuple[Goal, ...] = ()
    trials: Count = 30  # those of params.yaml's own variants, which come first, among them
    sampler: Literal["nsga2", "tpe", "qubo"] = "nsga2"
    seed: Seed = 0
    parallel: Count = 2  # trials under way at once; training and measuring stay one at a time
    chains: Annotated[tuple[tuple[Step, ...], ...], Field(min_length=1)] = CHAINS
    schemes: Annotated[tuple[SchemeName, ...], Field(min_length=1)] = ("dynamic", "int8")
    space: dict[str, Range] = Field(default_factory=dict)  # by method.key, beside or instead of SPACE
    bits: tuple[Literal[4, 8], ...] = ()  # of each layer's weights, every layer a choice; none: as the scheme has it
    training: TrialTraining = TrialTraining()
    winners: Natural = 3  # at most so many are written into params.yaml

    @property
    def devices(self) -> list[str]:
        """What objectives and goals are measured on; a device may be there twice."""
        return [each.device for each in (*self.objectives, *self.goals) if each.device]

    @property
    def ranges(self) -> dict[str, Range]:
        """Everything that the methods of the chains may vary in."""
        used = {method for chain in self.chains for method in chain}
        return {key: found for key, found in (SPACE | self.space).items() if key.partition(".")[0] in used}

    def entry(self, method: str, parent: str, values: dict[str, Any]) -> Compress:
        """An entry of `compress`.

        Raises:
            ParamsError: the values do not fit the method.
        """
        training = self.training.model_dump(exclude={"examples"})
        try:
            found: Compress = _ENTRY.validate_python({"method": method, "parent": parent, **training, **values})
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(step) for step in fault["loc"])
            raise ParamsError(f"space: {where or method}: received {fault['input']!r}; {fault['msg']}") from None
        return found

    @model_validator(mode="after")
    def _names_are_there_once(self) -> Self:
        lists: dict[str, list[Any]] = {
            "objectives": [objective.key for objective in self.objectives],
            "chains": list(self.chains),
            "schemes": list(self.schemes),
            **{f"chains: {'+'.join(chain)}": list(chain) for chain in self.chains},
        }
        for what, names in lists.items():
            if len(set(names)) < len(names):
                raise ValueError(f"{what}: received {names}; each may stand there once")
        return self

    @model_validator(mode="after")
    def _ranges_fit_the_methods(self) -> Self:
        used = list(dict.fromkeys(method for chain in self.chains for method in chain))
        for key in self.space:
            method = key.partition(".")[0]
            if method not in METHODS:
                raise ValueError(f"space.{key}: a key is method.parameter; {suggest(method, METHODS)}")
            if method not in used:
                raise ValueError(f"space.{key}: {method!r} is in none of the chains; {suggest(method, used)}")
        for method in used:
            own = {key: found for key, found in self.ranges.items() if key.partition(".")[0] == method}
            for values in _points(own):
                try:
                    self.entry(method, "baseline", values)
                except ParamsError as error:
                    raise ValueError(str(error)) from None
        return self


def _points(own: Mapping[str, Range]) -> Iterator[dict[str, Scalar]]:
    """Values of a method's parameters: all that are first, all that are last, and each one beside the first."""
    tried = {key.partition(".")[2]: _tried(found) for key, found in own.items()}
    first, last = ({key: values[end] for key, values in tried.items()} for end in (0, -1))
    yield from (first, last)
    yield from ({**first, key: value} for key, values in tried.items() for value in values)


def _tried(found: Range) -> tuple[Scalar, ...]:
    """Every choice; of an interval the ends and a number between, which is none of the few that a key may allow."""
    if not isinstance(found, Interval):
        return found
    whole = isinstance(found.low, int) and isinstance(found.high, int)
    between = found.low + 1 if whole else found.low + (found.high - found.low) * math.sqrt(0.5)
    return found.low, between, found.high


_ENTRY: TypeAdapter[Any] = TypeAdapter(Compress)
