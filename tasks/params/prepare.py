"""Where the data comes from."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params.section import MOST, Count, Section, Seed, Share

Pixels = Annotated[int, Field(ge=1, le=2**12)]


class Prepare(Section):
    """Where the data comes from and how it is split and normalised."""

    source: Literal["digits", "folder", "idx", "keras", "npz", "tsv"]
    path: str | None = None  # folder, idx, npz, tsv: the folder
    dataset: str | None = None  # keras: the loader's name in tf_keras.datasets
    # folder: what images are resized to, needed where they differ in size
    height: Pixels | None = None
    width: Pixels | None = None
    channels: Literal[1, 3] | None = None  # folder: null is 1 where every image is grey, else 3
    task: Literal["classification", "reconstruction"] = "classification"  # reconstruction: of what is normal, class 0
    # images: to 0..1, to mean 0 and deviation 1, or left at 0..255; arrays: standard as images, else left as they are
    normalize: Literal["unit", "standard", "none"] = "unit"
    vocabulary: Annotated[int, Field(ge=3, le=MOST)] = 10_000  # text: tokens kept, padding and unknown among them
    length: Count = 64  # text: tokens of a sentence
    validation: Share = 0.1  # of the training split
    test: Share = 0.2  # only for a source without a test split of its own
    calibration: Count = 100  # examples, drawn from the training split
    limit: Annotated[int, Field(ge=10, le=MOST)] | None = None  # at most so many examples in each split, for trying out
    seed: Seed = 0

    @model_validator(mode="after")
    def _source_has_what_it_needs(self) -> Self:
        needed = {"folder": "path", "idx": "path", "npz": "path", "tsv": "path", "keras": "dataset"}.get(self.source)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"source {self.source!r} needs the key {needed!r}")
        if self.source != "folder" and any((self.height, self.width, self.channels)):
            raise ValueError(f"height, width and channels are of the source 'folder'; received source {self.source!r}")
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width go together; received one of them")
        return self
