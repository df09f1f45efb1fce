"""Which variant a device's budget selects. Pure: the stage `deploy` ships the choice, `track` names it in the registry.

Choices are made on validation data; the test set only says, once, what the choice is worth.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

from tasks.errors import UnsupportedError
from tasks.params import Budget
from tasks.records import Comparison, Energy, EnergyKind, Latency, Memory, Provenance, Record, Row

SMALLEST_DROP = 0.001  # a limit of 0 has no ratio to it, so quality is never counted in less than tenths of a point
ROUNDING = 1e-9  # 0.98 - 0.97 is a little more than 0.01, and must keep to a limit of 0.01
TRUST = (*get_args(Provenance), *get_args(EnergyKind))  # where figures come from, the most trusted first


class Choice(Record):
    """What a budget selects on one device."""

    device: str
    champion: str
    within_budget: bool  # false: the champion is only the nearest
    distances: dict[str, float]  # by goal, how far beyond its limit, as a share of the limit; 0 where it is kept
    reason: str
    candidates: tuple[str, ...]  # variants that were compared, in the order of the comparison


class Quality(Record):
    """The champion's quality: on test data, and on the validation data that it was chosen by."""

    metric: str
    value: float
    low: float  # 95 %
    high: float
    n: int
    validation: float


class Figures(Record):
    """What the champion was measured or estimated to cost."""

    quality: Quality
    latency: Latency | None
    memory: Memory | None
    energy: Energy
    bytes: int
    gzip_bytes: int


class Manifest(Record):
    """`out/bundles/<device>/manifest.json`: what is shipped to a device, and why. Nothing, if `variant` is null."""

    schema_version: Literal[1] = 1
    device: str
    variant: str | None
    reason: str
    budget: Budget
    within_budget: bool
    distances: dict[str, float]
    artifact_sha256: str | None
    figures: Figures | None
    kernels: Literal["default", "reference"] = "default"  # that the figures' quality stands for
    stand_in: str | None = None  # named where the quality was found on another machine
    files: dict[str, str]  # name to SHA-256 of every other file of the bundle
    versions: dict[str, str]


def select(comparison: Comparison, device: str, budget: Budget) -> Choice:
    """Choose among the variants that ran on `device` and have every figure that the budget asks for.

    Of those within the budget the least of `budget.minimize` wins; of equals the better on validation data, then the
    smaller. If none is within it, the one whose excesses sum to least is chosen, and named as such.

    Raises:
        UnsupportedError: no variant can be compared.
    """
    rows = [row for row in comparison.rows if row.device == device]
    goals = _goals(comparison, rows, budget)
    figures = {budget.minimize, *goals} - {"quality_drop"}
    ran = [row for row in rows if row.measurement.status == "ok"]
    complete = [row for row in ran if all(FIGURES[name](row) is not None for name in figures)]
    candidates = _comparable(complete, figures)
    if not candidates:
        raise UnsupportedError(_nobody(device, rows, ran, figures))
    distances = {row.variant: _distances(row, goals) for row in candidates}
    within = [row for row in candidates if not any(distances[row.variant].values())]
    champion = min(
        within or candidates,
        key=lambda row: (sum(distances[row.variant].values()), *_preference(row, budget.minimize)),
    )
    return Choice(
        device=device,
        champion=champion.variant,
        within_budget=bool(within),
        distances=distances[champion.variant],
        reason=_reason(champion, budget.minimize, len(within), distances) + _left_out(complete, candidates),
        candidates=tuple(row.variant for row in candidates),
    )


FIGURES: dict[str, Callable[[Row], float | None]] = {
    "latency_ms": lambda row: row.measurement.latency.ms_p50 if row.measurement.latency else None,
    "energy_mj": lambda row: row.measurement.energy.mj,
    "memory_kib": lambda row: row.measurement.memory.peak_kib if row.measurement.memory else None,
    "instructions": lambda row: row.measurement.instructions.per_inference if row.measurement.instructions else None,
    "bytes": lambda row: row.bytes,
    "gzip_bytes": lambda row: row.gzip_bytes,
    "zstd_bytes": lambda row: row.zstd_bytes,
}


