"""The schema of params.yaml: every knob, its default and what is allowed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tasks import paths
from tasks.errors import ParamsError, suggest

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
Share = Annotated[float, Field(gt=0, lt=1)]
Scheme = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
BASELINE = "baseline"
S = TypeVar("S", bound=BaseModel)


class Section(BaseModel):
    """A part of params.yaml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Prepare(Section):
    """Where the data comes from and how it is split and normalised."""

    source: Literal["digits", "idx", "keras", "tsv"]
    path: str | None = None  # idx, tsv: the folder
    dataset: str | None = None  # keras: the loader's name in tf_keras.datasets
    normalize: Literal["unit", "standard"] = "unit"  # images
    vocabulary: Annotated[int, Field(ge=3)] = 10_000  # text: tokens kept, padding and unknown among them
    length: Annotated[int, Field(ge=1)] = 64  # text: tokens of a sentence
    validation: Share = 0.1  # of the training split
    test: Share = 0.2  # only for a source without a test split of its own
    calibration: Annotated[int, Field(ge=1)] = 100  # examples, drawn from the training split
    limit: Annotated[int, Field(ge=10)] | None = None  # at most so many examples in each split, for trying out
    seed: int = 0

    @model_validator(mode="after")
    def _source_has_what_it_needs(self) -> Self:
        needed = {"idx": "path", "tsv": "path", "keras": "dataset"}.get(self.source)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"source {self.source!r} needs the key {needed!r}")
        return self


class Cnn(Section):
    """Convolutions, each with pooling, then dense layers."""

    family: Literal["cnn"]
    filters: tuple[Annotated[int, Field(ge=1)], ...] = (32, 64)
    dense: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Bow(Section):
    """Averaged embeddings (a bag of words), then dense layers."""

    family: Literal["bow"]
    embedding: Annotated[int, Field(ge=1)] = 64
    token_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # whole tokens, while training
    dense: tuple[Annotated[int, Field(ge=1)], ...] = ()


class Training(Section):
    """How a model is fitted: shared by `train` and by every method of `compress`."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    optimizer: Literal["sgd", "momentum", "adam", "adamw", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    schedule: Literal["constant", "cosine", "exponential", "step"] = "constant"
    weight_decay: Annotated[float, Field(ge=0)] = 0.004  # adamw only
    seed: int = 0


class EarlyStopping(Section):
    """Stop when the validation loss has not fallen for `patience` epochs, and keep the best epoch."""

    patience: Annotated[int, Field(ge=1)]


class Train(Training):
    """The baseline's training."""

    early_stopping: EarlyStopping | None = None


class Prune(Training):
    """Magnitude pruning to a target sparsity."""

    method: Literal["prune"]
    parent: Name
    sparsity: Share


class Cluster(Training):
    """Weight clustering: each layer's kernel shares so many values."""

    method: Literal["cluster"]
    parent: Name
    clusters: Annotated[int, Field(ge=2, le=256)] = 16


class Finetune(Training):
    """Further training and nothing else: the control of equal budget that compressed models are compared with."""

    method: Literal["finetune"]
    parent: Name


Compress = Annotated[Prune | Cluster | Finetune, Field(discriminator="method")]


class Quantize(Section):
    """One variant: a model at one numeric scheme."""

    model: Name
    scheme: Scheme
    aware_epochs: Annotated[int, Field(ge=0)] = 0  # quantization-aware training before the conversion
    aware_learning_rate: Annotated[float, Field(gt=0)] = 0.0001
    batch_size: Annotated[int, Field(ge=1)] = 64
    seed: int = 0

    @model_validator(mode="after")
    def _awareness_is_of_int8(self) -> Self:
        if self.aware_epochs and self.scheme != "int8":
            raise ValueError(f"aware_epochs trains for int8 and means nothing for scheme {self.scheme!r}")
        return self


class Protocol(Section):
    """How long is measured: `quick` is for looking, `full` for reporting."""

    mode: Literal["quick", "full"]
    windows: Annotated[int, Field(ge=1)] | None = None  # null: 3 in quick mode, 5 in full
    window_s: Annotated[float, Field(gt=0)] | None = None  # null: 0.3 s in quick mode, 10 s in full


class Benchmark(Section):
    """What is measured, and where."""

    reference: Name  # the float32 variant that every other one is compared with
    devices: Annotated[tuple[Name, ...], Field(min_length=1)]
    protocol: Protocol


class Budget(Section):
    """What a device's champion must keep to; of those that do, the one with the least of `minimize` wins."""

    minimize: Literal["latency_ms", "energy_mj", "memory_kib", "instructions", "bytes", "gzip_bytes"] = "latency_ms"
    max_quality_drop: Annotated[float, Field(ge=0)] | None = None  # below the reference, on validation data
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    max_energy_mj: Annotated[float, Field(gt=0)] | None = None
    max_memory_kib: Annotated[float, Field(gt=0)] | None = None
    max_bytes: Annotated[int, Field(gt=0)] | None = None


