"""The image sets of `tf_keras.datasets`, by name; downloaded once into `$KERAS_HOME/datasets` (else `~/.keras`).

tf_keras checks the hash of what it downloads for all but fashion_mnist. It unpickles the CIFAR batches that it has
unpacked there, so that folder must be the user's own: its fallback to the shared /tmp is refused here.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError, DownloadError, ParamsError, chain, suggest
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

CONNECTION_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class _Dataset:
    files: tuple[str, ...]  # in the cache's folder `datasets`
    classes: tuple[str, ...]


_DIGITS = tuple("0123456789")
_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_FASHION_FILES = tuple(
    f"fashion-mnist/{split}-{part}-ubyte.gz" for split in ("train", "t10k") for part in ("images-idx3", "labels-idx1")
)
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
DATASETS = {
    "mnist": _Dataset(("mnist.npz",), _DIGITS),
    "fashion_mnist": _Dataset(_FASHION_FILES, _FASHION),
    "cifar10": _Dataset(("cifar-10-batches-py.tar.gz",), _CIFAR10),
    "cifar100": _Dataset(("cifar-100-python.tar.gz",), tuple(_CIFAR100.split())),
}


def check(params: Prepare) -> None:
    """Look whether there is such a set, and a folder to keep it in; whether it can be downloaded is not asked.

    Raises:
        ParamsError: there is no such set.
        DataError: the folder cannot be written to.
    """
    name = str(params.dataset)
    if name not in DATASETS:
        raise ParamsError(f"prepare.dataset: received {name!r}; {suggest(name, DATASETS)}")
    _cache()


def load(params: Prepare) -> Source:
    """Load the set named `params.dataset` as uint8 [n, height, width, channels], downloading it if need be.

    Raises:
        ParamsError: there is no such set.
        DownloadError: the download failed; another try may be worth it.
        DataError: the cached files are broken.
    """
    check(params)
    name = str(params.dataset)
    dataset, cache = DATASETS[name], _cache()
    train, test = _fetch(name, cache)
    origin = {Path(file).name: sha256(cache / "datasets" / file) for file in dataset.files}
    classes = len(dataset.classes)
    return Source(
        {"image": "image"}, _examples(name, *train, classes), _examples(name, *test, classes), dataset.classes, origin
    )


def _cache() -> Path:
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise DataError(f"{cache}: cannot be written to; set KERAS_HOME to a folder for downloaded data sets")
    return cache


def _fetch(name: str, cache: Path) -> tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...]:
    module = import_module(f"tf_keras.datasets.{name}")
    files = [cache / "datasets" / file for file in DATASETS[name].files]
    kept = [file for file in files if file.exists()]
    try:
        with _connection_timeout(CONNECTION_TIMEOUT_S):
            pairs: tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...] = module.load_data(cache_dir=str(cache))
    except Exception as error:  # a true boundary: tf_keras itself raises bare Exception when a download fails
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        fetched = [file for file in files if file.exists() and file not in kept]
        for file in fetched:  # maybe half of it: not every set has a hash by which tf_keras would tell
            file.unlink()
        kind = DownloadError if fetched or _of_the_network(error) else DataError
        raise kind(
            f"{name}: tf_keras could not load it ({reason}); check the network, or put "
            f"{', '.join(DATASETS[name].files)} into {cache / 'datasets'}, or delete what is broken there"
        ) from None
    return pairs


def _of_the_network(error: BaseException) -> bool:
    """Whether it was the connection that failed, at the bottom of an error."""
    return any(isinstance(link, URLError | ConnectionError | TimeoutError) for link in chain(error))


@contextmanager
def _connection_timeout(seconds: float) -> Iterator[None]:
    """`get_file` sets no time limit of its own, so that a silent server would hang the stage for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _examples(name: str, images: NDArray[np.uint8], labels: NDArray[np.uint8], classes: int) -> Arrays:
    numbers = labels.reshape(-1).astype(np.int64)
    if len(images) != len(numbers) or not len(images):
        raise DataError(f"{name}: one label per image expected; received {len(images)} images, {len(numbers)} labels")
    if numbers.max() >= classes:
        raise DataError(f"{name}: labels from 0 to {classes - 1} expected; received {numbers.max()}")
    return Arrays({"image": images[..., np.newaxis] if images.ndim == 3 else images}, {LABEL: numbers})


SOURCE = DataSource(schema=Prepare, check=check, load=load)
