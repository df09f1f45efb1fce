"""What a target and its draft cost together, beside what the target costs alone."""

from typing import Any, Literal

from pydantic import Field

from tasks.records.base import Record
from tasks.records.measurements import Phase, Ratio, Status


class Speculation(Record):
    """`out/speculation/<target>+<draft>-<ahead>@<device>.json`: greedy text with a draft's proposals, on one device.

    A run of both phases is a whole text of so many tokens, the same in both.
    """

    schema_version: Literal[1] = 1
    target: str  # variants
    draft: str
    device: str
    device_kind: str
    ahead: int  # tokens that are proposed at a time
    status: Status
    reason: str | None = None  # always there unless the status is ok
    mode: Literal["quick", "full"]
    target_sha256: str
    draft_sha256: str
    prompts: int = 0  # that were gone on from, by turns
    proposed: int = 0  # tokens, in all runs
    accepted: int = 0  # of these, those that the target would have written itself
    calls: int = 0  # of the target
    plain: Phase = Phase()
    speculated: Phase = Phase()  # its ratio is over plain, paired window by window
    environment: dict[str, Any] = Field(default_factory=dict)

    @property
    def acceptance(self) -> float | None:
        """The share of the proposals that stayed; null where there were none."""
        return self.accepted / self.proposed if self.proposed else None

    @property
    def ratio(self) -> Ratio | None:
        """Of the time for the same text, over the target alone."""
        return self.speculated.ratio

    @property
    def pays(self) -> bool | None:
        """Whether the same text comes sooner; null where the windows cannot tell, or nothing was measured."""
        if self.status != "ok" or self.ratio is None or self.ratio.kind != "interval":
            return None
        if self.ratio.low <= 1 <= self.ratio.high:
            return None
        return self.ratio.high < 1
