"""A grid and a sweep that the page shows before anybody has pressed a button: pictures, and what they measure.

An exhibit is one JSON file: the weights' digest, the request that is varied, the values as text, and for each picture
a data link of it and its facts. A sweep's entries also hold what the stage received, and the label of its noise.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.writing import written_whole
from ..settings import Request, from_json, to_json
from ..types import UserError
from .png import to_pil
from .stills import QUALITY

FORMAT = 1
# Pictures up to this many pixels wide are enlarged on the page.
BLOCKS = 64


@dataclass(frozen=True)
class Shown:
    """One picture: data links of it and of what its stage received ("" for none), that one's label, and its facts."""

    picture: str
    received: str
    label: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Exhibit:
    """Pictures of one run varied: ``values`` says how, by name; ``weights`` is the digest of what drew them."""

    weights: str
    request: Request
    values: dict[str, str]
    shown: tuple[Shown, ...]


def link(image: Any) -> str:
    """A picture [3, h, w] in [-1, 1] in a data link: as exact PNG where pixels show as blocks, as small WebP beyond."""
    kind, how = (
        ("png", {"optimize": True}) if image.shape[-1] <= BLOCKS else ("webp", {"quality": QUALITY, "method": 6})
    )
    file = io.BytesIO()
    to_pil(image).save(file, format=kind, **how)
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()


def save(exhibit: Exhibit, path: Path) -> None:
    """Write an exhibit whole or not at all."""
    text = json.dumps(
        {
            "format": FORMAT,
            "weights": exhibit.weights,
            "request": json.loads(to_json(exhibit.request)),
            "values": exhibit.values,
            "shown": [vars(one) for one in exhibit.shown],
        }
    )
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def load(path: Path) -> Exhibit:
    """Read an exhibit that :func:`save` wrote.

    Raises:
        UserError: it is missing, or not such a file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise UserError(f"exhibit: {path} is not of format {FORMAT}")
        request, _ = from_json(json.dumps(data["request"]))
        shown = tuple(Shown(**one) for one in data["shown"])
        return Exhibit(str(data["weights"]), request, dict(data["values"]), shown)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"exhibit: {path} is not a readable exhibit") from error


def pictures(images: Sequence[Any], facts: Sequence[dict[str, Any]]) -> tuple[Shown, ...]:
    """Pictures [3, h, w] that no stage before them has received."""
    return tuple(Shown(link(image), "", "", one) for image, one in zip(images, facts))
