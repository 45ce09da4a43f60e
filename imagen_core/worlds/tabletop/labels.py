"""What a scene shows, as numbers to learn from: its main thing, what is seen in each cell, how often it is drawn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .scenes import CAMERA_DISTANCE, Scene, Thing, sample_scene
from .vocabulary import COLOURS, SHAPES, Concepts, plural

# A thing's attributes, their classes and the words of training captions for them.
ATTRIBUTES: dict[str, Concepts] = {
    "colour": COLOURS,
    "shape": {name: tuple(form for word in words for form in (word, plural(word))) for name, words in SHAPES.items()},
}


def classes(thing: Thing) -> dict[str, int]:
    """The class of a thing for each attribute, counted from 0."""
    return {name: list(concepts).index(getattr(thing, name)) for name, concepts in ATTRIBUTES.items()}


def main_thing(scene: Scene) -> Thing:
    """The thing that covers most of the picture: the largest width times height, divided by its distance squared."""
    return max(scene.things, key=lambda thing: thing.radius * thing.height / (thing.z + CAMERA_DISTANCE) ** 2)


def cells(scene: Scene, side: int) -> Int[np.ndarray, "2 side side"]:
    """Colour and shape seen at the middle of each cell, counted from 1; 0 where there is nothing.

    Things are taken as upright boxes: a place to look at, not a rendering.
    """
    seen = np.zeros((len(ATTRIBUTES), side, side), dtype=np.int64)
    middle = (np.arange(side) + 0.5) * 2 / side - 1
    for thing in sorted(scene.things, key=lambda thing: -thing.z):
        across, half = thing.on_screen()
        top, bottom = thing.down_screen(thing.height), thing.down_screen(0.0)
        inside = ((middle > top) & (middle < bottom))[:, None] & (abs(middle - across) < half)
        seen[:, inside] = [[1 + index] for index in classes(thing).values()]
    return seen


def names_a_relation(text: str) -> bool:
    """Whether a caption says which of two things is on the left, or in front."""
    return bool({"left", "right", "front", "behind"} & set(text.split()))


@lru_cache(maxsize=1)
def odds(pictures: int, crowded: float, one_colour: float = 1.0) -> Float[Tensor, " n"]:
    """The chance of each of the first ``pictures`` pictures to be drawn; the chances add up to 1.

    A share ``crowded`` of the draws shows several things: two things twice as often as three. Among pictures of as
    many things, those of several shapes in one colour have the weight ``one_colour`` and the others 1.
    """
    scenes = [sample_scene(seed).things for seed in range(pictures)]
    counts = torch.tensor([len(things) for things in scenes])
    weights = torch.tensor([one_colour if _one_colour(things) else 1.0 for things in scenes])
    wanted = torch.tensor([0.0, 1 - crowded, crowded * 2 / 3, crowded / 3])
    return weights * wanted[counts] / torch.bincount(counts, weights, minlength=4).float()[counts]


def _one_colour(things: tuple[Thing, ...]) -> bool:
    return len({thing.colour for thing in things}) == 1 < len({thing.shape for thing in things})