def _goals(comparison: Comparison, rows: Sequence[Row], budget: Budget) -> dict[str, Callable[[Row], float]]:
    """For each limit of the budget, the share by which a row is beyond it (negative or 0: it keeps to it)."""
    goals: dict[str, Callable[[Row], float]] = {}
    if (limit := budget.max_quality_drop) is not None:
        goals["quality_drop"] = _drop_goal(_reference_quality(comparison, rows), limit)
    for name in ("latency_ms", "energy_mj", "memory_kib", "bytes"):
        if (limit := getattr(budget, f"max_{name}")) is not None:
            goals[name] = _limit_goal(FIGURES[name], limit)
    return goals


def _drop_goal(reference: float, limit: float) -> Callable[[Row], float]:
    return lambda row: (reference - row.validation_quality - limit) / max(limit, SMALLEST_DROP)


def _limit_goal(figure: Callable[[Row], float | None], limit: float) -> Callable[[Row], float]:
    return lambda row: (figure(row) or 0.0) / limit - 1  # `select` has left out the rows without the figure


def _reference_quality(comparison: Comparison, rows: Sequence[Row]) -> float:
    """The reference's validation quality: on this device, else on any other."""
    for row in [*rows, *comparison.rows]:
        if row.variant == comparison.reference:
            return row.validation_quality
    raise UnsupportedError(
        f"max_quality_drop is below the reference {comparison.reference!r}, which the comparison does not hold; "
        "it was not evaluated: `tercet run`"
    )


def _distances(row: Row, goals: dict[str, Callable[[Row], float]]) -> dict[str, float]:
    excess = {name: goal(row) for name, goal in goals.items()}
    return {name: value if value > ROUNDING else 0.0 for name, value in excess.items()}


def _preference(row: Row, minimize: str) -> tuple[Any, ...]:
    return FIGURES[minimize](row), -row.validation_quality, row.bytes


def _comparable(rows: Sequence[Row], figures: Iterable[str]) -> Sequence[Row]:
    """The rows whose figures come from one source each: the most trusted that there is."""
    for name in sorted(figures):
        trust = {row.variant: TRUST.index(_source(row, name)) for row in rows}
        rows = [row for row in rows if trust[row.variant] == min(trust.values())]
    return rows


def _source(row: Row, figure: str) -> str:
    if figure == "energy_mj":
        return row.measurement.energy.kind
    if figure == "latency_ms" and row.measurement.latency:
        return row.measurement.latency.provenance
    if figure == "memory_kib" and row.measurement.memory:
        return row.measurement.memory.provenance
    return "measured"  # sizes are what the files have


def _left_out(complete: Sequence[Row], candidates: Sequence[Row]) -> str:
    names = [row.variant for row in complete if row not in candidates]
    return f"; not compared, because their figures are of a less trusted kind: {', '.join(names)}" if names else ""


def _nobody(device: str, rows: Sequence[Row], ran: Sequence[Row], figures: Iterable[str]) -> str:
    if not rows:
        return f"{device}: the comparison holds no variant for this device; measure it: `tercet run`"
    if not ran:
        return (
            f"{device}: no variant ran; {rows[0].variant}: {rows[0].measurement.reason or rows[0].measurement.status}"
        )
    return f"{device}: no variant that ran has every figure that the budget asks for: {', '.join(sorted(figures))}"


def _reason(champion: Row, minimize: str, within: int, distances: dict[str, dict[str, float]]) -> str:
    name, count = champion.variant, len(distances)
    if within:
        return f"{name} has the least {minimize} of those that keep to the budget ({within} of {count})"
    over = [f"{goal} by {share:.1%}" for goal, share in distances[name].items() if share]
    return f"none of the {count} compared keeps to the budget; {name} is nearest, beyond it in {', '.join(over)}"
