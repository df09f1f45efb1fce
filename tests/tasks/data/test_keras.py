import gc
import gzip
import hashlib
import io
import socket
import struct
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import numpy as np
import pytest

from tasks.data import keras
from tasks.errors import DataError, DownloadError, ParamsError, TransientError
from tasks.params import Prepare

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def encode(array):
    return gzip.compress(
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes(), mtime=0
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of fashion_mnist, whose files tf_keras takes as they are, and no network."""
    data_utils = pytest.importorskip("tf_keras.src.utils.data_utils")

    def refuse(url, *_):
        raise urllib.error.URLError(f"no network for {url} under a limit of {socket.getdefaulttimeout()} s")

    monkeypatch.setattr(data_utils, "urlretrieve", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(encode(IMAGES))
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(encode(LABELS))
    return folder


def load(dataset):
    return keras.load(Prepare(source="keras", dataset=dataset))


def test_a_cached_set_is_loaded_without_a_download(cache):
    source = load("fashion_mnist")
    assert np.array_equal(source.train.inputs["image"], IMAGES[..., np.newaxis])
    assert np.array_equal(source.test.targets["label"], LABELS)
    assert source.test.targets["label"].dtype == np.int64
    assert source.classes[9] == "Ankle boot"
    assert source.origin["t10k-images-idx3-ubyte.gz"] == hashlib.sha256(encode(IMAGES)).hexdigest()
    assert len(source.origin) == 4


def test_a_failed_download_says_what_to_do_and_has_a_time_limit(cache):
    with pytest.raises(DownloadError, match=r"mnist: .*under a limit of 60\.0 s.*check the network, or put mnist\.npz"):
        load("mnist")
    assert socket.getdefaulttimeout() is None


def test_broken_and_mislabelled_files_are_told(cache):
    (cache / "t10k-labels-idx1-ubyte.gz").write_bytes(encode(LABELS + np.uint8(1)))
    with pytest.raises(DataError, match="labels from 0 to 9 expected; received 10"):
        load("fashion_mnist")
    (cache / "t10k-labels-idx1-ubyte.gz").write_bytes(encode(LABELS)[:-12])
    with pytest.raises(DataError, match="fashion_mnist: tf_keras could not load it"):
        load("fashion_mnist")


def test_a_wrong_name_is_answered_with_a_near_match():
    with pytest.raises(ParamsError, match=r"received 'fashion-mnist'.*did you mean 'fashion_mnist'"):
        load("fashion-mnist")


def test_a_cache_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="set KERAS_HOME"):
        load("mnist")


def test_the_class_names_are_as_many_as_each_set_has():
    counts = {name: len(dataset.classes) for name, dataset in keras.DATASETS.items()}
    assert counts == {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100}


class Once(BaseHTTPRequestHandler):
    """Breaks off in the middle of the first answer."""

    answers: ClassVar[list[bytes]] = []

    def do_GET(self):
        content, whole = self.answers[0], self.server.asked > 0
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if whole else content[: len(content) // 2])

    def log_message(self, *_words):
        pass


@pytest.fixture
def server(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    Once.answers[:] = [stream.getvalue()]
    with HTTPServer(("127.0.0.1", 0), Once) as server:
        server.asked = 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# numpy leaves a broken file open
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("hashed", [True, False])
def test_a_download_that_breaks_off_may_be_tried_again(server, tmp_path, monkeypatch, hashed):
    """With a hash, by which tf_keras tells, as MNIST has one; and without, as Fashion-MNIST."""
    module = pytest.importorskip("tf_keras.src.datasets.mnist")
    plain, digest = module.get_file, hashlib.sha256(Once.answers[0]).hexdigest() if hashed else None

    def get_file(name, origin, file_hash, cache_dir):
        origin = f"http://127.0.0.1:{server.server_port}/{name}"
        return plain(name, origin=origin, file_hash=digest, cache_dir=cache_dir)

    monkeypatch.setattr(module, "get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DownloadError) as caught:
        load("mnist")
    assert issubclass(caught.type, TransientError)
    del caught
    gc.collect()  # the file that numpy left open, here and not in another test
    assert np.array_equal(load("mnist").train.inputs["image"], IMAGES[..., np.newaxis])
    assert server.asked == 2
