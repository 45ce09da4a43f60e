"""Pictures that people collected, as a :class:`~imagen_core.worlds.world.World`: prepared squares with their captions.

A seed stands for a picture: below FRESH_SEEDS for one to learn from, above for one held back, and beyond the last one
from the first again. A cascade trained on it carries the words alone; asked for a picture, it says where they went.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ...files.arrays import open_array
from ...sources.captions import telling
from ...sources.prepare import read_part, read_squares
from ...types import UserError
from ..world import FRESH_SEEDS, Concepts, Crop, Pick

# Frequent words that the page shows.
SHOWN = 60
# Errors raised by damaged facts.
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Collected:
    """The world of a prepared folder. ``counts`` is the number of pictures whose captions use a word.

    ``digest`` names pictures and captions; ``place`` is the folder, None where only the words are here. ``facts`` are
    what its data.json says of source and licence.
    """

    name: str
    digest: str
    counts: Mapping[str, int] = field(repr=False)
    prompts: Sequence[str]
    facts: Mapping[str, Any] = field(repr=False)
    place: Path | None = None
    version: int = 1
    folder: str = "shards"
    scope: str = ""

    @property
    def concepts(self) -> Mapping[str, Concepts]:
        """The most frequent words that say something of a picture."""
        return {"frequent words": {word: (word,) for word, _ in telling(self.counts, SHOWN)}}

    @property
    def held_out_words(self) -> Concepts:
        """None: nobody knows what the words mean."""
        return {}

    @property
    def side(self) -> int:
        """Pixels along each side of the prepared squares."""
        return int(self.facts["side"])

    @property
    def pictures(self) -> int:
        """Pictures to learn from."""
        return int(self.facts["pictures"])

    @property
    def picks(self) -> Sequence[Sequence[Pick]]:
        """One list: captions that were held back."""
        return ((Pick("caption", "A caption that training never showed", tuple(self.prompts)),),)

    def compose(self, words: Mapping[str, str]) -> str:
        """The caption that was picked."""
        return words["caption"]

    @property
    def words(self) -> Collection[str]:
        """The words of captions to learn from."""
        return self.counts

    def picture(
        self, seed: int, size: int, *, crop: Crop | None = None, held_out: bool = False
    ) -> Float[Tensor, "3 h w"]:
        """A prepared square, shrunk to ``size``; ``held_out`` is for one held back.

        Raises:
            UserError: the folder is not here, is damaged, or was prepared smaller.
        """
        if size > self.side:
            raise UserError(f"--data: was prepared with --side {self.side}, a picture of {size} needs at least {size}")
        part, row = self._find(seed, held_out)
        pixels = np.asarray(_squares(self._here(), part)[row])
        if size < self.side:
            square = Image.fromarray(pixels.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(square).transpose(2, 0, 1)
        top, left, height, width = crop or (0, 0, size, size)
        # A copy, since a memory map must not be written to.
        part_of = np.array(pixels[:, top : top + height, left : left + width])
        return torch.from_numpy(part_of).float() / 127.5 - 1

    def crop(self, seed: int, size: int, side: int) -> Crop:
        """Anywhere in the picture, by the seed."""
        top, left = (4 * np.random.default_rng(seed).integers(0, (size - side) // 4 + 1, 2)).tolist()
        return top, left, side, side

    def caption(self, seed: int, wording: int, *, held_out: bool = False) -> str:
        """One of the picture's captions, in turn."""
        captions = self.captions(seed, held_out=held_out)
        return captions[wording % len(captions)]

    def captions(self, seed: int, *, held_out: bool = False) -> tuple[str, ...]:
        """All captions of a picture."""
        part, row = self._find(seed, held_out)
        return _captions(self._here(), part)[row]

    def _here(self) -> Path:
        if self.place is None:
            raise UserError(f"world: the pictures of {self.name} are not part of the model; name them with --data")
        return self.place

    def _find(self, seed: int, held_out: bool) -> tuple[int, int]:
        held = held_out or seed >= FRESH_SEEDS
        index = _index(self._here(), "held" if held else "train")
        part, row = index[(seed - FRESH_SEEDS if seed >= FRESH_SEEDS else seed) % len(index)].tolist()
        return part, row


def open_collected(folder: Path) -> Collected:
    """The world of a folder that ``data`` prepared.

    Raises:
        UserError: it is not one, its preparation has not ended, or it is damaged.
    """
    if not (folder / "data.json").is_file():
        began = (folder / "plan.json").is_file()
        why = "its preparation has not ended; run the same data command again" if began else "run data on it first"
        raise UserError(f"--data: {folder} holds no data.json; {why}")
    try:
        facts = json.loads((folder / "data.json").read_bytes())
        known = json.loads((folder / "words.json").read_bytes())
        world = described({"name": facts["name"], "digest": facts["digest"], "facts": facts, **known})
        _index(folder, "train"), _index(folder, "held")
    except DAMAGED as error:
        raise UserError(f"--data: {folder} is damaged ({type(error).__name__}); run data again") from error
    return Collected(world.name, world.digest, world.counts, world.prompts, world.facts, folder)


def described(known: Mapping[str, Any]) -> Collected:
    """A world by its description alone, as a cascade carries it; errors of DAMAGED where it is malformed."""
    counts = {str(word): int(n) for word, n in known["words"].items()}
    facts = dict(known["facts"])
    prompts = tuple(str(prompt) for prompt in known["examples"])
    return Collected(str(known["name"]), str(known["digest"]), counts, prompts, facts)


def description(world: Collected) -> dict[str, Any]:
    """What a cascade carries of its world: see :func:`described`."""
    return {
        "name": world.name,
        "digest": world.digest,
        "facts": dict(world.facts),
        "words": dict(world.counts),
        "examples": list(world.prompts),
    }


@lru_cache(maxsize=4)
def _index(folder: Path, name: str) -> np.ndarray:
    index = open_array(folder / f"{name}.npy")
    if index.dtype != np.int32 or index.ndim != 2 or index.shape[1] != 2 or not len(index):
        raise ValueError(name)
    return index


# Seeds come in order, so a few parts at a time are enough.
_squares = lru_cache(maxsize=4)(read_squares)


@lru_cache(maxsize=4)
def _captions(folder: Path, part: int) -> list[tuple[str, ...]]:
    return [picture.captions for picture in read_part(folder, part)[1]]
