"""PNG files that carry every setting of the run that made them, in one text chunk."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, PngImagePlugin
from torch import Tensor

from ..files.writing import written_whole
from ..settings import MAX_PROMPT, Request, from_json, to_json
from ..types import UserError
from .lettering import fitted, font

CHUNK = "imagen_lab"
# Above what three stages with 250 times each and an escaped prompt need (21,000), far below what could hurt.
MAX_CHUNK = 64 * MAX_PROMPT
# The widest grid has 25 cells of 1024 beside each other.
MAX_SIDE = 26_000
# Labels of a grid: their height over that of its cells, and the least in pixels.
LETTERS, LEAST_LETTERS = 1 / 40, 12
# Pictures that their settings alone do not draw again: the value of the fact ``origin``, and what to tell people.
ORIGINS = {
    "branch": "a branch of another run: its first steps had other settings, so these alone draw another picture",
    "image": "enlarged from a picture of somebody's own, which these settings do not hold: give it again",
    "grid": "several pictures: these settings draw the run that they vary",
    "step": "other rules on one stored step: these settings draw the whole run that they vary",
}


def to_bytes(image: Float[Tensor, "*b 3 h w"]) -> np.ndarray:
    """[-1, 1] → uint8, rounded."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def from_bytes(values: np.ndarray) -> Float[Tensor, "*b 3 h w"]:
    """uint8 → [-1, 1], float32: what :func:`to_bytes` rounded to."""
    return torch.from_numpy(values).float() / 127.5 - 1


def to_pil(image: Float[Tensor, "3 h w"]) -> Image.Image:
    """One picture in [-1, 1] as an 8-bit RGB image."""
    return Image.fromarray(to_bytes(image).transpose(1, 2, 0))


def save(image: Float[Tensor, "3 h w"], file: Path | str, request: Request, index: int = 0, **facts: str) -> None:
    """Write picture ``index`` of a run with the settings of that picture alone.

    ``facts`` (weights digest, origin, …) go into chunks of their own.

    Raises:
        OSError: it cannot be written; then nothing is, and a file that was there stays.
    """
    _write(to_pil(image), file, request.alone(index), facts)


def _write(picture: Image.Image, file: Path | str, request: Request | None, facts: Mapping[str, str]) -> None:
    info = PngImagePlugin.PngInfo()
    if request is not None:
        info.add_itxt(CHUNK, to_json(request))
    for name, value in facts.items():
        info.add_itxt(f"{CHUNK}_{name}", value)
    with written_whole(Path(file)) as aside:
        picture.save(aside, format="PNG", pnginfo=info)


def read_settings(data: bytes) -> tuple[Request, tuple[str, ...]]:
    """The settings inside a PNG from anywhere, and warnings; the pixels are not decoded.

    A picture of earlier versions has the settings of its whole run, and its own number beside them.

    Raises:
        UserError: not a PNG, too large, without our settings, or with hostile ones.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if max(picture.size) > MAX_SIDE:
                raise UserError(f"picture: must be at most {MAX_SIDE} pixels along each side")
            text, number = picture.info.get(CHUNK), picture.info.get(f"{CHUNK}_index")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("picture: not a readable PNG file") from error
    if not isinstance(text, str):
        raise UserError("picture: a PNG, but not one made here: it carries no settings")
    if len(text) > MAX_CHUNK:
        raise UserError(f"picture: its settings are longer than {MAX_CHUNK} characters")
    request, warnings = from_json(text)
    places = {str(i): i for i in range(request.count)}
    return request.alone(places[number]) if number in places else request, warnings


def origin(data: bytes) -> str | None:
    """What to tell people about a PNG that its settings alone do not draw again; None where they do.

    Raises:
        UserError: not a PNG.
    """
    # Grids of earlier versions name their cells alone.
    return ORIGINS.get(read_fact(data, "origin") or ("grid" if read_fact(data, "cells") else ""))


def read_fact(data: bytes, name: str) -> str | None:
    """One of the facts that :func:`save` wrote beside the settings; None where there is none.

    Raises:
        UserError: not a PNG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            text = picture.info.get(f"{CHUNK}_{name}")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError("picture: not a readable PNG file") from error
    return str(text) if isinstance(text, str) else None


def save_grid(
    images: Sequence[Float[Tensor, "3 h w"]],
    labels: Sequence[str],
    columns: int,
    file: Path,
    request: Request | None = None,
    **facts: str,
) -> None:
    """Pictures of one size in rows of ``columns``, each under its label; small ones enlarged without smoothing.

    A long label takes several lines. Characters without a glyph are written as their codes.

    ``request`` is what the cells have in common, ``facts`` what differs: the grid carries them like a picture, and is
    written like one.
    """
    side = images[0].shape[-1]
    cell = side * max(1, 256 // side)
    letters = max(LEAST_LETTERS, round(cell * LETTERS))
    lines = [fitted(label, letters, cell - 8) for label in labels]
    band = round(letters * 1.3) * max(map(len, lines)) + 2
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell, rows * (cell + band)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, label) in enumerate(zip(images, lines)):
        left, top = i % columns * cell, i // columns * (cell + band)
        draw.text((left + 4, top + 1), "\n".join(label), fill="black", font=font(letters), spacing=0)
        sheet.paste(to_pil(image).resize((cell, cell), Image.Resampling.NEAREST), (left, top + band))
    _write(sheet, file, request, facts)
