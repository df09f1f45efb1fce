"""Recordings in a folder for each class: `.wav` files of one channel and 16 bits."""

import wave
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare
from tasks.params.section import Count

LOUDEST = 2**15


class Recordings(Prepare):
    """What `prepare` says of recordings, beside what it says of all data."""

    source: Literal["recordings"]  # type: ignore[assignment]  # the type of its base names Tercet's own sources
    path: str  # the folder
    samples: Count = 256  # of each recording, from its beginning


def check(section: Recordings) -> None:
    """Look whether the recordings are there.

    Raises:
        DataError: they are not.
    """
    if not any(Path(section.path).glob("*/*.wav")):
        raise DataError(f"{section.path}: no .wav file; prepare.path names a folder with a folder for each class")


def load(section: Recordings) -> Source:
    """The samples from -1 to 1, float32 [n, samples, 1], and the class of each recording.

    Raises:
        DataError: there is none, or one is of another form or too short; the message names the file.
    """
    check(section)
    files = sorted(Path(section.path).glob("*/*.wav"))
    classes = tuple(sorted({file.parent.name for file in files}))
    heard = np.stack([_read(file, section.samples) for file in files])
    label = np.array([classes.index(file.parent.name) for file in files], np.int64)
    origin = {f"{file.parent.name}/{file.name}": sha256(file) for file in files}
    return Source({"sound": "array"}, Arrays({"sound": heard}, {LABEL: label}), None, classes, origin)


def _read(file: Path, samples: int) -> Array:
    try:
        with wave.open(str(file)) as sound:
            form = (sound.getnchannels(), sound.getsampwidth())
            content = sound.readframes(samples)
    except (wave.Error, EOFError) as error:
        raise DataError(f"{file}: {error}; a .wav file expected") from None
    if form != (1, 2):
        raise DataError(f"{file}: one channel of 16 bits expected; received {form[0]} of {8 * form[1]}")
    if len(content) < 2 * samples:
        raise DataError(f"{file}: {samples} samples expected; received {len(content) // 2}; set prepare.samples")
    return np.frombuffer(content, "<i2").astype(np.float32)[:, None] / LOUDEST


SOURCE = DataSource(schema=Recordings, check=check, load=load)
