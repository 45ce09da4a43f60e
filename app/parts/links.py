"""Links that show something: ``?lesson=3&step=2`` opens a lesson, ``?run=strong&step=1&view=mask`` a recorded run.

All other names in a link are settings (settings/text.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from imagen_core.records.payload import State
from imagen_core.records.shipped import SHIPPED
from imagen_core.types import UserError

from ..lessons.facts import VIEWS, header
from ..lessons.shelf import LANGUAGES, shelf

NAMES = ("lesson", "lang", "run", "step", "view", "rule", "pixel")


@dataclass(frozen=True)
class Link:
    """What a link shows: a lesson, or a recorded run in a state. Exactly one of ``lesson`` and ``run`` is set."""

    lesson: int | None
    run: str | None
    begin: State | None


def read(pairs: Iterable[tuple[str, str]]) -> tuple[Link | None, Sequence[tuple[str, str]]]:
    """What a link's query shows, or None, and the pairs that are left for the settings.

    Raises:
        UserError: there is no such lesson, run, step, view, rule or pixel, or a name is given twice.
    """
    given = [(str(key), str(value)) for key, value in pairs]
    own = {key: value for key, value in given if key in NAMES}
    if len(own) < sum(key in NAMES for key, _ in given):
        raise UserError("link: lesson, run and what they show can be given once")
    rest = [pair for pair in given if pair[0] not in NAMES]
    if "lesson" in own:
        return _lesson(own), rest
    if "run" in own:
        return _run(own), rest
    if own:
        raise UserError(f"link: {next(iter(own))} needs a lesson or a run")
    return None, rest


def followed(pairs: Iterable[tuple[str, str]]) -> Link | None:
    """What a link's query shows; None where it shows nothing, or is a bad link."""
    try:
        return read(pairs)[0]
    except UserError:
        return None


def to_run(name: str) -> str:
    """The query of a link to a recorded run; the player adds what it shows."""
    return urlencode({"run": name})


def _lesson(own: dict[str, str]) -> Link:
    language = own.get("lang", next(iter(LANGUAGES)))
    if language not in LANGUAGES:
        raise UserError(f"lang: must be one of {', '.join(LANGUAGES)}")
    books = {book.number: book for book in shelf()[language]}
    number = _whole("lesson", own["lesson"], 1, max(books))
    _whole("step", own.get("step", "1"), 1, len(books[number].steps))
    return Link(number, None, None)


def _run(own: dict[str, str]) -> Link:
    name = own["run"]
    if name not in SHIPPED:
        raise UserError(f"run: must be one of {', '.join(SHIPPED)}")
    run = header(name)
    begin: State = {}
    if "step" in own:
        begin["step"] = _whole("step", own["step"], 1, run["planned"])
    if "view" in own:
        begin["view"] = _choice("view", own["view"], VIEWS)
    if "rule" in own:
        begin["rule"] = _choice("rule", own["rule"], [track["label"] for track in run["tracks"]])
    if "pixel" in own:
        x, comma, y = own["pixel"].partition(",")
        if not comma:
            raise UserError("pixel: must be two numbers with a comma between them")
        begin["pixel"] = [_whole("pixel", place, 0, run["size"] - 1) for place in (x, y)]
    return Link(None, name, begin or None)


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not low <= int(text) <= high:
        raise UserError(f"{name}: must be a whole number between {low} and {high}")
    return int(text)


def _choice(name: str, text: str, choices: Iterable[Any]) -> str:
    known = list(choices)
    if text not in known:
        raise UserError(f"{name}: must be one of {', '.join(known)}")
    return text
