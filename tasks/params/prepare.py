"""Where the data comes from."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from tasks.params.section import MOST, Count, Section, Seed, Share

Pixels = Annotated[int, Field(ge=1, le=2**12)]
Normalize = Literal["unit", "standard", "none"]
Source = Literal[
    "brain", "breast-cancer", "csv", "digits", "docstrings", "folder", "idx", "keras", "medmnist", "npz", "photos",
    "pydoc", "ratings", "sentences", "series", "text", "tsv",
]  # fmt: skip
NEEDED = {
    "csv": ("path", "target"), "folder": ("path",), "idx": ("path",), "medmnist": ("path",), "npz": ("path",),
    "sentences": ("path",), "text": ("path",), "tsv": ("path",), "keras": ("dataset",), "series": ("target",),
}  # fmt: skip
CLASSES_ALONE = (  # they tell no values
    "brain", "breast-cancer", "digits", "docstrings", "folder", "idx", "keras", "photos", "pydoc", "sentences", "text",
    "tsv",
)  # fmt: skip
GROUPED = ("docstrings", "folder", "sentences")  # of those, by files or folders that no column names
WORDS = ("csv", "docstrings", "npz", "sentences", "tsv")
TOKENS = ("pydoc", "text")
READ_BY = {  # keys that the other sources do not look at; those of `height` and the like are beside their checks
    "path": (*(name for name, keys in NEEDED.items() if "path" in keys), "ratings", "series"),
    "dataset": ("keras",),
    "text": ("sentences",),
    "columns": ("ratings",),
    "tokens": TOKENS,
    "bigrams": WORDS,
    "vocabulary": (*WORDS, *TOKENS),
    "length": (*WORDS, *TOKENS, "series"),
}
BYTES = 256
Size = Annotated[int, Field(ge=1, le=MOST)]


class Feature(Section):
    """What one input is, or one column of a table, and how it is made ready; null: as the source or `prepare` says."""

    kind: Literal["image", "text", "number", "series", "category", "date", "id", "tokens", "unused"] | None = None
    normalize: Normalize | None = None
    # text, a column's categories: how many are kept; category, id, tokens: how many there may be. null: as there are
    vocabulary: Size | None = None
    length: Count | None = None  # text


class Split(Section):
    """How validation and test are parted from training."""

    # random: by chance, each class in its share; time: what is latest judges what is earlier; group: a group (a user, a
    # patient) is never on both sides
    by: Literal["random", "time", "group"] = "random"
    # that has the times or groups: of a csv, of rows of sentences, or `columns.<name>` of an npz. Groups of a folder's
    # images or texts are the folders within those of the classes, those of docstrings the files: no column names them
    column: str | None = None
    # equal examples, as rows of a table. together: on one side where they are parted by chance, and an error where they
    # are in two splits all the same; allowed: they are observations of their own (a table of few categories)
    repeats: Literal["together", "allowed"] = "together"


class Columns(Section):
    """What a file of ratings calls its columns."""

    user: str = "user"
    item: str = "item"
    rating: str = "rating"
    time: str = "time"


class Prepare(Section):
    """Where the data comes from and how it is split and normalised."""

    source: Source
    # folder: the folder, or an archive of it (tar, ZIP); idx, npz, tsv: the folder; medmnist, series: the file; csv,
    # sentences, text: the folder or the file
    path: str | None = None
    # csv: the column that is to be told; of values and labels, or several. sentences: the column or key; null: label
    target: str | tuple[str, ...] | None = None
    text: str = "text"  # sentences: the column or the key that holds the text
    dataset: str | None = None  # keras: the loader's name in tf_keras.datasets
    # folder: what images are resized to, needed where they differ in size
    height: Pixels | None = None
    width: Pixels | None = None
    channels: Literal[1, 3] | None = None  # folder: null is 1 where every image is grey, else 3
    # folder: its files are copied into out/data, in packed shards that travel with it; those of an archive always are
    pack: bool = False
    # reconstruction: of what is normal, class 0; regression: values; multilabel: any number of labels at once;
    # language: every token of a text from those before it
    task: Literal["classification", "reconstruction", "regression", "multilabel", "language"] = "classification"
    # images: to 0..1, to mean 0 and deviation 1, or left at 0..255; arrays: standard as images, else left as they are;
    # a table's numbers: from their least to their most as 0..1, standard, or left as they are
    normalize: Normalize = "unit"
    columns: Columns = Columns()  # ratings: as `{user: userId, item: movieId, time: timestamp}` of MovieLens
    liked: float = 4.0  # ratings: so much or more
    candidates: Annotated[int, Field(ge=2, le=10_000)] = 100  # ratings: items that a user may be shown, one liked next
    # principal components that images and numbers are brought down to, learnt from the training split; null: none are
    components: Count | None = None
    vocabulary: Annotated[int, Field(ge=3, le=MOST)] = 10_000  # text: tokens kept, padding and unknown too
    # text: two tokens in a row are one more, behind those of the text, where they are in the vocabulary
    bigrams: bool = False
    length: Count = 64  # text: tokens of a sentence, or of a window; series: rows of a window
    horizon: Count = 1  # series: rows from the last of a window to what is told
    # series: what is told, and what a network is given of a window: differences, or 100 times those of logarithms
    change: Literal["difference", "log"] = "difference"
    # of the sources pydoc and text; bpe: pieces of words, `vocabulary` in all, learnt from the training split
    tokens: Literal["bytes", "characters", "bpe", "tokenizer"] = "bytes"
    tokenizer: str | None = (
        None  # tokens: tokenizer: a tokenizer.json, a checkpoint's folder, a .gguf file, package:NAME
    )
    features: dict[str, Feature] = Field(default_factory=dict)  # by the name of the input; csv: of the column
    split: Split = Split()
    validation: Share = 0.1  # of the training split; only for a source without one of its own
    test: Share = 0.2  # likewise
    calibration: Count = 100  # examples, drawn from the training split
    limit: Annotated[int, Field(ge=10, le=MOST)] | None = None  # at most so many examples in each split, for trying out
    seed: Seed = 0

    @model_validator(mode="after")
    def _source_has_what_it_needs(self) -> Self:
        for needed in NEEDED.get(self.source, ()):
            if getattr(self, needed) is None:
                raise ValueError(f"source {self.source!r} needs the key {needed!r}")
        untold = {*CLASSES_ALONE, "medmnist", "npz"} - {"sentences"}
        if self.target is not None and self.source in untold:
            raise ValueError(f"target is a column of the sources csv and sentences; received source {self.source!r}")
        if self.source != "folder" and any((self.height, self.width, self.channels, self.pack)):
            raise ValueError(
                f"height, width, channels and pack are of the source 'folder'; received source {self.source!r}"
            )
        values, labels = self.task == "regression", self.task == "multilabel"
        if ((values or labels) and self.source in CLASSES_ALONE) or (values and self.source == "medmnist"):
            also = "" if values else ", medmnist too"
            raise ValueError(
                f"the task {self.task} is of the sources csv and npz{also}; received source {self.source!r}"
            )
        if self.task == "language" and self.source not in ("pydoc", "text"):
            raise ValueError(f"the task language is of the sources pydoc and text; received source {self.source!r}")
        if isinstance(self.target, tuple) and self.task not in ("regression", "multilabel"):
            raise ValueError(f"several targets are for regression and multilabel; received the task {self.task!r}")
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width go together; received one of them")
        return self

    @model_validator(mode="after")
    def _source_reads_what_is_told(self) -> Self:
        for key, sources in READ_BY.items() if self.source in get_args(Source) else ():  # a plug-in's are its own
            if self.source not in sources and getattr(self, key) != type(self).model_fields[key].default:
                allowed = ", ".join(sorted(sources))
                raise ValueError(f"{key} is of the sources {allowed}; received source {self.source!r}")
        return self

    @model_validator(mode="after")
    def _ratings_are_told(self) -> Self:
        if self.source == "ratings" and (self.task, self.split.by) != ("classification", "random"):
            raise ValueError(
                "source 'ratings' needs the task classification, and parts users by time itself; "
                f"received the task {self.task!r} and a split by {self.split.by}"
            )
        if self.source != "ratings" and (self.liked, self.candidates) != (4.0, 100):
            raise ValueError(f"liked and candidates are of the source 'ratings'; received source {self.source!r}")
        return self

    @model_validator(mode="after")
    def _a_series_is_told(self) -> Self:
        if self.source == "series" and (self.task, self.split.by) != ("regression", "time"):
            raise ValueError(
                "source 'series' needs the task regression and a split by time; "
                f"received the task {self.task!r} and a split by {self.split.by}"
            )
        if self.source != "series" and (self.horizon, self.change) != (1, "difference"):
            raise ValueError(f"horizon and change are of the source 'series'; received source {self.source!r}")
        if self.source == "series" and isinstance(self.target, tuple):
            raise ValueError(f"source 'series' tells of one column; received {len(self.target)} targets")
        for name, told in self.features.items() if self.source == "series" else ():
            kinds = ("series",) if name == self.target else ("series", "unused")
            if told.kind not in kinds or told.known() != {"kind": told.kind}:
                raise ValueError(
                    f"features.{name}: {{kind: {' or '.join(kinds)}}} alone expected of a column of source 'series', "
                    f"as `normalize` is of all; received {told.known()}"
                )
        return self

    @model_validator(mode="after")
    def _tokens_are_told(self) -> Self:
        if (self.tokens == "tokenizer") != (self.tokenizer is not None):
            raise ValueError("tokens: tokenizer and the key `tokenizer` go together; received one of them")
        if self.tokens == "bpe" and self.vocabulary <= BYTES:
            raise ValueError(f"vocabulary: of bpe more than {BYTES}, the bytes; received {self.vocabulary}")
        return self

    @model_validator(mode="after")
    def _split_is_told(self) -> Self:
        by, folders = self.split.by, self.source in GROUPED
        alone = (*CLASSES_ALONE, "medmnist")
        if by != "random" and self.source in alone and not (by == "group" and folders):
            also = f", by group of {', '.join(GROUPED)} too" if by == "group" else ""
            raise ValueError(f"split by {by} is of the sources csv and npz{also}; received source {self.source!r}")
        if by == "group" and self.source == "sentences":  # rows have a column, and files folders: the source looks
            return self
        if (self.split.column is None) != (by == "random" or folders):
            held = "are of the groups whose folders or files hold them: no key `column` goes with that"
            told = f"examples of {self.source} {held}"
            usual = "split by time and by group need the key `column`, and random has none"
            raise ValueError(told if folders and by == "group" else usual)
        return self

    def feature(self, name: str) -> Feature:
        """What is told of an input; how it is made ready is as for all where nothing is told of it in particular."""
        told = self.features.get(name, Feature())
        return told.model_copy(
            update={"normalize": told.normalize or self.normalize, "length": told.length or self.length}
        )
