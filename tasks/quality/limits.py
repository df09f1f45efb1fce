"""Whether a limit of params.yaml on a loss of quality is worth enough validation examples to mean something. Pure."""

from collections.abc import Iterator

from tasks.params import Cluster, Params
from tasks.records.metrics import METRICS

FEW = 10  # examples: below, a limit is of the size of what chance does to them
SURE = 2.7  # z² of the paired bound: so many examples, over the limit, show that nothing was lost


def notes(params: Params, metric: str, n: int) -> Iterator[str]:
    """A sentence for each limit that is worth fewer than ten of the `n` validation examples."""
    if metric not in METRICS or not METRICS.load(metric).counts:
        return
    for key, limit in _limits(params):
        if limit * n < FEW:
            needs = f"; to show that nothing was lost takes about {SURE / limit:,.0f} of them" if limit else ""
            yield f"{key}: a limit of {limit:g} is worth {limit * n:.1f} of {n} validation examples{needs}."


def _limits(params: Params) -> Iterator[tuple[str, float]]:
    """Each key that holds such a limit, with its value."""
    for name, entry in params.compress.items():
        if isinstance(entry, Cluster) and entry.clusters == "auto":
            yield f"compress.{name}.tolerance", entry.tolerance
    for name, variant in params.quantize.items():
        if variant.max_quality_drop is not None:
            yield f"quantize.{name}.max_quality_drop", variant.max_quality_drop
    if (
        set(params.benchmark.devices) - set(params.bundle.budgets)
        and params.bundle.default.max_quality_drop is not None
    ):
        yield "bundle.default.max_quality_drop", params.bundle.default.max_quality_drop
    for device, budget in params.bundle.budgets.items():
        if budget.max_quality_drop is not None:
            yield f"bundle.budgets.{device}.max_quality_drop", budget.max_quality_drop
