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

CHUNK = "imagen_lab"
# Above what three stages with 250 times each and an escaped prompt need (21,000), far below what could hurt.
MAX_CHUNK = 64 * MAX_PROMPT
# The widest grid has 25 cells of 1024 beside each other.
MAX_SIDE = 26_000


def to_bytes(image: Float[Tensor, "*b 3 h w"]) -> np.ndarray:
    """[-1, 1] → uint8, rounded."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def from_bytes(values: np.ndarray) -> Float[Tensor, "*b 3 h w"]:
    """uint8 → [-1, 1], float32: what :func:`to_bytes` rounded to."""
    return torch.from_numpy(values).float() / 127.5 - 1


def to_pil(image: Float[Tensor, "3 h w"]) -> Image.Image:
    """One picture in [-1, 1] as an 8-bit RGB image."""
    return Image.fromarray(to_bytes(image).transpose(1, 2, 0))


def save(image: Float[Tensor, "3 h w"], file: Path | str, request: Request, **facts: str) -> None:
    """Write one picture with its settings; ``facts`` (weights digest, index, …) go into chunks of their own.

    Raises:
        OSError: it cannot be written; then nothing is, and a file that was there stays.
    """
    _write(to_pil(image), file, request, facts)


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

    Raises:
        UserError: not a PNG, too large, without our settings, or with hostile ones.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if max(picture.size) > MAX_SIDE:
                raise UserError(f"picture: must be at most {MAX_SIDE} pixels along each side")
            text = picture.info.get(CHUNK)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("picture: not a readable PNG file") from error
    if not isinstance(text, str):
        raise UserError("picture: a PNG, but not one made here: it carries no settings")
    if len(text) > MAX_CHUNK:
        raise UserError(f"picture: its settings are longer than {MAX_CHUNK} characters")
    return from_json(text)


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

    ``request`` is what the cells have in common, ``facts`` what differs: the grid carries them like a picture, and is
    written like one.
    """
    side = images[0].shape[-1]
    zoom, band = max(1, 256 // side), 18
    cell = side * zoom
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell, rows * (cell + band)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, label) in enumerate(zip(images, labels)):
        left, top = i % columns * cell, i // columns * (cell + band)
        while draw.textlength(label) > cell - 8:
            label = label.rstrip("…")[:-1] + "…"
        draw.text((left + 4, top + 3), label, fill="black")
        sheet.paste(to_pil(image).resize((cell, cell), Image.Resampling.NEAREST), (left, top + band))
    _write(sheet, file, request, facts)
