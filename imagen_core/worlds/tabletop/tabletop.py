"""The table top as a :class:`~imagen_core.worlds.world.SceneWorld`: the scene of a seed, drawn and put into words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from ..world import Concepts, Crop, Pick
from . import captions, exchanges, labels, scenes, vocabulary
from .render import LOOK, render

# Prompts whose pictures show how training goes.
PROMPTS = (
    "a large red sphere to the left of a small blue cube on grass at sunset",
    "a large green cube on sand in daylight",
    "a big yellow cone on wood at noon",
    "a shiny purple sphere on a chessboard at night",
    "two red cubes on marble in daylight",
    "three small orange balls on grass at noon",
    "a white cylinder in front of a blue ball on sand at dusk",
    "a pink cone to the right of a green cylinder on wood in daylight",
    "a glossy blue sphere on marble at noon",
    "a red ball and a yellow box on a wooden table at night",
    # Held out of training: words, then pairs of colour and shape.
    "a scarlet orb on turf at twilight",
    "a red cone on sand at noon",
)


@dataclass(frozen=True)
class TableTop:
    """One to three things of a colour and a shape on a floor in some light."""

    name: str = "tabletop"
    version: int = vocabulary.WORLD_VERSION
    folder: str = f"world{vocabulary.WORLD_VERSION}-look{LOOK}"
    scope: str = "up to three at a time"
    prompts: Sequence[str] = PROMPTS

    @property
    def concepts(self) -> Mapping[str, Concepts]:
        """Shapes, colours, sizes, materials, relations, floors and lights."""
        return vocabulary.CONCEPTS

    @property
    def held_out_words(self) -> Concepts:
        """Synonyms that no caption uses."""
        return vocabulary.HELD_OUT_WORDS

    @property
    def attributes(self) -> Mapping[str, Concepts]:
        """Colour and shape."""
        return labels.ATTRIBUTES

    @property
    def picks(self) -> Sequence[Sequence[Pick]]:
        """A thing, its relation to another one, and the place."""

        def pick(name: str, label: str, kind: str, first: str = "", *, optional: bool = True) -> Pick:
            return Pick(name, label, tuple(words[0] for words in self.concepts[kind].values()), first, optional)

        return (
            (
                pick("size", "Size", "sizes", "large"),
                pick("material", "Material", "materials"),
                pick("colour", "Colour", "colours", "red"),
                pick("shape", "Shape", "shapes", "sphere", optional=False),
            ),
            (
                pick("relation", "Relation", "relations", "to the left of", optional=False),
                pick("second_colour", "Second colour", "colours", "blue"),
                pick("second_shape", "Second shape", "shapes", "cube"),
            ),
            (pick("floor", "Floor", "floors", "on grass"), pick("light", "Light", "lights", "at sunset")),
        )

    def compose(self, words: Mapping[str, str]) -> str:
        """A prompt from picked words; without a second shape there is one thing."""

        def phrase(*names: str) -> str:
            return " ".join(words[name] for name in names if words[name])

        parts = [vocabulary.with_article(phrase("size", "material", "colour", "shape"))]
        if words["second_shape"]:
            parts += [words["relation"], vocabulary.with_article(phrase("second_colour", "second_shape"))]
        return " ".join(part for part in (*parts, phrase("floor", "light")) if part)

    @property
    def words(self) -> Collection[str]:
        """The words of training captions."""
        return vocabulary.known_words()

    def picture(
        self, seed: int, size: int, *, crop: Crop | None = None, held_out: bool = False
    ) -> Float[Tensor, "3 h w"]:
        """The scene of a seed, ray-cast; ``held_out`` for one with an unseen pair of colour and shape."""
        return render(scenes.sample_scene(seed, held_out=held_out), size, crop=crop)

    def crop(self, seed: int, size: int, side: int) -> Crop:
        """Three times in four around a point of a thing, else anywhere."""
        return scenes.crop(scenes.sample_scene(seed), size, side, seed)

    def caption(self, seed: int, wording: int, *, held_out: bool = False) -> str:
        """One of the scene's captions."""
        return captions.caption(scenes.sample_scene(seed, held_out=held_out), wording)

    def main_thing(self, seed: int) -> Mapping[str, int]:
        """Colour and shape of the thing that covers most of the picture."""
        return labels.classes(labels.main_thing(scenes.sample_scene(seed)))

    def cells(self, seed: int, side: int) -> Int[np.ndarray, "2 side side"]:
        """Colour and shape seen in each cell."""
        return labels.cells(scenes.sample_scene(seed), side)

    def names_a_relation(self, caption: str) -> bool:
        """Whether a caption says which of two things is on the left, or in front."""
        return labels.names_a_relation(caption)

    def exchanged_sides(self, count: int, seed: int) -> Sequence[tuple[int, str, str]]:
        """Scenes of two things, with a true caption and one with left and right exchanged."""
        seeds = exchanges.seeds(count, seed)
        return [(number, *exchanges.pairs(scenes.sample_scene(number))["sides"]) for number in seeds]

    def odds(self, pictures: int, crowded: float, one_colour: float) -> Float[Tensor, " n"]:
        """The chance of each picture to be drawn: see :func:`.labels.odds`."""
        return labels.odds(pictures, crowded, one_colour)
