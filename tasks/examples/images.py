"""From the bytes of an image file to pixels, whatever the file's own form.

What is seen is what counts: an image lies as its EXIF note says, a transparent one stands on white, palettes and CMYK
become colours, 16 bits become 8. An image of another size is resized with the mean of what falls into each pixel
(bilinear, antialiased); its sides are not kept in proportion.
"""

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG")
WHITE = (255, 255, 255, 255)
DEEP = 2**16 - 1  # the largest value of 16 bits
DEPTH, COLOUR = 24, 25  # where a PNG says how many bits a sample has, and what its samples are
GREY_AND_ALPHA = 4  # of these; Pillow has none of it in 16 bits, and makes it colours
# a camera's image has up to 61 million pixels (a full frame in 2026); one with a palette takes 13 bytes for each of
# them while it is decoded, and a file of 100 KB may have any number
MOST = 2**26


class Look(NamedTuple):
    """What an image is, before anything is made of it."""

    height: int
    width: int
    grey: bool


def look(content: bytes) -> Look:
    """The size of an image and whether it is grey; all of it is decoded.

    Raises:
        ValueError: it is no whole image of a known format, or has more than `MOST` pixels.
    """
    image = _opened(content)
    return Look(image.height, image.width, image.mode == "L")


def decode(content: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels of an image: uint8 [height, width, channels] as `shape` says, with one channel or three.

    Raises:
        ValueError: it is no whole image of a known format, or has more than `MOST` pixels.
    """
    from PIL import Image

    height, width, channels = shape
    image = _as(_opened(content), "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(shape)


def _opened(content: bytes) -> "Image.Image":
    """An image of mode L or RGB, the right way up."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _within(image)
        image.load()
        if "transparency" in image.info and image.format == "PNG":
            image.info["transparency"] = _as_pixels(image.info["transparency"], image.mode, depth=content[DEPTH])
        grey = image.mode in ("1", "L", "LA") or (image.format == "PNG" and content[COLOUR] == GREY_AND_ALPHA)
        ImageOps.exif_transpose(image, in_place=True)
        return _plain(image, grey=grey)
    except UnidentifiedImageError:
        raise ValueError(f"no image of {' or '.join(FORMATS)}") from None
    # the file is a stranger's: Pillow raises many things for a broken one
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from None


def _within(image: "Image.Image") -> None:
    """Refuse an image by what its header says, before there is memory for it."""
    if image.width * image.height > MOST:
        raise ValueError(f"up to {MOST} pixels expected; received {image.width} × {image.height}")


def _as_pixels(key: Any, mode: str, depth: int) -> Any:
    """The colour that a PNG calls transparent, in the depth in which Pillow gives its pixels.

    The file has it in its own (PNG, third edition, 11.3.1.1), and Pillow hands that on. Of 16 bits in three colours it
    gives the upper eight, and a colour is known by those.
    """
    if mode == "L" and isinstance(key, int):
        return key * 255 // (2**depth - 1)
    if mode == "RGB" and depth == 16:
        return tuple(part >> 8 for part in key)
    return key


def _plain(image: "Image.Image", *, grey: bool) -> "Image.Image":
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey
        deep: NDArray[Any] = np.asarray(image).astype(np.int32)
        deep = np.where(deep == image.info.get("transparency", -1), DEEP, deep)  # on white
        return Image.fromarray(((deep * 255 + DEEP // 2) // DEEP).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, WHITE)
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return _as(image, "L" if grey else "RGB")


def _as(image: "Image.Image", mode: str) -> "Image.Image":
    return image if image.mode == mode else image.convert(mode)  # which would copy
