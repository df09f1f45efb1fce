"""The flow that a device's own worker runs: one pair, for the run that waits for it."""

import json
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.elsewhere import exchange
from flows.views.prefect import heed_signals
from tasks.errors import TercetError


@flow(name="tercet-measured", flow_run_name="{parcel[words]}")
def measured(parcel: dict[str, Any]) -> State[None]:
    """Measure what a parcel names, in the clone of the project that the worker works in.

    Args:
        parcel: as `exchange.carry_out` takes it.

    Returns:
        A state whose message is the hashes of what was made, as JSON, or why it could not be.
    """
    heed_signals()
    try:
        hashes = exchange.carry_out(parcel)
    except TercetError as error:
        return Failed(message=str(error))
    return Completed(message=json.dumps(hashes))
