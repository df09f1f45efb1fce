"""A file of the registry as an artifact: its card is read off it."""

from tasks.bench.request import Made
from tasks.errors import DataError
from tasks.formats import sizes, tflite
from tasks.quantize import litert, signatures
from tasks.records import ArtifactCard
from tasks.track.versions import Version


def artifact(version: Version, like: ArtifactCard) -> Made:
    """What a version holds.

    Args:
        version: it, with its file.
        like: the card of what it is compared with; of a file that keeps a state, the ends that examples go by are its.

    Raises:
        DataError: it is no LiteRT file.
    """
    content = version.file.read_bytes()
    try:
        graph, calls = litert.inspect(content), signatures.read(tflite.parse(content))
    except tflite.DAMAGED as error:
        raise DataError(f"{version.name}: not a whole LiteRT file: {type(error).__name__}: {error}") from None
    stateful = any(call.state for call in calls)
    card = ArtifactCard(
        variant=version.tags["variant"],
        model=version.tags.get("model", like.model),
        scheme=version.tags.get("scheme", like.scheme),
        file=version.file.name,
        sha256=version.sha256,
        **sizes.of(content),
        inputs=like.inputs if stateful else graph.inputs,
        outputs=like.outputs if stateful else graph.outputs,
        signatures=calls if stateful else (),
        operators=graph.operators,
        converter="",
        no_stablehlo="the registry has the LiteRT file alone",
    )
    return Made(card, version.file)
