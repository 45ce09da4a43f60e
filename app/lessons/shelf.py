"""All lessons, by language: each in every language, with the same steps and claims."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from imagen_core.types import UserError

from .lesson import Lesson, Step, load

FOLDER = Path(__file__).parent
# The first is the one that the others are held to.
LANGUAGES = {"en": "English", "de": "Deutsch"}


@cache
def shelf() -> dict[str, tuple[Lesson, ...]]:
    """The shipped lessons of each language in their order.

    Raises:
        UserError: a lesson is damaged, a claim does not hold, or a translation is missing; the message names the file.
    """
    return read(FOLDER)


def read(folder: Path) -> dict[str, tuple[Lesson, ...]]:
    """As :func:`shelf`, from the folders of each language in ``folder``."""
    found = {}
    for language in LANGUAGES:
        paths = sorted((folder / language).glob("*.md"))
        found[language] = tuple(load(path) for path in paths)
    first, *others = LANGUAGES
    for language in others:
        _compare(found[first], found[language], language)
    return found


def _compare(lessons: tuple[Lesson, ...], translated: tuple[Lesson, ...], language: str) -> None:
    by_name = {(lesson.number, lesson.name): lesson for lesson in translated}
    for lesson in lessons:
        file = f"{language}/{lesson.number}-{lesson.name}.md"
        other = by_name.pop((lesson.number, lesson.name), None)
        if other is None:
            raise UserError(f"{file}: is missing; there is {lesson.language}/{lesson.number}-{lesson.name}.md")
        if len(other.steps) != len(lesson.steps):
            raise UserError(f"{file}: must have {len(lesson.steps)} steps, as in {lesson.language}")
        for step, same in zip(lesson.steps, other.steps):
            if _facts(step) != _facts(same):
                raise UserError(f"{file}: step {same.title!r} must show, ask, claim and set the same as {step.title!r}")
    for number, name in by_name:
        raise UserError(f"{language}/{number}-{name}.md: has no original")


def _facts(step: Step) -> tuple[object, ...]:
    """What a translation must not change."""
    show = step.show
    shown = (show.run, show.step, show.view, show.rules, show.pixel, show.formula.count("*"))
    return (*shown, len(step.answers), step.right, sorted(step.claims), step.settings)
