"""A lesson: a Markdown file as values, its claims checked and its numbers filled in.

A file has front matter with a ``title``, a paragraph, and steps. A step is a heading ``##`` with a block ``show``
(what the player shows), then ``### Predict`` (a question and a list of answers, the right one marked ``[x]``),
``### Reveal`` and ``### Try`` with a block ``set`` of settings. Anything in double braces is an expression (claims.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from imagen_core.settings import Request
from imagen_core.settings.text import with_more
from imagen_core.types import UserError

from . import facts
from .claims import FORMATS, result

PARTS = ("Predict", "Reveal", "Try")
SHOWN = ("run", "step", "view", "rules", "pixel", "formula")
_EXPRESSION = re.compile(r"\s?\{\{(.*?)\}\}")
_ANSWER = re.compile(r"- \[([ x])\] (.+)")


@dataclass(frozen=True)
class Show:
    """What the player shows: a recorded run at a step from 1, a view, some of its rules, and a formula; or stills.

    ``pixel`` is [x, y] or None for the one with the largest value. Parts of the formula between asterisks are lit.
    """

    run: str
    step: int
    view: str
    rules: tuple[str, ...]
    pixel: tuple[int, int] | None
    formula: str


@dataclass(frozen=True)
class Step:
    """Predict, reveal and try: paragraphs of text; ``right`` is the place of the right answer, ``settings`` are words
    such as ``guidance=12`` that lead from the shown run to the one to try, and ``claims`` those that were checked."""

    title: str
    show: Show
    predict: tuple[str, ...]
    answers: tuple[str, ...]
    right: int
    reveal: tuple[str, ...]
    attempt: tuple[str, ...]
    settings: tuple[str, ...]
    claims: tuple[str, ...]

    @property
    def request(self) -> Request:
        """What "try it" sets the controls to."""
        return with_more(facts.request_of(self.show.run), " ".join(self.settings))


@dataclass(frozen=True)
class Lesson:
    """A lesson in one language; ``number`` and ``name`` come from its file's name."""

    number: int
    name: str
    language: str
    title: str
    intro: tuple[str, ...]
    steps: tuple[Step, ...]


def load(path: Path) -> Lesson:
    """Read a lesson, check all its claims and fill in its numbers.

    Raises:
        UserError: the file is not such a lesson, or a claim does not hold; the message begins with the file.
    """
    try:
        return _Reader(path).lesson()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read") from error


