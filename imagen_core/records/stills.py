"""Stills: finished pictures beside each other with a few numbers each, as the lessons show them; JSON, format 1."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from ..files.writing import written_whole
from ..types import UserError
from .payload import Number, mismatch, schema
from .png import to_pil

FORMAT = 1
# WebP's quality, 0 to 100: at 256 × 256 no difference can be seen, in a tenth of a PNG's bytes. Our choice.
QUALITY = 92


class Still(TypedDict):
    """A picture: what stands under it, its numbers, and its WebP in base64."""

    label: str
    numbers: dict[str, Number]
    picture: str


class Stills(TypedDict):
    """Pictures of ``size`` × ``size`` that were made in one go; all have the same numbers. ``weights`` is a digest."""

    format: int
    title: str
    weights: str
    size: int
    stills: list[Still]


@dataclass(frozen=True, eq=False)
class Picture:
    """An image [3, h, w] in [-1, 1], what it shows in words, and its numbers."""

    image: Any
    label: str
    numbers: dict[str, Number]


def make(pictures: Sequence[Picture], *, title: str, weights: str) -> Stills:
    """Stills of finished pictures."""
    stills: list[Still] = [
        {"label": picture.label, "numbers": picture.numbers, "picture": _webp(picture.image)} for picture in pictures
    ]
    size = int(pictures[0].image.shape[-1])
    return {"format": FORMAT, "title": title, "weights": weights, "size": size, "stills": stills}


def save(stills: Stills, path: Path) -> None:
    """Write stills whole or not at all."""
    with written_whole(path) as aside:
        aside.write_text(json.dumps(stills, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")


def load(path: Path) -> Stills:
    """Read what :func:`save` wrote.

    Raises:
        UserError: not stills of this format, or damaged ones.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"stills: {path} cannot be read") from error
    damage = mismatch(value, schema(Stills), "stills")
    if damage or value["format"] != FORMAT or not value["stills"]:
        raise UserError(f"stills: {path} is damaged: {damage or f'it must be of format {FORMAT} and hold pictures'}")
    names = [set(still["numbers"]) for still in value["stills"]]
    if any(other != names[0] for other in names):
        raise UserError(f"stills: {path} is damaged: all pictures must have the same numbers")
    return cast(Stills, value)


def _webp(image: Any) -> str:
    file = io.BytesIO()
    to_pil(image).save(file, format="WEBP", quality=QUALITY, method=6)
    return base64.b64encode(file.getvalue()).decode()
