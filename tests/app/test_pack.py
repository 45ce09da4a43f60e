"""The class pack: it opens from disk, plays its runs and asks nothing of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from full_disk import full_disk

from app.entry import main
from app.lessons.shelf import LANGUAGES, shelf
from app.pack import write
from imagen_core.records.shipped import SHIPPED
from imagen_core.types import UserError


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "class"
    assert main(["pack", "--to", str(folder)]) == 0
    return folder


def test_a_lesson_opens_from_disk(visit: Any, pack: Path) -> None:
    lesson = next(book for book in shelf()["en"] if book.number == 3)
    step = lesson.steps[1]
    page = visit(f"{(pack / 'index.html').as_uri()}?lesson=3&step=2")
    page.locator(".learn-answer", has_text=step.answers[step.right]).click()
    page.get_by_text("Right.").wait_for()
    page.locator(".pl-counter", has_text=f"{step.show.step} / ").wait_for()
    # There are no controls to set.
    assert page.get_by_text("Set the controls").count() == 0 and page.get_by_text("Try it").count() == 1


def test_a_run_opens_at_its_step(visit: Any, pack: Path) -> None:
    page = visit(f"{(pack / 'play.html').as_uri()}?run=off&step=2&view=mask")
    page.locator(".pl-counter", has_text="2 / ").wait_for()
    assert page.locator(".pl[data-view=mask]").count() == 1
    assert page.locator("[data-run]").count() == len(SHIPPED)


def test_a_hostile_query_opens_the_first_run(visit: Any, pack: Path) -> None:
    page = visit(f"{(pack / 'play.html').as_uri()}?run=../lab&step=%3Cb%3E&view=constructor")
    page.locator(".pl-title b", has_text="Recorded run").wait_for()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sheet_has_every_question_and_its_answer(pack: Path, language: str) -> None:
    text = (pack / f"sheet-{language}.html").read_text(encoding="utf-8")
    questions, answers = text.split("<section>")
    for lesson in shelf()[language]:
        assert lesson.title in questions and lesson.title in answers
    assert questions.count("<ul>") == answers.count("<b>") == sum(len(lesson.steps) for lesson in shelf()[language])


def test_a_pack_is_written_over_an_earlier_one_and_over_nothing_else(pack: Path, tmp_path: Path) -> None:
    assert {path.parent for path in write(pack)} == {pack, pack / "runs"}
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="holds something else"):
            next(write(place))


def test_a_pack_that_was_killed_may_be_written_again(pack: Path, tmp_path: Path) -> None:
    # A generator that is left early stands for a killed process.
    next(write(tmp_path))
    (tmp_path / ".1-1.part").touch()
    (tmp_path / "runs").mkdir()
    assert {path.relative_to(tmp_path) for path in write(tmp_path)} == {
        path.relative_to(pack) for path in pack.rglob("*") if path.is_file()
    }


def test_a_full_disk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with full_disk(), pytest.raises(SystemExit) as end:
        main(["pack", "--to", str(tmp_path)])
    assert end.value.code == 2 and list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == f"imagen-lab pack: {tmp_path / 'lab.js'}: File too large\n"


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for arguments in ([], ["--to", str(tmp_path)]):
        with pytest.raises(SystemExit) as end:
            main(["pack", *arguments])
        assert end.value.code == 2
    assert "holds something else" in capsys.readouterr().err
