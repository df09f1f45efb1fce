"""What an image may cost, and that depth and transparency become what is seen."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tasks.examples import images
from tests.bundles import IMAGES
from tests.serving import bundle, serving


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG with a palette of which one colour is transparent; by itself without the rows that it says it has."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    colours = chunk(b"PLTE", bytes(3)) + chunk(b"tRNS", b"\0")
    return b"\x89PNG\r\n\x1a\n" + head + colours + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(form: str, *size: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, form)
    return stream.getvalue()


READERS: list[Callable[[bytes], object]] = [images.look, lambda content: images.decode(content, (2, 2, 3))]


@pytest.mark.parametrize("read", READERS)
def test_an_image_of_more_pixels_than_a_camera_makes_is_refused_by_its_header(read: Callable[[bytes], object]) -> None:
    with pytest.raises(ValueError, match=r"up to 67108864 pixels expected; received 8193 × 8192$"):
        read(png(8193, 8192))
    with pytest.raises(ValueError, match="truncated"):
        read(png(8192, 8192))


@pytest.mark.parametrize("form", images.FORMATS)
@pytest.mark.parametrize("read", READERS)
def test_the_last_pixel_counts(read: Callable[[bytes], object], form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST", 12 * 10)
    read(encoded(form, 12, 10))
    with pytest.raises(ValueError, match=r"received 11 × 11$"):
        read(encoded(form, 11, 11))


def test_a_server_refuses_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(bundle(tmp_path_factory.mktemp("images") / "b", inputs=IMAGES)) as client:
        told = client.ask("POST", "/predict", png(9000, 9000, bytes(9001) * 9000), "image/png")
        assert (told.status, told.json["error"]) == (
            422,
            "cannot be decoded: up to 67108864 pixels expected; received 9000 × 9000",
        )


def test_each_of_16_bits_becomes_the_nearest_of_8() -> None:
    deep = np.arange(2**16).reshape(256, 256)
    stream = io.BytesIO()
    Image.fromarray(deep.astype(np.uint16)).save(stream, "PNG")
    found = images.decode(stream.getvalue(), (256, 256, 1))[..., 0]
    np.testing.assert_array_equal(found, np.rint(deep / 257))
