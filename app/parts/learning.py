"""The lessons as a component, and as the JSON that their script takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.records.shipped import SHIPPED, STILLS
from imagen_core.types import UserError

from ..lessons import facts
from ..lessons.lesson import Step
from ..lessons.shelf import LANGUAGES, shelf
from . import examples, player
from .bundle import script

_FOLDER = Path(__file__).parents[1] / "static" / "learn"
SCRIPT = script(_FOLDER / "main.js", "ImagenLearn")
STYLE = _FOLDER / "learn.css"


def component(*, elem_id: str) -> gr.HTML:
    """The lessons; "try it" is the event ``submit``, with the lesson's and the step's number."""
    return gr.HTML(
        lessons(),
        html_template='<div class="learn-place"></div>',
        js_on_load="ImagenLearn.mount(element, props.value, { kit: ImagenPlayer, load: server.recorded, "
        "attempt: (lesson, step) => trigger('submit', { lesson, step }) });",
        head=f"<script>{SCRIPT}</script>",
        server_functions=[recorded],
        apply_default_css=False,
        elem_id=elem_id,
        padding=False,
    )


def recorded(name: Any) -> str:
    """The player's value of a recorded run, or stills; a note where the browser asks for one that does not exist."""
    if isinstance(name, str) and name in STILLS:
        return json.dumps({"kind": "stills", **facts.pictures(name)})
    try:
        if isinstance(name, str) and name in SHIPPED:
            return _view_of(name)
    except UserError as error:
        return player.waiting(f"This recorded run cannot be read: {error}.")
    return player.waiting("There is no such recorded run.")


@cache
def _view_of(name: str) -> str:
    """A lesson has no slider of w, so its runs name no others; made once for all visitors."""
    return examples.view_of(name)


def lessons() -> str:
    """All lessons in all languages, for the script.

    Raises:
        UserError: a lesson is damaged, or a claim does not hold.
    """
    books: dict[str, Any] = {language: [asdict(lesson) for lesson in books] for language, books in shelf().items()}
    return json.dumps({"shelf": books, "languages": LANGUAGES}, ensure_ascii=False).replace("<", "\\u003c")


def step_at(lesson: Any, step: Any) -> Step | None:
    """The step of a lesson by numbers that come from a browser; None where there is no such step."""
    books = next(iter(shelf().values()))
    found = next((book for book in books if type(lesson) is int and book.number == lesson), None)
    if found is None or type(step) is not int or not 1 <= step <= len(found.steps):
        return None
    return found.steps[step - 1]
