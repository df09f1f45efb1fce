"""The search as a flow that a server starts: `tercet search` where nobody sits."""

from prefect import flow

from flows.alone import alone
from flows.search import asked
from flows.trials import search
from flows.views.prefect import heed_signals, run_name


@flow(name="tercet-search-on-demand", flow_run_name=run_name)
def searched(trials: int | None = None) -> None:
    """Search as the section `search` of params.yaml says, and write the winners into it; it goes on where it was.

    Args:
        trials: instead of the number in params.yaml.

    Raises:
        TercetError: another process is at work in the project, or the search cannot be made.
    """
    heed_signals()
    with alone("tercet search"):
        search(asked(trials))
