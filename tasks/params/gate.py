"""What a change may cost before `tercet gate` stops it."""

from typing import Annotated, Any

from pydantic import Field, create_model

from tasks.params.section import Section
from tasks.records.figures import FIGURES

SLOWER = HUNGRIER = 0.05
LARGER = 0.10
USUAL = {
    **dict.fromkeys(("latency_ms", "ttft_ms", "token_ms"), SLOWER),
    "instructions": SLOWER,
    **dict.fromkeys(("energy_mj", "prefill_energy_mj_per_token", "energy_mj_per_token"), HUNGRIER),
    **dict.fromkeys(("bytes", "gzip_bytes"), LARGER),
}
COMPARED = [  # in turns, or to the last digit
    key
    for key, figure in FIGURES.items()
    if figure.better == "lower" and (figure.turns or figure.scope == "file" or key == "instructions")
]
Limit = Annotated[float, Field(gt=0)] | None
_GROWTH: dict[str, Any] = {key: (Limit, USUAL.get(key)) for key in COMPARED}
_Growth: Any = create_model("Growth", __base__=Section, **_GROWTH)


class Growth(_Growth):
    """How much more of a figure is too much, as a share of what it was, by its key; null: any is taken."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that there are, by key, in the order of the table of figures."""
        return {key: limit for key in COMPARED if (limit := getattr(self, key)) is not None}


class Gate(Section):
    """The losses that are to be found: one as large as a limit stops a change, one that is surely less does not."""

    max_quality_drop: Limit = 0.01  # in the metric's own unit; null: any is taken
    max_growth: Growth = Growth()
    seconds: Annotated[float, Field(gt=0)] = 180.0  # that a variant may be measured for on a device
