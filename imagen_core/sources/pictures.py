"""One picture from outside: bytes of any kind → a square of RGB pixels, and what had to be done to it."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

# Formats that are decoded; others may start programs (EPS) or are documents.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO")
# Larger files and pictures are left out, so that one costs less than 1 GB of memory: our choice.
MOST_BYTES = 100_000_000
MOST_PIXELS = 64_000_000
# A shorter side than this shows nothing.
SHORTEST = 16
# What each kind is, and how it is handled; the report prints these lines.
KINDS = {
    "cropped": "not square: the largest square in the middle is kept",
    "enlarged": "smaller than the side asked for: enlarged, bicubic",
    "alpha": "transparent: laid on white",
    "cmyk": "CMYK: converted to RGB without a colour profile",
    "deep": "16 bits a channel: the upper 8 are kept",
    "turned": "turned as its EXIF says",
    "animated": "animated: the first frame is kept",
    "grey": "without colours: kept as grey RGB",
}
LEFT_OUT = {
    "broken": "cannot be decoded whole",
    "huge": f"more than {MOST_PIXELS // 1_000_000} million pixels or {MOST_BYTES // 1_000_000} MB",
    "tiny": f"shorter side below {SHORTEST} pixels",
    "no caption": "no caption, or none that is UTF-8",
    "duplicate": "the same pixels as an earlier picture",
}


@dataclass(frozen=True)
class Square:
    """A picture as it is kept, and the names in KINDS of what was done to it."""

    pixels: UInt8[np.ndarray, "3 side side"]
    kinds: tuple[str, ...]


def squared(data: bytes, side: int) -> Square | str:
    """The picture's middle square at ``side`` pixels; a name in LEFT_OUT where it cannot be used."""
    if len(data) > MOST_BYTES:
        return "huge"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    return "huge"
                if min(picture.size) < SHORTEST:
                    return "tiny"
                return _squared(picture, side)
    # Decoders of damaged files raise almost anything; the picture is counted and the work goes on.
    except Image.DecompressionBombError:
        return "huge"
    except Exception:
        return "broken"


def _squared(picture: Image.Image, side: int) -> Square:
    kinds = []
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        kinds.append("animated")
        picture.seek(0)
    if picture.mode == "CMYK":
        kinds.append("cmyk")
    if picture.mode in ("L", "LA", "1") or picture.mode.startswith("I"):
        kinds.append("grey")
    # A JPEG is decoded at a fraction of its size where that is enough.
    picture.draft("RGB", (2 * side, 2 * side))
    if picture.getexif().get(274, 1) not in (0, 1):
        kinds.append("turned")
    image = ImageOps.exif_transpose(picture)
    if image.mode.startswith("I"):
        kinds.append("deep")
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            kinds.append("alpha")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if image.width != image.height:
        kinds.append("cropped")
    if min(image.size) < side:
        kinds.append("enlarged")
    image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return Square(np.array(image).transpose(2, 0, 1), tuple(kinds))
