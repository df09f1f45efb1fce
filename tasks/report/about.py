"""What the figures of a report were made from, when they were taken, and by which versions. Pure: no clock is read."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tasks.params import Params
from tasks.records import Comparison, Subject
from tasks.revision import DIRTY

DIGITS = 12  # of a digest, to tell data apart by


def about(
    params: Params,
    comparison: Comparison,
    subjects: Sequence[Subject],
    data_sha256: str | None,
    revision: str | None = None,
) -> str:
    """A few sentences; what no record has is left out.

    Args:
        params: names the data and the seeds.
        comparison: when its pairs were measured.
        subjects: its variants: what has converted and judged them.
        data_sha256: of `out/data/card.json`, which holds the digest of every file of the data.
        revision: of the project, as `tasks.revision.commit` tells it.
    """
    said = [_data(params, comparison, data_sha256), *_taken(comparison), *_made(subjects), *_at(revision)]
    return " ".join(said)


def _data(params: Params, comparison: Comparison, sha256: str | None) -> str:
    first = next((row for row in comparison.rows if row.quality is not None), None)  # else nobody has counted
    counts = f", {first.quality_n} test and {first.validation_n} validation examples" if first else ""
    digest = f" (card.json {sha256[:DIGITS]})" if sha256 else ""
    data, several = params.prepare, params.all_seeds[1:]
    trained = f"seed{'s' if several else ''} {', '.join(map(str, params.all_seeds))}"
    return f"Data: {data.source}{digest}, split by seed {data.seed}{counts}; trained by {trained}."


def _taken(comparison: Comparison) -> Iterator[str]:
    began = [m.began_ms for m in (row.measurement for row in comparison.rows) if m.began_ms is not None]
    ended = [m.ended_ms for m in (row.measurement for row in comparison.rows) if m.ended_ms is not None]
    if began and ended:
        first, last = _minute(min(began)), _minute(max(ended))
        yield f"Figures taken {first} UTC." if first == last else f"Figures taken from {first} to {last} UTC."


def _at(revision: str | None) -> Iterator[str]:
    if revision:
        commit = revision.removesuffix(DIRTY)
        changed = "" if commit == revision else ", with changes that were not committed"
        yield f"The project was at revision {commit[:DIGITS]}{changed}."


def _minute(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _made(subjects: Sequence[Subject]) -> Iterator[str]:
    converters = dict.fromkeys(subject.artifact.converter for subject in subjects)
    runtimes = dict.fromkeys(subject.evaluation.runtime for subject in subjects)
    if subjects:
        yield f"Files made by {', '.join(converters)}; quality by {', '.join(runtimes)}."
