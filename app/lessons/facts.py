"""What the lessons may claim something about: the numbers of the recorded runs and stills."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

from imagen_core.records import recording, stills
from imagen_core.records.payload import Header, Number
from imagen_core.records.shipped import FOLDER, LESSON_SWEEP, PERCENTILES, SHIPPED, STILLS, WORDS
from imagen_core.records.stills import Stills
from imagen_core.settings import Request
from imagen_core.types import UserError

from .claims import Series

# The views of the player that a lesson or link may name (static/player/words.js).
VIEWS = ("side", "wipe", "difference", "mask", "parts")


@cache
def header(name: str) -> Header:
    """The header of a recorded run.

    Raises:
        UserError: there is no such run, or its file cannot be read.
    """
    if name not in SHIPPED:
        raise UserError(f"run: must be one of {', '.join(SHIPPED)}, got {name!r:.40}")
    return recording.load(FOLDER / f"{name}.npz").header


@cache
def pictures(name: str) -> Stills:
    """Stills by their name, which is one of STILLS.

    Raises:
        UserError: their file cannot be read.
    """
    return stills.load(FOLDER / f"{name}.json")


def size_of(name: str) -> tuple[int, tuple[str, ...], int]:
    """Of a run: the count of its steps, the labels of its tracks and its pictures' side; stills have no tracks.

    Raises:
        UserError: there is no such run and there are no such stills, or the file cannot be read.
    """
    if name in STILLS:
        shown = pictures(name)
        return len(shown["stills"]), (), shown["size"]
    run = header(name)
    return len(run["steps"]), tuple(track["label"] for track in run["tracks"]), run["size"]


def request_of(name: str) -> Request:
    """The settings behind a recorded run or stills."""
    of_stills = {"sweep": LESSON_SWEEP[1], "words": WORDS[1][0], "percentiles": PERCENTILES[1]}
    return {**{run: asked for run, (_, asked) in SHIPPED.items()}, **of_stills}[name]


def names(run: str, step: int) -> dict[str, Any]:
    """The names that an expression may use where ``run`` is shown at ``step``: each recorded run, stills, and ``run``.

    The steps of stills are their pictures.
    """
    known = {name: facts(header(name), step) for name in SHIPPED}
    known |= {name: still_facts(pictures(name), step) for name in STILLS}
    return {**known, "run": known[run]}


def facts(run: Header, shown: int) -> Mapping[str, Any]:
    """The numbers of one run by name: its w, percentile and count of steps, t over the steps, and each track's."""
    tracks = {
        track["label"]: {name: _series(cast(list[Number], values), shown) for name, values in track["numbers"].items()}
        for track in run["tracks"]
    }
    times = _series([step["t"] for step in run["steps"]], shown)
    first = run["tracks"][0]
    return {"w": first["w"], "percentile": first["percentile"], "steps": run["planned"], "t": times, **tracks}


def still_facts(shown: Stills, step: int) -> Mapping[str, Any]:
    """The numbers of stills by name, each over the pictures."""
    every = [still["numbers"] for still in shown["stills"]]
    return {"steps": len(every), **{name: _series([one[name] for one in every], step) for name in every[0]}}


def _series(values: Iterable[Number], shown: int) -> Series:
    return Series(tuple(math.inf if x is None else x for x in values), shown)
