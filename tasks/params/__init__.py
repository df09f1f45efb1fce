"""The schema of params.yaml: every knob, its default and what is allowed."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from tasks import paths
from tasks.errors import suggest
from tasks.formats.schemes import SCHEMES
from tasks.members import SOURCES, YARDSTICKS
from tasks.params.benchmark import Benchmark, Budget, Bundle, Prices, Protocol
from tasks.params.chosen import Chosen
from tasks.params.compress import Cluster, Compress, Distill, External, Factorize, Finetune, Prune, Slim
from tasks.params.evaluate import Evaluate
from tasks.params.gate import Gate
from tasks.params.models import (
    Autoencoder,
    Bow,
    Cnn,
    Conv1d,
    Decoder,
    Dscnn,
    Encoder,
    Family,
    File,
    Mlp,
    MobilenetV1,
    MobilenetV2,
    MobilenetV3,
    Resnet,
    Rnn,
    Sourced,
    Squeezenet,
    Stored,
    Words,
)
from tasks.params.prepare import Feature, Prepare
from tasks.params.quantize import Quantize, SchemeName
from tasks.params.reading import parse_yaml, read_text, read_yaml
from tasks.params.search import Search
from tasks.params.section import (
    BASELINE,
    Name,
    Section,
    Seed,
    at_seed,
    check,
    is_baseline,
    once,
)
from tasks.params.ship import Fleet
from tasks.params.training import EarlyStopping, Parallel, Train, Training
from tasks.params.yardstick import Yardstick
from tasks.records.figures import QUALITY
from tasks.records.metrics import METRICS, USUAL, judging

__all__ = [
    "BASELINE", "Autoencoder", "Benchmark", "Bow", "Budget", "Bundle", "Cluster", "Cnn", "Compress", "Conv1d",
    "Decoder", "Distill", "Dscnn", "EarlyStopping", "Encoder", "Evaluate", "External", "Factorize", "Family", "Feature",
    "File", "Finetune", "Fleet", "Gate", "Mlp", "MobilenetV1", "MobilenetV2", "MobilenetV3", "Parallel", "Params",
    "Prepare", "Prices", "Protocol", "Prune", "Quantize", "Resnet", "Rnn", "SchemeName", "Search", "Slim", "Sourced",
    "Squeezenet", "Stored", "Train", "Training", "Words", "Yardstick", "check", "is_baseline", "load", "read_yaml",
]  # fmt: skip


class Params(Section):
    """The whole of params.yaml."""

    name: Name  # of the workload: the MLflow experiment and the registered model
    prepare: Annotated[Prepare, Chosen("source", Prepare, SOURCES)]
    model: Family
    train: Train
    compress: dict[Name, Compress]
    quantize: Annotated[dict[Name, Quantize], Field(min_length=1)]
    benchmark: Benchmark
    bundle: Bundle
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    yardstick: dict[Name, Yardstick] = Field(default_factory=dict)
    search: Search | None = None
    # all that is trained is trained by each of these, and told as mean and interval; null: once, by each entry's own
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(once)] | None = None
    ship: dict[Name, Fleet] = Field(default_factory=dict)  # by device; one of kind ssh is its own fleet of one

    @model_validator(mode="after")
    def _names_point_somewhere(self) -> Self:
        models = {*self.baselines, *self.compress}
        for name in self.compress:
            if is_baseline(name):
                raise ValueError(f"compress.{name}: the name {name!r} is taken by the trained model")
        for name, entry in self.compress.items():
            _refer(f"compress.{name}.parent", entry.parent, models - {name})
        self.model_order()
        for name, entry in self.compress.items():
            if isinstance(entry.teacher, str):
                _refer(f"compress.{name}.teacher", entry.teacher, self.ancestors(name))
        for name, variant in self.quantize.items():
            _refer(f"quantize.{name}.model", variant.model, models)
        plain = {k for k, v in self.quantize.items() if SCHEMES.load(v.scheme).reference and v.model == BASELINE}
        _refer("benchmark.reference", self.benchmark.reference, plain)
        for device in self.benchmark.prices.hour if self.benchmark.prices else ():
            _refer("benchmark.prices.hour", device, self.benchmark.devices)
        for device in self.bundle.budgets:
            _refer("bundle.budgets", device, self.benchmark.devices)
        for device in self.ship:
            _refer("ship", device, self.benchmark.devices)
        return self

    @model_validator(mode="after")
    def _pairs_have_names_of_their_own(self) -> Self:
        named: dict[str, tuple[str, str]] = {}  # DVC joins the names of a pair by a hyphen
        for device in dict.fromkeys(self.benchmark.devices):
            for variant in self.quantize:
                other, other_device = named.setdefault(f"{variant}-{device}", (variant, device))
                if (other, other_device) != (variant, device):
                    raise ValueError(
                        f"quantize.{variant} on {device} and quantize.{other} on {other_device} are both "
                        f"benchmark@{variant}-{device} in dvc.yaml; rename one of the variants"
                    )
        return self

    @model_validator(mode="after")
    def _only_a_file_needs_no_training(self) -> Self:
        if self.train.epochs == 0 and not isinstance(self.model, Sourced):
            raise ValueError(
                "train.epochs: received 0; only models of the families file and decoder are trained already"
            )
        return self

    @model_validator(mode="after")
    def _layers_of_ones_own_are_here_alone(self) -> Self:
        if self.train.parallel is not None and isinstance(self.model, File) and self.model.layers:
            raise ValueError(
                "train.parallel: a model whose layers come from a module of one's own is trained in one process; "
                f"received model.layers {self.model.layers!r}"
            )
        return self

    @model_validator(mode="after")
    def _the_metric_judges_the_task(self) -> Self:
        name, task = self.evaluate.metric, self.prepare.task
        if name is not None and METRICS.load(name).task != task:
            allowed = ", ".join(judging(task))
            raise ValueError(
                f"evaluate.metric: {name!r} is of {METRICS.load(name).task}; of {task} there are {allowed}"
            )
        return self

    @model_validator(mode="after")
    def _yardsticks_tell_what_the_task_asks(self) -> Self:
        for name, entry in self.yardstick.items():
            told = YARDSTICKS.load(entry.method).tasks
            if self.prepare.task not in told:
                raise ValueError(
                    f"yardstick.{name}.method: {entry.method!r} is for {', '.join(told)}; received prepare.task "
                    f"{self.prepare.task!r}"
                )
        return self

    @model_validator(mode="after")
    def _questions_are_asked_of_who_tells_every_token(self) -> Self:
        if self.evaluate.choices is not None and self.prepare.task != "language":
            raise ValueError(
                f"evaluate.choices: received {self.evaluate.choices!r}; questions are for prepare.task language, whose "
                f"models tell every token; received task {self.prepare.task!r}"
            )
        return self

    @model_validator(mode="after")
    def _what_is_reconstructed_is_not_changed(self) -> Self:
        for key, entry in {
            "train": self.train,
            **{f"compress.{name}": each for name, each in self.compress.items()},
        }.items():
            if self.prepare.task == "reconstruction" and getattr(entry, "augment", None):
                raise ValueError(
                    f"{key}.augment: a reconstruction is learnt from the input itself, which stays as it is"
                )
        return self

    @model_validator(mode="after")
    def _goals_go_the_way_of_the_metric(self) -> Self:
        for goal in self.search.goals if self.search else ():
            if goal.of == QUALITY and goal.max_drop is None:
                allowed, wrong = ("max", "min") if METRICS.load(self.metric).better == "lower" else ("min", "max")
                if getattr(goal, wrong) is not None:
                    raise ValueError(f"search: a goal of quality has {allowed} or max_drop; received {wrong}")
        return self

    @property
    def metric(self) -> str:
        """What quality is: a key of METRICS."""
        return self.evaluate.metric or USUAL[self.prepare.task]

    @property
    def choices(self) -> str | None:
        """The file of multiple-choice questions; None: nothing is asked beside the text."""
        return self.evaluate.choices

    @property
    def yardsticks(self) -> dict[Name, Yardstick]:
        """What variants are judged beside; empty: nothing."""
        return self.yardstick

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """What is trained is trained by each of these."""
        return self.seeds or (self.train.seed,)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The trained model, and that of each further seed; of one that comes trained there are no others."""
        further = self.all_seeds[1:] if self.train.epochs else ()
        return (BASELINE, *(at_seed(BASELINE, seed) for seed in further))

    def model_order(self) -> list[str]:
        """The models of `compress`, each after its parent."""
        done: list[str] = list(self.baselines)
        waiting = dict(self.compress)
        while waiting:
            ready = [name for name, entry in waiting.items() if entry.parent in done]
            if not ready:
                raise ValueError(f"compress: {', '.join(waiting)} are each other's parents; one must come from another")
            done += ready
            waiting = {name: entry for name, entry in waiting.items() if name not in ready}
        return done[len(self.baselines) :]

    def ancestors(self, name: str) -> list[str]:
        """The parent of a model of `compress`, its parent, and so on to the baseline of its seed."""
        found = []
        while name not in self.baselines:
            name = self.compress[name].parent
            found.append(name)
        return found


def _refer(path: str, received: str, allowed: Any) -> None:
    if received not in allowed:
        raise ValueError(f"{path}: received {received!r}; {suggest(received, allowed)}")


def load(path: Path = paths.PARAMS) -> Params:
    """Read and check params.yaml; what `seeds` asks for stands in it as if it were written out.

    What has not changed since is not checked again, as each stage asks for it.

    Raises:
        ParamsError: in one line, the key, what was there, what is allowed and a near match.
    """
    return _checked(read_text(path), path)


@lru_cache(maxsize=8)
def _checked(text: str, path: Path) -> Params:
    from tasks.params.seeds import spread  # it reads what is defined here

    values = parse_yaml(text, path)
    given = check(Params, values, path)
    return given if given.seeds is None else check(Params, spread(values, given, path), path)
