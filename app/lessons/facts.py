"""What the lessons may claim something about: the numbers of the recorded runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from imagen_core.records import recording
from imagen_core.records.payload import Header, Number
from imagen_core.records.shipped import FOLDER, SHIPPED
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


def names(run: str, step: int) -> dict[str, Any]:
    """The names that an expression may use where ``run`` is shown at ``step``: each recorded run, and ``run``."""
    known = {name: facts(header(name), step) for name in SHIPPED}
    return {**known, "run": known[run]}


def facts(run: Header, shown: int) -> Mapping[str, Any]:
    """The numbers of one run by name: its w, its count of steps, t over the steps, and those of each track."""
    tracks = {
        track["label"]: {name: _series(values, shown) for name, values in track["numbers"].items()}
        for track in run["tracks"]
    }
    times = _series([step["t"] for step in run["steps"]], shown)
    return {"w": run["tracks"][0]["w"], "steps": run["planned"], "t": times, **tracks}


def _series(values: Any, shown: int) -> Series:
    numbers: list[Number] = values
    return Series(tuple(math.inf if x is None else x for x in numbers), shown)
