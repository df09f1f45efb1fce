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


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 3, key: bytes = b"\0") -> bytes:
    """A PNG of which one colour is transparent; by itself with a palette, without the rows that it says it has."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    colours = (chunk(b"PLTE", bytes(3)) if colour == 3 else b"") + (chunk(b"tRNS", key) if key else b"")
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


@pytest.mark.parametrize(
    ("depth", "samples", "key"),
    [
        (1, bytes([0b01100000]), [0]),
        (2, bytes([0b00011011]), [1]),
        (4, bytes([0x05, 0x8F]), [5]),
        (8, bytes([0, 5, 128, 255]), [128]),
        (16, struct.pack(">4H", 0x80, 0x1234, 0x8000, 0xFFFF), [0x1234]),
        (8, bytes([128, 128, 128, 0, 0, 0, 255, 16, 32, 1, 2, 3]), [128, 128, 128]),
        (16, struct.pack(">12H", *[0x8000] * 3, 0, 0, 0, 0xFFFF, 0x1000, 0x2000, *[0x80] * 3), [0x8000] * 3),
    ],
)
def test_the_transparent_colour_of_any_depth_is_white(depth: int, samples: bytes, key: list[int]) -> None:
    """As libpng has it, by TensorFlow."""
    import tensorflow as tf

    colour = 0 if len(key) == 1 else 2
    content = png(4, 1, b"\0" + samples, depth, colour, struct.pack(f">{len(key)}H", *key))
    found = images.decode(content, (1, 4, len(key)))[0]
    pixels = tf.io.decode_png(content, channels=4, dtype=tf.uint16).numpy()[0] / 65535
    seen = 255 * (pixels[:, : len(key)] * pixels[:, 3:] + 1 - pixels[:, 3:])
    np.testing.assert_allclose(found, seen, atol=0.51)
    assert (pixels[:, 3] == 0).any()


@pytest.mark.parametrize(("depth", "form"), [(8, ">6B"), (16, ">6H")])
def test_grey_that_lets_through_is_grey_in_any_depth(depth: int, form: str) -> None:
    most = 2**depth - 1
    rows = b"\0" + struct.pack(form, most // 2, most, most // 2, 0, 0, most)
    content = png(3, 1, rows, depth, images.GREY_AND_ALPHA, b"")
    assert images.look(content) == (1, 3, True)
    assert images.decode(content, (1, 3, 1)).ravel().tolist() == [127, 255, 0]
