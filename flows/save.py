"""`tercet save`: a language model of the project as a folder that others load."""

from pathlib import Path

from tasks import params, paths
from tasks.errors import ModelError, ParamsError, suggest
from tasks.packages import located
from tasks.params import BASELINE, Decoder


def save(model: str, folder: Path) -> str:
    """Write `model`, trained or compressed, as a folder of Hugging Face, and say so.

    Raises:
        ParamsError: the project has no language model, or none of that name.
        ModelError: the model has not been made, or the format has no word for what became of it; the folder is there.
    """
    settings = params.load()
    if not isinstance(settings.model, Decoder):
        raise ParamsError(f"model.family: {settings.model.family}; only a decoder has such a folder to become")
    known = (BASELINE, *settings.compress)
    if model not in known:
        raise ParamsError(f"no model is named {model!r}; {suggest(model, known)}")
    if not (paths.model(model) / "card.json").exists():
        raise ModelError(f"{paths.model(model)}: not made yet: `tercet run`")
    if folder.exists():
        raise ModelError(f"{folder}: is there already; name a folder that is to be made")
    from tasks.checkpoints import load, write
    from tasks.training import keras_files

    source = load.load(located(settings.model.source))
    network, _ = keras_files.load(model)
    write.write(network, source, folder)
    return f"{folder}: {model}, as others load it ({', '.join(sorted(path.name for path in folder.iterdir()))})"
