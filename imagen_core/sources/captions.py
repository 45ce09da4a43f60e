"""Captions from outside: cleaned and cut, and which of their words are worth showing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

# A longer caption is cut at a space: the text encoder of the shipped weights reads 48 tokens of each in training.
LONGEST = 300
# More captions of one picture are left out.
MOST_CAPTIONS = 16
# English words that say nothing of a picture alone: articles, pronouns, auxiliary verbs, conjunctions and prepositions.
_CLOSED = (
    "a an the this that these those it its he him his she her hers they them their theirs we us our you your i me my "
    "who whom whose which what is are was were be been being am has have had do does did can could will would shall "
    "should may might must and or but nor so yet if as than then while because of in on at by for with without from to "
    "into onto up down out off over under above below between among through during before after near behind beside "
    "around against about across along inside outside within upon toward towards there here not no"
)
FUNCTION_WORDS = frozenset(_CLOSED.split())


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


def telling(counts: Mapping[str, int], most: int) -> Iterator[tuple[str, int]]:
    """The first ``most`` words of ``counts`` that are not FUNCTION_WORDS, each with its number."""
    return islice((pair for pair in counts.items() if pair[0] not in FUNCTION_WORDS), most)