class _Reader:
    """One file, line by line; ``at`` is the number of the line that a message names."""

    def __init__(self, path: Path) -> None:
        self.path, self.language, self.at = path, path.parent.name, 0
        self.lines = path.read_text(encoding="utf-8").splitlines()

    def refuse(self, text: str) -> NoReturn:
        raise UserError(f"{self.path.parent.name}/{self.path.name}, line {self.at}: {text}")

    def lesson(self) -> Lesson:
        number, _, name = self.path.stem.partition("-")
        if not number.isdigit() or not name:
            self.refuse("the file's name must be a number, a hyphen and a word")
        title = self._front_matter()
        head, *sections = self._sections(r"## (.+)")
        if not sections:
            self.refuse("has no steps; each begins with ## and its title")
        steps = tuple(self._step(title, body, begin) for begin, title, body in sections)
        return Lesson(int(number), name, self.language, title, self._paragraphs(head[2], head[0], None)[0], steps)

    def _front_matter(self) -> str:
        self.at = 1
        matter = re.match(r"---\ntitle: (.+)\n---\n", "\n".join(self.lines))
        if not matter:
            self.refuse("must begin with front matter that has a title")
        return matter[1]

    def _sections(
        self, heading: str, body: list[str] | None = None, begin: int = 3
    ) -> list[tuple[int, str, list[str]]]:
        """(line, title, lines) of what comes before the first heading, with no title, and of each heading's section."""
        found: list[tuple[int, str, list[str]]] = [(begin, "", [])]
        for at, line in enumerate(self.lines[begin:] if body is None else body, begin + 1):
            if match := re.fullmatch(heading, line):
                found.append((at, match[1], []))
            else:
                found[-1][2].append(line)
        return found

    def _step(self, title: str, body: list[str], begin: int) -> Step:
        self.at = begin
        head, *parts = self._sections(r"### (.+)", body, begin)
        if tuple(name for _, name, _ in parts) != PARTS:
            self.refuse(f"step {title!r} must have the parts {', '.join(PARTS)}")
        show = self._show(dict(self._block("show", head[2], head[0])))
        (ask_at, _, ask), (reveal_at, _, reveal), (try_at, _, attempt) = parts
        answers = [_ANSWER.fullmatch(line) for line in ask if line.startswith("- ")]
        self.at = ask_at
        if not 2 <= len(answers) <= 4 or None in answers:
            self.refuse("a question has two to four answers, each a line that begins with - [ ] or - [x]")
        marks = [match[1] for match in answers if match]
        if marks.count("x") != 1:
            self.refuse("exactly one answer must be marked [x]")
        predict, _ = self._paragraphs([line for line in ask if not line.startswith("- ")], ask_at, show)
        texts, claims = self._paragraphs(reveal, reveal_at, show)
        if not claims:
            self.refuse("what is revealed must carry a check in double braces")
        words = tuple(f"{key}={value}" for key, value in self._block("set", attempt, try_at))
        trial, more = self._paragraphs(_without_block(attempt), try_at, show)
        step = Step(
            title, show, predict, tuple(match[2] for match in answers if match), marks.index("x"), texts, trial, words,
            (*claims, *more),
        )  # fmt: skip
        try:
            _ = step.request
        except UserError as error:
            self.refuse(str(error))
        return step

    def _block(self, name: str, body: list[str], begin: int) -> Iterator[tuple[str, str]]:
        """The pairs of a fenced block, from lines ``key: value`` or ``key=value``."""
        inside = False
        for self.at, line in enumerate(body, begin + 1):
            if line.startswith("```"):
                inside = not inside and line == f"```{name}"
            elif inside:
                pair = re.fullmatch(r"([\w.]+)(?:: |=)(.+)", line)
                if not pair:
                    self.refuse(f"a line of the block {name} is a name and a value")
                yield pair[1], pair[2].strip()

    def _show(self, given: dict[str, str]) -> Show:
        if unknown := given.keys() - set(SHOWN):
            self.refuse(f"the block show has no {', '.join(sorted(unknown))}; it has {', '.join(SHOWN)}")
        try:
            count, labels, size = facts.size_of(given.get("run", ""))
        except UserError as error:
            self.refuse(str(error))
        asked = given.get("step", "last")
        step = count if asked == "last" else int(asked) if asked.isdecimal() else 0
        if not 1 <= step <= count:
            self.refuse(f"step: must be between 1 and {count}, or last, got {asked}")
        view = given.get("view", "side")
        if view not in facts.VIEWS:
            self.refuse(f"view: must be one of {', '.join(facts.VIEWS)}, got {view}")
        rules = tuple(given["rules"].split(", ")) if "rules" in given else labels
        if not set(rules) <= set(labels):
            self.refuse(f"rules: must be among {', '.join(labels)}, got {given['rules']}")
        pixel = re.fullmatch(r"(\d+), (\d+)", given.get("pixel", "0, 0"))
        place = (int(pixel[1]), int(pixel[2])) if pixel else (size, 0)
        if max(place) >= size:
            self.refuse(f"pixel: must be x, y between 0 and {size - 1}, got {given['pixel']}")
        return Show(given["run"], step, view, rules, place if "pixel" in given else None, given.get("formula", ""))

    def _paragraphs(self, body: list[str], begin: int, show: Show | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paragraphs of text, and the claims in them."""
        claims: list[str] = []
        paragraphs: list[list[str]] = [[]]
        for self.at, line in enumerate(body, begin + 1):
            filled = _EXPRESSION.sub(lambda match: self._fill(match, show, claims), line)
            if not filled.strip():
                paragraphs.append([])
            else:
                paragraphs[-1].append(filled.strip())
        return tuple(" ".join(lines) for lines in paragraphs if lines), tuple(claims)

    def _fill(self, match: re.Match[str], show: Show | None, claims: list[str]) -> str:
        """The text in place of an expression: nothing for a claim, which must hold."""
        if show is None:
            self.refuse("only a step's text can hold expressions, since they need its run")
        try:
            value, shown = result(match[1], facts.names(show.run, show.step))
        except UserError as error:
            self.refuse(str(error))
        claims.append(match[1].strip())
        if shown is None:
            if not value:
                self.refuse(f"this claim does not hold: {match[1].strip()}")
            return ""
        text = FORMATS[shown](value)
        space = " " if match[0][0].isspace() else ""
        return space + (text if self.language == "en" else text.replace(".", ",")).replace(" %", "\u00a0%")


def _without_block(body: list[str]) -> list[str]:
    """The lines outside fenced blocks, which leave empty lines behind."""
    inside, kept = False, []
    for line in body:
        fence = line.startswith("```")
        kept.append("" if fence or inside else line)
        inside = inside is not fence
    return kept
