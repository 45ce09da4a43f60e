"""TabletopBench: 257 fixed prompts in a form that code can check, and the verdict on a picture of one of them.

The table top's DrawBench (Saharia et al. 2022, sec. 3 and App. C): its categories, but with things that are
counted instead of opinions. ``assets/tabletopbench.jsonl`` holds a prompt a line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np

from ..files.assets import ASSETS
from ..files.digests import file_digest
from ..worlds.tabletop.scenes import ASIDE, IN_DEPTH, Scene, Thing, place, relation, surround
from ..worlds.tabletop.vocabulary import MATERIALS, SIZES
from .detector import Found, Reading

FILE = ASSETS / "tabletopbench.jsonl"
# Prompts in words and pairs that training has seen: what `objects`, `floor` and `light` are counted over.
TRAINED = ("colours", "shapes", "counting", "positional", "materials_and_size", "scenes", "descriptions")
CATEGORIES = (*TRAINED, "unseen_pairs", "rare_words", "misspellings")
# Captions name a relation only where it is plain (scenes.relations). A sample needs this part of that margin.
ENOUGH = 0.5

Verdict = dict[str, bool | None]


@dataclass(frozen=True)
class Named:
    """One or several things of a kind that a prompt names; None is what it leaves open."""

    shape: str
    colour: str
    count: int = 1
    size: str | None = None
    material: str | None = None


@dataclass(frozen=True)
class Prompt:
    """A line of the bench.

    ``relation`` is (word, i, j): thing i stands in that relation to thing j. ``word`` is the rare or misspelt word.
    ``also`` names the judgements that the word asks for beside shape and colour.
    """

    id: str
    category: str
    prompt: str
    things: tuple[Named, ...]
    floor: str | None = None
    light: str | None = None
    relation: tuple[str, int, int] | None = None
    word: str | None = None
    also: tuple[str, ...] = ()

    @property
    def each(self) -> tuple[Named, ...]:
        """The things one by one: two cubes are two entries."""
        return tuple(replace(named, count=1) for named in self.things for _ in range(named.count))


@lru_cache(maxsize=1)
def prompts() -> tuple[Prompt, ...]:
    """All prompts, in the file's order."""
    return tuple(map(_prompt, FILE.read_text(encoding="utf-8").splitlines()))


def digest() -> str:
    """What names this version of the bench: the file's sha256."""
    return file_digest(FILE)


def _prompt(line: str) -> Prompt:
    facts = json.loads(line)
    facts["things"] = tuple(Named(**thing) for thing in facts["things"])
    facts["also"] = tuple(facts.get("also", ()))
    if "relation" in facts:
        facts["relation"] = tuple(facts["relation"])
    return Prompt(**facts)


def scene_of(prompt: Prompt, seed: int) -> Scene:
    """A scene that the prompt describes, random in everything that the prompt leaves open; a true render shows it."""
    rng = np.random.default_rng([seed, int(hashlib.sha256(prompt.id.encode()).hexdigest()[:8], 16)])
    while True:
        kinds = [
            (
                named.shape,
                named.colour,
                named.size or str(rng.choice(list(SIZES))),
                named.material or str(rng.choice(list(MATERIALS))),
            )
            for named in prompt.each
        ]
        things = place(kinds, rng)
        if things is None:
            continue
        if prompt.relation is None or relation(*(things[i] for i in prompt.relation[1:])) == prompt.relation[0]:
            break
    scene = surround(things, rng)
    return replace(scene, floor=prompt.floor or scene.floor, light=prompt.light or scene.light)


def judge(prompt: Prompt, reading: Reading) -> Verdict:
    """What is right in a picture; None where the prompt says nothing about it.

    ``objects``: every named thing is there with its shape and colour; there may be others. ``counting``: there are no
    others. ``floor`` and ``light``: they are the named ones. ``relation``: both things are there, in that relation.
    ``size`` and ``material``: each named one is right.
    """
    matched = match(prompt.each, reading.things)
    objects = all(thing is not None for thing in matched)
    verdict: Verdict = {
        "objects": objects,
        "counting": objects and len(reading.things) == len(prompt.each),
        "floor": None if prompt.floor is None else reading.floor == prompt.floor,
        "light": None if prompt.light is None else reading.light == prompt.light,
        "relation": None,
        "size": _agree("size", prompt.each, matched),
        "material": _agree("material", prompt.each, matched),
    }
    if prompt.relation is not None:
        word, i, j = prompt.relation
        a, b = matched[i], matched[j]
        verdict["relation"] = a is not None and b is not None and stands(a, b).get(word, False)
    return verdict


def _agree(attribute: str, named: Sequence[Named], matched: Sequence[Found | None]) -> bool | None:
    pairs = [(getattr(n, attribute), thing) for n, thing in zip(named, matched) if getattr(n, attribute) is not None]
    return all(thing is not None and getattr(thing, attribute) == word for word, thing in pairs) if pairs else None


def match(named: Sequence[Named], things: Sequence[Found]) -> tuple[Found | None, ...]:
    """For each named thing the matching one in the picture; None where there is none left.

    A match has the same shape and colour. Of all assignments, the one with most matches counts, then with most sizes
    and materials right.
    """
    # Six of the hottest are enough: no prompt names more than three.
    padded = [*things[:6], *[None] * len(named)]
    best: tuple[Found | None, ...] = (None,) * len(named)
    most = (-1.0, -1.0, -1.0)
    for order in permutations(range(len(padded)), len(named)):
        chosen = [padded[i] for i in order]
        kept = tuple(
            f if f is not None and (f.shape, f.colour) == (n.shape, n.colour) else None for n, f in zip(named, chosen)
        )
        there = [(n, f) for n, f in zip(named, kept) if f is not None]
        details = sum((n.size == f.size) + (n.material == f.material) for n, f in there)
        score = (float(len(there)), float(details), sum(f.heat for _, f in there))
        if score > most:
            best, most = kept, score
    return best


def stands(a: Found, b: Found) -> dict[str, bool]:
    """Whether a is clearly to the left, to the right, in front of and behind b."""
    across, along = ENOUGH * ASIDE * (_width(a) + _width(b)), ENOUGH * IN_DEPTH
    return {
        "left": b.x - a.x > across,
        "right": a.x - b.x > across,
        "front": b.z - a.z > along,
        "behind": a.z - b.z > along,
    }


def _width(thing: Found) -> float:
    """Half the width a thing like this has at its distance, as part of half the picture."""
    return Thing(thing.shape, thing.colour, thing.size, thing.material, 0.0, thing.z, 0.0).on_screen()[1]


def scores_of(prompt: Prompt, verdict: Verdict) -> dict[str, bool]:
    """The bench's scores that a picture of this prompt counts for, and whether it is right in each."""
    scores: dict[str, bool] = {}
    if prompt.category in TRAINED:
        scores["objects"] = bool(verdict["objects"])
        for name in ("floor", "light"):
            if verdict[name] is not None:
                scores[name] = bool(verdict[name])
    also = all(verdict[name] for name in prompt.also)
    if prompt.category == "counting":
        scores["counting"] = bool(verdict["counting"])
    elif prompt.category == "positional":
        scores["positional"] = bool(verdict["relation"])
    elif prompt.category == "unseen_pairs":
        scores["unseen_pairs"] = bool(verdict["objects"])
    elif prompt.category in ("rare_words", "misspellings"):
        scores[prompt.category] = bool(verdict["objects"]) and also
    elif prompt.category == "descriptions":
        scores["descriptions"] = all(verdict[name] is not False for name in ("objects", "floor", "light", "relation"))
    return scores
