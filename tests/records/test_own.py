"""Pictures of somebody's own: every kind is ready for the stages; what cannot be used is refused in one line."""

from __future__ import annotations

import contextlib
import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagen_core.models.cascade import Cascade
from imagen_core.records import own
from imagen_core.records.own import open_own, unlike
from imagen_core.types import UserError


def opened(tmp_path: Path, picture: Image.Image, name: str = "x.png", **options: object) -> own.Own:
    picture.save(tmp_path / name, **options)
    return open_own(tmp_path / name)


def test_a_picture_of_the_right_size_is_itself(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = opened(tmp_path, Image.fromarray(values))
    assert found.done == "64 × 64 pixels of it are used" and found.image.shape == (1, 3, 64, 64)
    pixels = ((found.image[0] + 1) * 127.5).round().numpy()
    assert (pixels == values.transpose(2, 0, 1)).all()


def test_what_was_done_is_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.new("CMYK", (400, 300), (0, 200, 0, 0))
    assert opened(tmp_path, photo, "x.jpg", exif=exif).done == (
        "CMYK: converted to RGB without a colour profile; turned as its EXIF says; "
        "not square: the largest square in the middle is kept; 64 × 64 pixels of it are used"
    )
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    found = opened(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert "the first frame is kept" in found.done and (found.image[0, :, 5, 5] * 1).tolist() == [1, -1, -1]
    assert "laid on white" in opened(tmp_path, Image.new("RGBA", (64, 64), (0, 0, 0, 0))).done


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "I", "F"])
def test_every_mode_is_read(tmp_path: Path, mode: str) -> None:
    found = opened(tmp_path, Image.new(mode, (70, 64)), "x.tif")
    assert found.image.isfinite().all() and found.image.shape == (1, 3, 64, 64)


def huge(side: int) -> bytes:
    """A PNG that says it is ``side`` pixels wide, and ends where its pixels begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13)
    return start + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\x09IDAT"


def whole(side: int = 100) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be decoded whole"),
        (b"<svg onload=alert(1)>", "cannot be decoded whole"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded whole"),
        (whole()[:900], "cannot be decoded whole"),
        (huge(8_100), "more than 64 million pixels"),
        (huge(12_000), "more than 64 million pixels"),
        (huge(100_000), "more than 64 million pixels"),
        (whole(8), "shorter side below 16 pixels"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(data)
    with pytest.raises(UserError, match=f"^image: 'x.jpg': {says}") as caught:
        open_own(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 160


@pytest.mark.parametrize(("name", "says"), [("no.png", "No such file"), ("", "directory"), ("a\0b", "is no name of")])
def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^image: .*{says}"):
        open_own(tmp_path / name)


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MOST_BYTES", 10)
    monkeypatch.setattr(Path, "read_bytes", None)
    (tmp_path / "x.png").write_bytes(b"x" * 11)
    with pytest.raises(UserError, match=r"^image: 'x.png': more than .* MB$"):
        open_own(tmp_path / "x.png")


@given(st.data())
def test_damage_is_read_or_refused(data: st.DataObject) -> None:
    """Bytes of a real picture, some changed: never another error."""
    damaged = bytearray(whole())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=9)):
        damaged[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "x.jpg")
        file.write_bytes(damaged)
        with contextlib.suppress(UserError):
            assert open_own(file).image.isfinite().all()


def test_a_word_where_the_model_has_seen_one_world_alone(tiny: Cascade) -> None:
    assert "was trained on pictures of tabletop alone" in unlike(tiny)