class Deploy(Section):
    """Budgets by device; a device without one takes `default`."""

    default: Budget = Budget(max_quality_drop=0.01)
    budgets: dict[Name, Budget] = {}


class Params(Section):
    """The whole of params.yaml."""

    name: Name  # of the workload: the MLflow experiment and the registered model
    prepare: Prepare
    model: Annotated[Cnn | Bow, Field(discriminator="family")]
    train: Train
    compress: dict[Name, Compress]
    quantize: Annotated[dict[Name, Quantize], Field(min_length=1)]
    benchmark: Benchmark
    deploy: Deploy

    @model_validator(mode="after")
    def _names_point_somewhere(self) -> Self:
        models = {BASELINE, *self.compress}
        if BASELINE in self.compress:
            raise ValueError(f"compress.{BASELINE}: the name {BASELINE!r} is taken by the trained model")
        for name, entry in self.compress.items():
            _refer(f"compress.{name}.parent", entry.parent, models - {name})
        self.model_order()
        for name, variant in self.quantize.items():
            _refer(f"quantize.{name}.model", variant.model, models)
        plain = {k for k, v in self.quantize.items() if v.scheme == "float32" and v.model == BASELINE}
        _refer("benchmark.reference", self.benchmark.reference, plain)
        for device in self.deploy.budgets:
            _refer("deploy.budgets", device, self.benchmark.devices)
        return self

    def model_order(self) -> list[str]:
        """The models of `compress`, each after its parent."""
        done: list[str] = [BASELINE]
        waiting = dict(self.compress)
        while waiting:
            ready = [name for name, entry in waiting.items() if entry.parent in done]
            if not ready:
                raise ValueError(f"compress: {', '.join(waiting)} are each other's parents; one must come from another")
            done += ready
            waiting = {name: entry for name, entry in waiting.items() if name not in ready}
        return done[1:]


def _refer(path: str, received: str, allowed: Any) -> None:
    if received not in allowed:
        raise ValueError(f"{path}: received {received!r}; {suggest(received, allowed)}")


def load(path: Path = paths.PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: in one line, the key, what was there, what is allowed and a near match.
    """
    return check(Params, read_yaml(path), path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top is a mapping."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a SafeLoader
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; `tercet use digits-cnn` writes a params.yaml to start from") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise ParamsError(f"{path}: a mapping of sections is expected; received {type(value).__name__}")
    return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML's default is that the second silently wins, and DVC refuses the file."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)


def check(schema: type[S], value: Mapping[str, Any], path: Path) -> S:
    """Validate `value`; the first fault becomes a ParamsError of one line that names the key in `path`."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        # a misspelled key is both unknown and missing: name the spelling
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ParamsError(f"{path}: {_explain(schema, value, faults[0])}{more}") from None


def _explain(schema: type[BaseModel], value: Any, fault: Any) -> str:
    keys: list[str] = []
    annotation: Any = schema
    for step in fault["loc"]:
        inside = isinstance(value, Mapping) and step in value
        if inside or isinstance(step, int) or step == fault["loc"][-1]:
            keys.append(str(step))
            value = value[step] if inside or isinstance(step, int) else None
        parent, annotation = annotation, _descend(annotation, step)
    where = ".".join(keys)
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: unknown key; {suggest(keys[-1], parent.model_fields)}"
        case "missing":
            return f"{where}: this key is missing"
        case "value_error":
            return (f"{where}: " if where else "") + str(fault["ctx"]["error"])
        case "literal_error" | "union_tag_invalid":
            allowed = fault["ctx"].get("expected") or fault["ctx"]["expected_tags"]
            received = fault["ctx"].get("tag", fault["input"])
            if "discriminator" in fault["ctx"]:
                where += "." + fault["ctx"]["discriminator"].strip("'")
            names = re.findall(r"'([^']*)'", allowed)
            return f"{where}: received {received!r}; {suggest(str(received), names)}"
        case "union_tag_not_found":
            key = fault["ctx"]["discriminator"].strip("'")
            return f"{where}.{key}: this key is missing"
        case _:
            return f"{where}: received {fault['input']!r}; {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _descend(annotation: Any, step: str | int) -> Any:
    """The annotation behind one step of an error's location: a field, a value of a mapping, a member of a union."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields[str(step)].annotation if step in annotation.model_fields else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    for member in get_args(annotation):
        for field in getattr(member, "model_fields", {}).values():
            if get_origin(field.annotation) is Literal and step in get_args(field.annotation):
                return member
        if step in getattr(member, "model_fields", {}):  # Optional[Section]
            return member.model_fields[str(step)].annotation
    return None
