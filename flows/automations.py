"""What a Prefect server does of itself about runs that end badly: it ends those that died, and tells somebody."""

from datetime import timedelta

from prefect.automations import EventTrigger, Posture, ResourceSpecification
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore
from pydantic import SecretStr

from tasks.services.python import HEARTBEAT_S

SILENCE = "end runs whose process has died"
SILENT_S = 3 * HEARTBEAT_S
DIED = f"no heartbeat of its process for {SILENT_S} s: it, or the worker that was to begin it, has died"
TELL = "tell of runs that have failed"
BLOCK = "tercet-notify"
RUNS = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})
ENDED_BADLY = {f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut")}
# what chats take: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
MESSAGE = (
    '{"text": {{ (flow.name ~ " (" ~ flow_run.name ~ "): " ~ flow_run.state.name ~ ": " ~ flow_run.state.message ~ " "'
    " ~ flow_run|ui_url) | tojson }}}"
)


def watch_heartbeats() -> None:
    """Have the server end a run as crashed that has been silent for three heartbeats.

    Prefect's own recipe for servers of one's own, with the heartbeat that it asks for (`HEARTBEAT_S`, which the worker
    sets); any event of the run counts as a sign of life. It holds for runs that a worker has taken and not begun, too:
    if that worker dies, nobody else takes them. A run that has ended is left alone: the server refuses to have what is
    ended crash. One that was only slow to begin runs on, and says so.
    """
    _have(
        AutomationCore(
            name=SILENCE,
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat", "prefect.flow-run.Pending"},
                expect={"prefect.flow-run.*"},
                match=RUNS,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=SILENT_S),
            ),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message=DIED)],
        )
    )


def tell_of_failures(url: str) -> None:
    """Have the server send a line to a web hook when a run fails, crashes or takes too long.

    Args:
        url: which often is a secret; the server keeps it as one.
    """
    block = Webhook(method="POST", url=SecretStr(url)).save(BLOCK, overwrite=True)
    _have(
        AutomationCore(
            name=TELL,
            trigger=EventTrigger(
                expect=ENDED_BADLY,
                match=RUNS,
                for_each={"prefect.resource.id"},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[CallWebhook(block_document_id=block, payload=MESSAGE)],
        )
    )


def _have(wanted: AutomationCore) -> None:
    """Make it, or make the one of that name what is wanted."""
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(wanted.name)
        if found:
            client.update_automation(found[0].id, wanted)
        else:
            client.create_automation(wanted)
