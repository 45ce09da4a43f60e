"""Pictures of awkward kinds: each becomes a square of RGB in the stated way, or is left out under its name."""

from __future__ import annotations

import numpy as np
import pytest
from made_pictures import encoded, picture, png
from PIL import Image

from imagen_core.sources import pictures
from imagen_core.sources.pictures import KINDS, LEFT_OUT, Square, squared


def kept(data: bytes, side: int = 64) -> Square:
    found = squared(data, side)
    assert isinstance(found, Square), found
    assert found.pixels.shape == (3, side, side) and found.pixels.dtype == np.uint8
    assert set(found.kinds) <= KINDS.keys()
    return found


def test_a_plain_picture_is_shrunk_and_nothing_is_noted() -> None:
    assert kept(png(1)).kinds == ()
    assert kept(encoded(picture(1), "WEBP")).kinds == ()


def test_the_middle_of_a_wide_picture_is_kept() -> None:
    wide = Image.new("RGB", (200, 64), "red")
    wide.paste("blue", (68, 0, 132, 64))
    found = kept(encoded(wide, "PNG"))
    assert found.kinds == ("cropped",) and tuple(found.pixels[:, 32, 1:63].mean(1)) == (0, 0, 255)


def test_a_small_picture_is_enlarged() -> None:
    assert kept(png(1, (40, 40))).kinds == ("enlarged",)


def test_transparent_is_white() -> None:
    for clear in (
        encoded(Image.new("RGBA", (80, 80), (255, 0, 0, 0)), "PNG"),
        encoded(Image.new("LA", (80, 80), (0, 0)), "PNG"),
        encoded(Image.new("P", (80, 80), 0), "PNG", transparency=0),
    ):
        found = kept(clear)
        assert "alpha" in found.kinds and found.pixels.min() == 255


def test_cmyk_deep_and_grey_become_rgb() -> None:
    assert kept(encoded(Image.new("CMYK", (80, 80), (0, 255, 255, 0)), "JPEG")).kinds == ("cmyk",)
    half = Image.fromarray(np.full((80, 80), 32768, np.uint16))
    found = kept(encoded(half, "PNG"))
    assert found.kinds == ("grey", "deep") and set(found.pixels.ravel()) == {128}
    assert kept(encoded(Image.new("1", (80, 80)), "PNG")).kinds == ("grey",)


def test_exif_turns_the_picture() -> None:
    tall = Image.new("RGB", (80, 80), "red")
    tall.paste("blue", (0, 0, 80, 40))
    exif = Image.Exif()
    # The camera was held so that the top of the file is the right of the scene.
    exif[274] = 6
    found = kept(encoded(tall, "JPEG", exif=exif, quality=95))
    assert found.kinds == ("turned",) and found.pixels[2, 32, 60] > 200 and found.pixels[0, 32, 4] > 200


def test_the_first_frame_of_an_animation_is_kept() -> None:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "blue")]
    found = kept(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found.kinds == ("animated",) and found.pixels[0].min() > 250


@pytest.mark.parametrize("data", [b"", b"junk", png(1)[:120], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 80\n"])
def test_what_cannot_be_decoded_is_broken(data: bytes) -> None:
    assert squared(data, 64) == "broken"


def test_huge_and_tiny_pictures_are_left_out_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert squared(png(1, (15, 80)), 64) == "tiny"
    # A bomb: a few kB that would fill gigabytes.
    assert squared(encoded(Image.new("1", (20_000, 20_000)), "PNG"), 64) == "huge"
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    assert squared(png(1), 64) == "huge"
    assert {"tiny", "huge", "broken"} <= LEFT_OUT.keys()
