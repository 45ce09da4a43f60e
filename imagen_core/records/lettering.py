"""Text on pictures: a font that has σ, ∞ and é, and what to write for a character that it lacks."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
# matplotlib brings this font; the one that Pillow has built in knows little beyond ASCII.
DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"
# A code point that no font has, so that it is drawn as the sign for a missing glyph.
MISSING = "\U0010fffe"


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """DejaVu Sans of a height in pixels."""
    # Found, not imported: matplotlib takes a second to import.
    found = importlib.util.find_spec("matplotlib")
    folder = Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else Path()
    return ImageFont.truetype(folder / DEJAVU, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def has_glyph(character: str) -> bool:
    """Whether DejaVu Sans can draw a character."""
    masks: list[Any] = [font(16).getmask(text) for text in (character, MISSING)]
    return character.isspace() or bytes(masks[0]) != bytes(masks[1])


def legible(text: str) -> str:
    """The text with the code of each character that DejaVu Sans lacks, such as ``\\u7ea2``, instead of a box."""
    return "".join(c if has_glyph(c) else c.encode("ascii", "backslashreplace").decode() for c in text)


def fitted(text: str, size: int, width: int) -> list[str]:
    """Legible lines of text, broken at spaces, each at most ``width`` pixels wide; a longer word ends with "…"."""
    lines: list[str] = []
    for word in legible(text).split():
        if lines and font(size).getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(_cut(word, size, width))
    return lines or [""]


def _cut(word: str, size: int, width: int) -> str:
    while len(word) > 1 and font(size).getlength(word) > width:
        word = word.rstrip("…")[:-1] + "…"
    return word
