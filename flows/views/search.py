"""What a search shows: the front while it runs, and at the end how far the best is from each goal."""

from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from typing import TYPE_CHECKING, Any, Self

from flows.views import terminal
from tasks.records import notation
from tasks.search.front import Aims
from tasks.search.records import Distance, Trial
from tasks.search.state import State

if TYPE_CHECKING:
    from rich.table import Table


class View:
    """A live table where standard output is a terminal, else a line for each trial."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._console = terminal.console()
        self._live: Any = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self.state.trials:
            print(f"{len(self.state.trials)} trials were made before", flush=True)
        if self._console.is_terminal:
            from rich.live import Live

            # progress bars and log lines would run through the table
            log = self._stack.enter_context((self.state.folder / "messages.log").open("a", encoding="utf-8"))
            self._stack.enter_context(redirect_stderr(log))
            self._live = self._stack.enter_context(
                Live(self.table(), console=self._console, auto_refresh=False, redirect_stderr=False, transient=True)
            )
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def tell(self, trial: Trial) -> None:
        """Show what a trial has come to."""
        if self._live:
            self._live.update(self.table(trial), refresh=True)
        else:
            done = f"trial {len(self.state.trials)} of {self.state.search.trials}"
            print(f"{done}: {trial.label}: {self.outcome(trial)}", flush=True)

    def outcome(self, trial: Trial) -> str:
        """What became of a trial, in a line."""
        if trial.status != "ok":
            return f"{trial.status}: {trial.reason}"
        known = ", ".join(
            f"{each.key} {cell(trial, each.key, self.state.aims)}" for each in self.state.search.objectives
        )
        mark = " (front)" if trial in self.state.aims.front(self.state.trials) else ""
        return known + mark

    def table(self, last: Trial | None = None) -> "Table":
        """The front so far, and the last trial beneath it."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        state, keys = self.state, self.keys()
        title = f"front after {len(state.trials)} of {state.search.trials} trials"
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("folder", justify="right")  # a suggestion that repeats a trial takes a number, too
        table.add_column("variant", overflow="fold", min_width=32)
        for key in keys:
            table.add_column(key.replace("@", "\n@ "), justify="right", no_wrap=True)
        table.add_column("goals", no_wrap=True)
        for trial in state.aims.front(state.trials):
            missed = state.aims.violation(trial.figures)
            judged = Text("kept", style="green") if not missed else Text(f"+{missed:.0%}", style="yellow")
            name = Text(f"{trial.variant}\n{trial.label}" if not trial.handwritten else f"{trial.variant} (yours)")
            cells = [cell(trial, key, state.aims) for key in keys]
            table.add_row(str(trial.number), name, *cells, judged if state.search.goals else Text(""))
        if last is not None:
            table.caption, table.caption_justify = (
                Text(f"last: {last.label}: {self.outcome(last)}", style="dim"),
                "left",
            )
        return table

    def keys(self) -> list[str]:
        """The figures that are shown: objectives, then goals."""
        return list(dict.fromkeys(each.key for each in (*self.state.search.objectives, *self.state.search.goals)))

    def conclude(self, written: Sequence[str]) -> None:
        """The front, the best and its distance from each goal, what was written, and what to do next."""
        found = self.state.found(written)
        terminal.show(self._console, self.table())
        if found.best is None:
            print("no trial has every figure that is asked for; each says why in trial.json")
        elif not found.within_goals:
            print("no trial keeps to every goal: the front is of all of them")
        if found.best is not None:
            print(f"best: {found.best}" + (", by the distance from the goals" if found.distances else ""))
        for distance in found.distances:
            print(f"  {distance_line(distance)}")
        if found.hypervolume is not None and found.handwritten_hypervolume is not None:
            own = found.handwritten_hypervolume
            print(
                f"hypervolume: {found.hypervolume:.4f}, the share of the box of all trials that the front beats; "
                f"your own variants alone {own:.4f}"
            )
        counts = ", ".join(f"{count} {status}" for status, count in sorted(found.counts.items()))
        print(f"{found.trials} trials ({counts}): {self.state.folder}")
        if found.winners:
            print(f"in params.yaml: {', '.join(found.winners)}\n`tercet run` makes and measures them")


def cell(trial: Trial, key: str, aims: Aims) -> str:
    """A figure behind the mark of its provenance."""
    if key not in trial.figures:
        return notation.UNKNOWN
    value, mark = trial.figures[key], notation.MARKS[trial.provenance[key]] if "@" in key else ""
    return f"{mark} {_written(value, aims.figure(key).unit)}".strip()


def _written(value: float, unit: str, digits: int = 3) -> str:
    """A share in percent, as everywhere; to two decimals, as trials may differ by one example of many."""
    return f"{100 * value:.2f} %" if unit == "share" else notation.significant(value, digits)


def distance_line(distance: Distance) -> str:
    """One goal: kept, or by how much it is missed."""
    if distance.value is None or distance.beyond is None or distance.share is None:
        return f"{distance.goal}: not known"
    value = notation.significant(distance.value, 4)
    if not distance.share:
        return f"{distance.goal}: kept, {value}"
    return f"{distance.goal}: {value}, beyond it by {notation.significant(distance.beyond)} ({distance.share:.1%})"
