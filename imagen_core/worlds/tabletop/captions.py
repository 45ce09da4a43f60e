"""Captions: many true sentences for one scene. A caption names every thing; it may leave out the rest."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from .scenes import Scene, Thing, relations
from .vocabulary import (
    COLOURS,
    COUNTS,
    FLOORS,
    LIGHTS,
    MATERIALS,
    OPENINGS,
    RELATIONS,
    SHAPES,
    SIZES,
    plural,
    with_article,
)


def caption(scene: Scene, seed: int) -> str:
    """One caption of ``scene``; another seed may word it in another way."""
    rng = np.random.default_rng([seed, 0xCA])
    parts = [_things(scene.things, rng)]
    floor = _word(FLOORS, scene.floor, rng) if rng.random() < 0.92 else ""
    light = _word(LIGHTS, scene.light, rng) if rng.random() < 0.92 else ""
    order = rng.random()
    if order < 0.6:
        parts += [floor, light]
    elif order < 0.75:
        parts += [light, floor]
    elif order < 0.9:
        parts = [light + "," if light else "", *parts, floor]
    else:
        parts = [floor + "," if floor else "", *parts, light]
    opening = str(rng.choice(OPENINGS)) if parts[0] and not parts[0].endswith(",") else ""
    return opening + " ".join(part for part in parts if part)


def _word(concepts: dict[str, tuple[str, ...]], name: str, rng: np.random.Generator) -> str:
    return str(rng.choice(concepts[name]))


def _things(things: tuple[Thing, ...], rng: np.random.Generator) -> str:
    """Name every thing, things of one kind as a group ("two red cubes"), with a relation where one is plain."""
    shuffled = [things[i] for i in rng.permutation(len(things))]
    kinds = [_kind(thing) for thing in shuffled]
    alike = sorted(shuffled, key=lambda thing: kinds.index(_kind(thing)))
    groups = [list(group) for _, group in groupby(alike, key=_kind)]
    phrases = [_group(group, rng) for group in groups]
    if len(groups) == 1:
        return phrases[0]
    a, b = groups[0], groups[1]
    plain = relations(a[0], b[0]) if len(a) == len(b) == 1 else ()
    # One of the plain relations at random. Sides first would leave "in front" and "behind" to one caption in a hundred.
    word = _word(RELATIONS, str(rng.choice(plain)), rng) if plain and rng.random() < 0.85 else None
    if len(groups) == 2:
        return f"{phrases[0]} {word or _word(RELATIONS, 'beside', rng)} {phrases[1]}"
    if word:
        return f"{phrases[0]} {word} {phrases[1]}, and {phrases[2]}"
    return f"{phrases[0]}, {phrases[1]} and {phrases[2]}"


def _kind(thing: Thing) -> tuple[str, str]:
    return thing.shape, thing.colour


def _group(group: list[Thing], rng: np.random.Generator) -> str:
    """One thing or several of a kind; every adjective is true of all of them."""
    first = group[0]
    words = []
    if len({thing.size for thing in group}) == 1 and rng.random() < 0.6:
        words.append(_word(SIZES, first.size, rng))
    if len({thing.material for thing in group}) == 1 and rng.random() < 0.45:
        words.append(_word(MATERIALS, first.material, rng))
    if rng.random() < 0.3:
        words.reverse()
    if rng.random() < 0.94:
        words.append(_word(COLOURS, first.colour, rng))
    noun = _word(SHAPES, first.shape, rng)
    words.append(noun if len(group) == 1 else plural(noun))
    if len(group) > 1:
        return " ".join([COUNTS[len(group)], *words])
    return with_article(" ".join(words))
