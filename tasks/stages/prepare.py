"""Stage `prepare`: from a data source to `out/data`, split, described and ready for every later stage."""

from tasks import paths
from tasks.examples import card, dataset, features
from tasks.examples.dataset import Source
from tasks.examples.split import split
from tasks.examples.tokens import Tokens
from tasks.files import replaced_folder, write_json
from tasks.members import SOURCES
from tasks.params import Params


def prepare(params: Params) -> None:
    """Load the source, split it and write `out/data`: raw arrays, preprocess.json and card.json.

    The same parameters and files give the same bytes.

    Raises:
        DataError: the source is missing or broken, or too small for its splits, or has what cannot be made ready.
    """
    source: Source = SOURCES.load(params.prepare.source).load(params.prepare)
    splits = split(source, params.prepare)
    if params.prepare.task in ("classification", "multilabel") and not isinstance(source.train, Tokens):
        card.tell_absent(splits, source.classes)
    described = features.preprocessing(source, splits["train"], params.prepare)
    for name, examples in splits.items():
        dataset.check(name, examples, described["inputs"])
    with replaced_folder(paths.DATA) as folder:
        for name, examples in splits.items():
            dataset.save(folder / name, examples)
        write_json(folder / "preprocess.json", described)
        told = card.of(source, splits, described, params.prepare, folder)
        write_json(folder / "card.json", told)
    card.tell_cut(told)
