"""`tercet save`: a language model of the project as a folder that others load."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks import params, paths
from tasks.errors import ModelError, ParamsError, WordsError, suggest
from tasks.packages import located
from tasks.params import Decoder, Distill, Family, Params
from tasks.params.models import Transformer

if TYPE_CHECKING:
    import tf_keras


def save(model: str, folder: Path) -> str:
    """Write `model`, trained or compressed, as a folder of Hugging Face, and say so.

    Raises:
        WordsError: the project has no model of that name.
        ParamsError: it is no language model.
        ModelError: the model has not been made, or the format has no word for what became of it; the folder is there.
    """
    settings = params.load()
    known = (*settings.baselines, *settings.compress)
    if model not in known:
        raise WordsError(f"no model is named {model!r}; {suggest(model, known)}")
    begun = _begun(settings, model)
    if not isinstance(begun, Decoder | Transformer):
        raise ParamsError(f"{model}: of the family {begun.family}; a decoder and a transformer have such a folder")
    if not (paths.model(model) / "card.json").exists():
        raise ModelError(f"{paths.model(model)}: not made yet: `tercet run`")
    if folder.exists():
        raise ModelError(f"{folder}: is there already; name a folder that is to be made")
    from tasks.checkpoints import load, write
    from tasks.training import keras_files

    network, _ = keras_files.load(model)
    if isinstance(begun, Decoder):
        write.write(network, load.load(located(begun.source)), folder)
    else:
        _write_own(network, begun, folder)
    return f"{folder}: {model}, as others load it ({', '.join(sorted(path.name for path in folder.iterdir()))})"


def _begun(settings: Params, model: str) -> Family:
    """What a model began as: a student of another family, or the baseline."""
    for name in (model, *settings.ancestors(model)):
        entry = settings.compress.get(name)
        if isinstance(entry, Distill) and entry.model is not None:
            return entry.model
    return settings.model


def _write_own(network: "tf_keras.Model", model: Transformer, folder: Path) -> None:
    from tasks.checkpoints import write
    from tasks.examples import dataset, preprocess, vocabulary
    from tasks.models import transformer

    (entry,) = preprocess.read(paths.DATA / "preprocess.json")["inputs"].values()
    made = vocabulary.maker(entry)
    words = (made.to_str(), None if "tokenizer" in entry else vocabulary.end(entry)) if made else None
    spec = transformer.of_data(model, dataset.spec())
    write.write_own(network, spec, transformer.THETA, words, folder)
