"""Pairs of captions: a true one, and the same words in another order, which is untrue.

A model that only counts words cannot tell the two apart.
"""

from __future__ import annotations

from .scenes import Scene, relations, sample_scene
from .vocabulary import COUNTS, FLOORS, HELD_OUT_PAIRS, LIGHTS, RELATIONS, plural, with_article

OPPOSITE = {"left": "right", "right": "left", "front": "behind", "behind": "front"}


def seeds(count: int, seed: int) -> list[int]:
    """The first seeds from ``seed`` on whose scenes have two things of unlike colour and shape, aside and behind.

    Training shows both pairs of colour and shape that an exchange of the colours makes. Else a model could tell the
    untrue caption by its strange pair.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        things = sample_scene(seed).things
        if len(things) == 2:
            a, b = things
            exchanged = {(b.colour, a.shape), (a.colour, b.shape)}
            unlike = a.colour != b.colour and a.shape != b.shape and not exchanged & HELD_OUT_PAIRS
            if unlike and len(relations(a, b)) == 2:
                chosen.append(seed)
        seed += 1
    return chosen


def scenes(count: int, seed: int) -> list[Scene]:
    """The scenes of :func:`seeds`."""
    return [sample_scene(number) for number in seeds(count, seed)]


def crowds(count: int, seed: int) -> list[Scene]:
    """The first scenes from ``seed`` on of things of one colour and shape: two things, then three, in turn."""
    chosen: list[Scene] = []
    while len(chosen) < count:
        scene = sample_scene(seed)
        seed += 1
        kinds = {(thing.colour, thing.shape) for thing in scene.things}
        if len(kinds) == 1 and len(scene.things) == 2 + len(chosen) % 2:
            chosen.append(scene)
    return chosen


def numbers(scene: Scene) -> dict[str, tuple[str, str]]:
    """A true caption of a scene of :func:`crowds`, and the same one with the other number."""
    thing, true = scene.things[0], len(scene.things)
    rest = f"{thing.colour} {plural(thing.shape)} {FLOORS[scene.floor][0]} {LIGHTS[scene.light][0]}"
    return {"numbers": (f"{COUNTS[true]} {rest}", f"{COUNTS[5 - true]} {rest}")}


def pairs(scene: Scene) -> dict[str, tuple[str, str]]:
    """For each kind of exchange, a true caption of the scene and the untrue one that it makes."""
    a, b = scene.things
    first, second = (with_article(f"{thing.colour} {thing.shape}") for thing in (a, b))
    swapped = with_article(f"{b.colour} {a.shape}"), with_article(f"{a.colour} {b.shape}")
    rest = f"{FLOORS[scene.floor][0]} {LIGHTS[scene.light][0]}"
    across, along = relations(a, b)

    def said(a: str, word: str, b: str) -> str:
        return f"{a} {RELATIONS[word][0]} {b} {rest}"

    return {
        "sides": (said(first, across, second), said(first, OPPOSITE[across], second)),
        "depths": (said(first, along, second), said(first, OPPOSITE[along], second)),
        "colours": (said(first, "beside", second), said(swapped[0], "beside", swapped[1])),
    }
