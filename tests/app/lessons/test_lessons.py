"""The shipped lessons: every claim holds for the recorded runs; and a damaged lesson is named in one line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from app.lessons import shelf as shelves
from app.lessons.lesson import Lesson, load
from app.lessons.shelf import FOLDER, LANGUAGES, read, shelf
from imagen_core.settings import DEFAULT_SIZES
from imagen_core.types import UserError

# Of three minutes, two and a quarter: adults read 238 words in a minute (Brysbaert 2019).
MOST_WORDS = 540
FILES = sorted(FOLDER.rglob("*.md"))
LESSON = """---
title: A lesson
---

Why.

## A step

```show
run: strong
step: 1
view: mask
rules: none
```

### Predict

What?

- [ ] This
- [x] That

### Reveal

It is {{ run.none.outside | percent }}. {{ run.none.outside > 0 }}

### Try

Turn.

```set
guidance=3
```
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_claim_holds(path: Path) -> None:
    """A wrong claim, an unknown run or a step out of range fails here, and the message names file and line."""
    load(path)


def test_the_shelf_is_whole_in_every_language() -> None:
    books = shelf()
    assert set(books) == set(LANGUAGES)
    assert [book.number for book in books["en"]] == list(range(1, len(books["en"]) + 1))


@pytest.mark.parametrize(
    "lesson", [book for books in shelf().values() for book in books], ids=lambda book: f"{book.language}-{book.name}"
)
def test_a_lesson_takes_three_minutes(lesson: Lesson) -> None:
    texts = [text for step in lesson.steps for text in (*step.predict, *step.answers, *step.reveal, *step.attempt)]
    assert sum(len(text.split()) for text in (*lesson.intro, *texts)) <= MOST_WORDS


def test_try_it_sets_all_stages() -> None:
    for lesson in shelf()["en"]:
        for step in lesson.steps:
            assert tuple(stage.size for stage in step.request.stages) == DEFAULT_SIZES
            assert step.settings


def saved(folder: Path, text: str, language: str = "en", name: str = "1-test.md") -> Path:
    path = folder / language / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_are_filled_in_by_language(tmp_path: Path) -> None:
    text = LESSON.replace("| percent", "| number")
    english = load(saved(tmp_path, text)).steps[0].reveal[0]
    assert re.fullmatch(r"It is \d\.\d\d\.", english)
    assert load(saved(tmp_path, text, "de")).steps[0].reveal[0] == english.replace(".", ",", 1)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("title: A lesson", "name: A lesson", "line 1: must begin with front matter that has a title"),
        ("## A step", "A step", "has no steps"),
        ("run: strong", "run: walrus", r"run: must be one of .*, got 'walrus'"),
        ("step: 1", "step: 900", r"step: must be between 1 and \d+, or last, got 900"),
        ("step: 1", "step: 0", r"step: must be between 1 and \d+, or last, got 0"),
        ("view: mask", "view: x-ray", "view: must be one of side, wipe, difference, mask, parts, got x-ray"),
        ("view: mask", "pixel: 64, 0", "pixel: must be x, y between 0 and 63, got 64, 0"),
        ("view: mask", "colour: red", "the block show has no colour"),
        ("rules: none", "rules: walrus", "rules: must be among none, static, dynamic, got walrus"),
        ("### Reveal", "### Show", "must have the parts Predict, Reveal, Try"),
        ("- [x] That\n", "", "two to four answers"),
        ("- [x] That", "- [ ] That", "exactly one answer"),
        ("outside > 0", "outside > 1", "line 25: this claim does not hold: run.none.outside > 1"),
        ("outside > 0", "walrus > 0", "line 25: 'walrus' is unknown"),
        ("outside > 0", "outside[900] > 0", "line 25: step must be between 1 and"),
        ("{{ run.none.outside | percent }}. {{ run.none.outside > 0 }}", "much.", "must carry a check"),
        ("guidance=3", "guidance=900", "line 33: guidance: must be a number between"),
        ("guidance=3", "size=1024", "must be name=value"),
        ("guidance=3", "strongly", "a line of the block set is a name and a value"),
        ("Why.", "{{ run.w | short }}", "only a step's text can hold expressions"),
    ],
)
def test_a_damaged_lesson_is_named_in_one_line(tmp_path: Path, before: str, after: str, line: str) -> None:
    assert LESSON.count(before) >= 1
    path = saved(tmp_path, LESSON.replace(before, after))
    with pytest.raises(UserError, match=line) as refusal:
        load(path)
    assert str(refusal.value).startswith("en/1-test.md, line ") and "\n" not in str(refusal.value)


def test_a_missing_or_differing_translation_is_named(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "en", tmp_path / "en")
    shutil.copytree(FOLDER / "de", tmp_path / "de")
    file = next(path for path in sorted((tmp_path / "de").iterdir()) if path.name.startswith("3-"))
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("run.none.outside > 0.5", "run.none.outside > 0.25"), encoding="utf-8")
    with pytest.raises(UserError, match=rf"de/{file.name}: step .* must show, ask, claim and set the same as"):
        read(tmp_path)
    file.unlink()
    with pytest.raises(UserError, match=rf"de/{file.name}: is missing"):
        read(tmp_path)
    saved(tmp_path, text, "de", file.name)
    saved(tmp_path, text, "de", "9-more.md")
    with pytest.raises(UserError, match=r"de/9-more\.md: has no original"):
        read(tmp_path)
    assert shelves.shelf()
