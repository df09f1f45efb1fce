"""The methods of `yardstick`."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks.members import YARDSTICKS
from tasks.params.chosen import Chosen
from tasks.params.section import Count, Section, Seed


class Simple(Section):
    """What every one has."""

    seed: Seed = 0

    @property
    def options(self) -> dict[str, Any]:
        """What its method is told beside the examples and the seed."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in ("method", "seed")}


class NearestClassMean(Simple):
    """The class whose mean is the nearest; of a reconstruction the mean of what is normal."""

    method: Literal["nearest-class-mean"]


class Logistic(Simple):
    """Logistic regression."""

    method: Literal["logistic"]
    c: Annotated[float, Field(gt=0)] = 1.0  # the smaller, the smaller the weights are kept


class TfidfLogistic(Simple):
    """Logistic regression on the words of texts, weighed by how rare they are."""

    method: Literal["tfidf-logistic"]
    c: Annotated[float, Field(gt=0)] = 10.0  # the smaller, the smaller the weights are kept


class Trees(Simple):
    """Gradient-boosted trees."""

    method: Literal["trees"]
    trees: Count = 300  # at most: they end where a tenth of the training split says so
    depth: Count = 6


class LastValue(Simple):
    """Of a series: no change."""

    method: Literal["last-value"]


class SeasonalNaive(Simple):
    """Of a series: the value of the last season's same place."""

    method: Literal["seasonal-naive"]
    season: Count  # rows


class Popularity(Simple):
    """Of items: what most users liked."""

    method: Literal["popularity"]


class ItemKnn(Simple):
    """Of items: what is near to those that the user liked."""

    method: Literal["item-knn"]
    neighbours: Count = 40  # of each item


Own = NearestClassMean | Logistic | TfidfLogistic | Trees | LastValue | SeasonalNaive | Popularity | ItemKnn
if TYPE_CHECKING:
    Yardstick = Own
else:
    Yardstick = Annotated[Section, Chosen("method", Annotated[Own, Field(discriminator="method")], YARDSTICKS)]
