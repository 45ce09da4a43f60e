"""Small pictures of every awkward kind, made in a moment."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from imagen_core.sources.finish import finish
from imagen_core.sources.opening import Options, open_source
from imagen_core.sources.prepare import Plan, _write_part


def picture(seed: int, size: tuple[int, int] = (80, 80)) -> Image.Image:
    """A plain picture of its own colour, with a spot."""
    pixels = np.full((size[1], size[0], 3), np.random.default_rng(seed).integers(0, 256, 3), np.uint8)
    pixels[10:30, 10:30] = 255 - pixels[10:30, 10:30]
    return Image.fromarray(pixels)


def png(seed: int, size: tuple[int, int] = (80, 80)) -> bytes:
    return encoded(picture(seed, size), "PNG")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write_folder(folder: Path, count: int, size: tuple[int, int] = (80, 80)) -> Path:
    """Pictures with captions.csv, two captions each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,caption"]
    for n in range(count):
        (folder / f"{n:03d}.png").write_bytes(png(n, size))
        rows += [f'{n:03d}.png,"a thing, number {n}"', f"{n:03d}.png,thing {n} again"]
    (folder / "captions.csv").write_text("\n".join(rows))
    return folder


def prepare_folder(root: Path, count: int) -> Path:
    """``count`` pictures, prepared at a side of 64 as ``data`` does it, in this process."""
    source, plan = open_source(str(write_folder(root / "things", count)), Options()), Plan("things", "train", 64)
    (root / "data" / "parts").mkdir(parents=True)
    _write_part(root / "data" / "parts", 0, list(source.entries(0)), 64)
    finish(source, plan, root / "data", "CC0", "")
    return root / "data"
