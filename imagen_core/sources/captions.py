"""Captions from outside: cleaned and cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# A longer caption is cut at a space: the text encoder of the shipped weights reads 48 tokens of each in training.
LONGEST = 300
# More captions of one picture are left out.
MOST_CAPTIONS = 16


def cleaned(captions: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Captions in one line each, without control characters, each once; and whether one was cut."""
    kept, cut = [], False
    for caption in captions:
        # Ten times as much is read as may stay, so that a caption of megabytes costs nothing.
        text = "".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", caption[: 10 * LONGEST]))
        text = " ".join(text.split())
        if len(text) > LONGEST:
            text, cut = text[: LONGEST + 1].rpartition(" ")[0] or text[:LONGEST], True
        if text and text not in kept:
            kept.append(text)
    return tuple(kept[:MOST_CAPTIONS]), cut or len(kept) > MOST_CAPTIONS
