"""What a world is: captioned pictures, each drawn from its seed, and the words that its captions use.

A stage is trained on a world's pictures. Its cascade then knows the world's words, and says which words of a prompt it
does not know. Add a world: a class with the members of :class:`World`, and a line in :data:`.known.WORLDS`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from ..types import UserError

# The name of each concept, with the phrases that mean it; the first is the usual one.
Concepts = Mapping[str, tuple[str, ...]]
# Top, left, height and width of a part of a picture, in pixels.
Crop = tuple[int, int, int, int]
# Pictures from this seed on are not for training: validation and figures use them.
FRESH_SEEDS = 100_000_000
# app/static/tab/known.js has the same.
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text in small letters, in order: how prompts and captions are read everywhere."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Pick:
    """One list of the page's prompt builder: the phrases to pick from and the one picked at first ("" for none)."""

    name: str
    label: str
    phrases: tuple[str, ...]
    first: str = ""
    optional: bool = True


class World(Protocol):
    """Pictures with captions, and the words of those captions. Everything follows from the arguments alone."""

    @property
    def name(self) -> str:
        """Its key in WORLDS, which cascades record."""

    @property
    def version(self) -> int:
        """Counts up with every change of pictures or captions: cascades of another version are refused."""

    @property
    def folder(self) -> str:
        """Name of the folder of its rendered pictures, another one for each version."""

    @property
    def concepts(self) -> Mapping[str, Concepts]:
        """Everything that a prompt may name, by kind; empty where the world cannot say."""

    @property
    def scope(self) -> str:
        """What a prompt may ask for beside words, such as "up to three at a time"; may be empty."""

    @property
    def held_out_words(self) -> Concepts:
        """Words that no caption uses although they mean a concept; they measure what the text encoder brings."""

    @property
    def prompts(self) -> Sequence[str]:
        """Prompts whose pictures show how training goes."""

    @property
    def picks(self) -> Sequence[Sequence[Pick]]:
        """The rows of the page's prompt builder; none for no builder."""

    def compose(self, words: Mapping[str, str]) -> str:
        """The prompt that picked words make, by the names of their lists."""

    @property
    def words(self) -> Collection[str] | None:
        """Every word that captions use, in small letters; None where the world cannot say."""

    def picture(
        self, seed: int, size: int, *, crop: Crop | None = None, held_out: bool = False
    ) -> Float[Tensor, "3 h w"]:
        """The picture of a seed at ``size`` × ``size`` pixels, or a part of it; values in [-1, 1].

        ``held_out`` is for a picture of what training never shows.
        """

    def crop(self, seed: int, size: int, side: int) -> Crop:
        """A square of ``side`` pixels worth looking at in the picture of a seed; top and left are multiples of 4."""

    def caption(self, seed: int, wording: int, *, held_out: bool = False) -> str:
        """A true caption of the picture of a seed; another ``wording`` may give another one."""


@runtime_checkable
class SceneWorld(World, Protocol):
    """A world that also knows what stands where in its pictures. The classifier and the text layers learn from it."""

    @property
    def attributes(self) -> Mapping[str, Concepts]:
        """Attributes of a thing, each with its classes and the words that mean them; the noun's attribute is last."""

    def main_thing(self, seed: int) -> Mapping[str, int]:
        """The class of the picture's main thing, for each attribute."""

    def cells(self, seed: int, side: int) -> Int[np.ndarray, "k side side"]:
        """For each of the k attributes, the class seen in each cell of the picture, counted from 1; 0 for no thing."""

    def names_a_relation(self, caption: str) -> bool:
        """Whether a caption says where one thing stands seen from another."""

    def exchanged_sides(self, count: int, seed: int) -> Sequence[tuple[int, str, str]]:
        """Seeds from ``seed`` on, each with a true caption and the same one with left and right exchanged."""

    def odds(self, pictures: int, crowded: float, one_colour: float) -> Float[Tensor, " n"]:
        """The chance of each of the first ``pictures`` pictures to be drawn in training.

        ``crowded``, in [0, 1], is the share of draws that show several things. ``one_colour`` is the weight of pictures
        of several shapes in one colour, where the others of as many things have 1.
        """


def unknown_words(world: World, prompt: str) -> tuple[str, ...] | None:
    """The words of ``prompt`` that no caption uses, in order, each once; None where the world cannot say.

    Held-out synonyms count as unknown. The language model may still understand them.
    """
    known = world.words
    return None if known is None else tuple(word for word in dict.fromkeys(words(prompt)) if word not in known)


def scenes_of(world: World, option: str) -> SceneWorld:
    """The world, if it knows what stands where.

    Raises:
        UserError: it does not; names the ``option`` that needs it.
    """
    if not isinstance(world, SceneWorld):
        raise UserError(f"{option}: the world {world.name} does not know what stands where in its pictures")
    return world
