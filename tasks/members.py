"""What params.yaml chooses by name to have work done: sources of data, families of models, methods of compression.

Each member stands in a file of its own and says everything about itself there. Which section of params.yaml is its
own, it says too; those of Tercet's own members are known without importing them, so that a command starts quickly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tasks.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where data come from. Its section is all of `prepare`: what a plug-in's adds to `Prepare` is its own.

    `check` raises DataError for what is not there, and imports nothing heavy; `load` gives a `Source`.
    """

    schema: type[BaseModel]
    check: Callable[[Any], None]  # of the section
    load: Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """A family of models, which `model` names, or a student of `distill`."""

    schema: type[BaseModel]
    build: Callable[[Any, Any], Any]  # of the section and what the data ask: a tf_keras model, of new weights


@dataclass(frozen=True, kw_only=True)
class CompressionMethod:
    """A method of `compress`: it makes a model of its parent, or writes one that comes from elsewhere."""

    schema: type[BaseModel]
    apply: Callable[..., tuple[Any, Any]] | None = None  # (model, section, train, validation, on_epoch): model, history
    hinted: bool = False  # `apply` takes the `teacher` itself too, beside its answers
    write: "Callable[[Path, str, Any], None] | None" = None  # (folder, name, section), instead of `apply`
    reshapes: bool = False  # there may be fewer parameters after it
    renames: bool = False  # layers may bear other names than the parent's after it


@dataclass(frozen=True, kw_only=True)
class YardstickMethod:
    """A method of `yardstick`: what an honest engineer tries before a network, and a network must beat.

    `predict` takes the training examples, those that are judged, a seed, and by name what else its section says; it
    gives of each judged example what a network would: float32 [n, classes] or [n, values], where no class has a
    probability any score of it. Of the judged examples it looks at no target.
    """

    schema: type[BaseModel]
    predict: Callable[..., Any]
    tasks: tuple[str, ...]  # what of `prepare.task` it can tell
    raw: bool = False  # it asks for examples as the source gave them, and not as they are made ready for a network


SOURCES = Registry(
    "data source",
    "tercet.sources",
    {
        "brain": "tasks.data.brain:SOURCE",
        "breast-cancer": "tasks.data.breast_cancer:SOURCE",
        "csv": "tasks.data.table:SOURCE",
        "digits": "tasks.data.digits:SOURCE",
        "docstrings": "tasks.data.docstrings:SOURCE",
        "folder": "tasks.data.folder:SOURCE",
        "idx": "tasks.data.idx:SOURCE",
        "keras": "tasks.data.keras:SOURCE",
        "medmnist": "tasks.data.medmnist:SOURCE",
        "npz": "tasks.data.npz:SOURCE",
        "photos": "tasks.data.photos:SOURCE",
        "pydoc": "tasks.data.pydoc:SOURCE",
        "ratings": "tasks.data.ratings:SOURCE",
        "sentences": "tasks.data.sentences:SOURCE",
        "series": "tasks.data.series:SOURCE",
        "text": "tasks.data.text:SOURCE",
        "tsv": "tasks.data.tsv:SOURCE",
    },
    DataSource,
)
FAMILIES = Registry(
    "model family",
    "tercet.families",
    {
        "cnn": "tasks.models.cnn:FAMILY",
        "conv1d": "tasks.models.conv1d:FAMILY",
        "bow": "tasks.models.bow:FAMILY",
        "rnn": "tasks.models.rnn:FAMILY",
        "encoder": "tasks.models.encoder:FAMILY",
        "mlp": "tasks.models.mlp:FAMILY",
        "resnet": "tasks.models.resnet:FAMILY",
        "dscnn": "tasks.models.dscnn:FAMILY",
        "mobilenet_v1": "tasks.models.mobilenet_v1:FAMILY",
        "mobilenet_v2": "tasks.models.mobilenet_v2:FAMILY",
        "mobilenet_v3": "tasks.models.mobilenet_v3:FAMILY",
        "squeezenet": "tasks.models.squeezenet:FAMILY",
        "autoencoder": "tasks.models.autoencoder:FAMILY",
        "file": "tasks.models.file:FAMILY",
        "decoder": "tasks.models.decoder:FAMILY",
        "transformer": "tasks.models.transformer:FAMILY",
        "two_tower": "tasks.models.two_tower:FAMILY",
    },
    ModelFamily,
)
METHODS = Registry(
    "method of compression",
    "tercet.methods",
    {
        "slim": "tasks.compress.slim:METHOD",
        "prune": "tasks.compress.prune:METHOD",
        "cluster": "tasks.compress.cluster:METHOD",
        "factorize": "tasks.compress.factorize:METHOD",
        "distill": "tasks.compress.distill:METHOD",
        "finetune": "tasks.compress.finetune:METHOD",
        "smooth": "tasks.compress.smooth:METHOD",
        "gptq": "tasks.compress.gptq:METHOD",
        "external": "tasks.compress.external:METHOD",
    },
    CompressionMethod,
)
YARDSTICKS = Registry(
    "yardstick",
    "tercet.yardsticks",
    {
        "nearest-class-mean": "tasks.yardsticks.nearest_class_mean:YARDSTICK",
        "logistic": "tasks.yardsticks.logistic:YARDSTICK",
        "item-knn": "tasks.yardsticks.item_knn:YARDSTICK",
        "popularity": "tasks.yardsticks.popularity:YARDSTICK",
        "last-value": "tasks.yardsticks.last_value:YARDSTICK",
        "seasonal-naive": "tasks.yardsticks.seasonal_naive:YARDSTICK",
        "tfidf-logistic": "tasks.yardsticks.tfidf_logistic:YARDSTICK",
        "trees": "tasks.yardsticks.trees:YARDSTICK",
    },
    YardstickMethod,
)
