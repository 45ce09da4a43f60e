"""The tab Learn: by keyboard alone in a real browser, and what a hostile browser is told."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest
from app_page import values_of

from app.lessons import facts
from app.lessons.shelf import shelf
from app.page import Tabs
from app.parts import learning
from app.tabs import learn
from imagen_core.records.shipped import STILLS
from imagen_core.types import UserError

# Enough tab stops to reach anything in a lesson.
STOPS = 60


def tab_to(page: Any, name: str) -> None:
    """Move the focus with the tab key until it stands on a control of this name."""
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"{name!r} cannot be reached by the tab key")


def check_shown(page: Any, show: Any) -> None:
    """The pictures are those that the lesson speaks of."""
    from playwright.sync_api import expect

    if show.run in STILLS:
        page.locator("#learn .learn-stills img").first.wait_for()
        assert page.locator("#learn .learn-stills img").count() == facts.size_of(show.run)[0]
        return
    page.locator("#learn .pl-counter", has_text=f"{show.step} / ").wait_for()
    # Two runs may stand at the same step.
    expect(page.locator("#learn .pl-card b")).to_have_text(list(show.rules))
    assert page.locator(f"#learn .pl[data-view={show.view}]").count() == 1


@pytest.mark.parametrize("lesson", shelf()["en"], ids=lambda lesson: lesson.name)
def test_a_lesson_by_keyboard_alone(visit: Any, url: str, lesson: Any) -> None:
    page = visit(f"{url}?lesson={lesson.number}")
    for step in lesson.steps:
        page.locator("#learn h2", has_text=step.title).wait_for()
        assert page.locator(".learn-screen[data-covered]").count() == 1
        tab_to(page, step.answers[step.right])
        page.keyboard.press("Enter")
        assert page.locator(".learn-outcome strong").first.inner_text() == "Right."
        assert page.locator(".learn-screen[data-covered]").count() == 0
        check_shown(page, step.show)
        last = step is lesson.steps[-1]
        tab_to(page, "Set the controls")
        if not last:
            tab_to(page, "Next")
            page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    w = lesson.steps[-1].request.stages[0].guidance
    page.wait_for_function(f"document.querySelector('#guidance input[type=number]')?.value == {w}")
    # The weight may have been this one before.
    page.locator("[role=tab][aria-selected=true]", has_text="See it").wait_for()


def test_a_link_opens_step_and_language(visit: Any, url: str) -> None:
    page = visit(f"{url}?lesson=3&step=2&lang=de")
    german = next(book for book in shelf()["de"] if book.number == 3)
    page.locator("#learn h2", has_text=german.steps[1].title).wait_for()
    page.locator(".learn-answer").first.click()
    page.get_by_text("Nicht ganz.").wait_for()


def test_a_link_rests_at_its_step_and_share_makes_it(visit: Any, url: str) -> None:
    page = visit(f"{url}?run=strong&step=2&view=mask&rule=none")
    page.locator("#player .pl-counter", has_text="2 / ").wait_for()
    assert page.locator("#player .pl[data-view=mask]").count() == 1
    page.locator("#player").get_by_role("button", name="Share").click()
    assert page.locator("#player .pl-share-field").input_value() == page.url


def test_one_key_shows_the_player_alone(visit: Any, url: str) -> None:
    page = visit(f"{url}?run=strong&step=2")
    page.locator("#player .pl-counter", has_text="2 / ").wait_for()
    page.keyboard.press("p")
    box = page.locator(".pl-projected").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 1366, "height": 900}
    assert page.locator(".pl-sentence").evaluate("x => getComputedStyle(x).fontSize") == "28px"
    page.keyboard.press("ArrowRight")
    assert page.locator("#player .pl-counter").inner_text().startswith("3 / ")
    page.keyboard.press("Escape")
    assert page.locator(".pl-projected").count() == 0
    # Where text is written, the key writes.
    page.locator("#prompt textarea").fill("")
    page.locator("#prompt textarea").press("p")
    assert page.locator("#prompt textarea").input_value() == "p" and page.locator(".pl-projected").count() == 0


def test_a_hostile_link_changes_nothing(visit: Any, url: str) -> None:
    page = visit(f"{url}?run=../strong&step=1&view=%3Cscript%3E")
    page.get_by_text("run: must be one of").first.wait_for()
    page.locator("#player .pl-title b", has_text="Recorded run").wait_for()
    # The weight may have been this one before.
    page.locator("[role=tab][aria-selected=true]", has_text="See it").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_of_a_lesson_has_contrast(visit: Any, url: str, theme: str, contrast_script: str) -> None:
    page = visit(f"{url}?lesson=3&__theme={theme}")
    page.locator(".learn-answer").first.click()
    page.locator("#learn .pl-card").first.wait_for()
    assert page.evaluate(contrast_script) == []


@pytest.mark.parametrize("data", [None, {}, {"lesson": 3}, {"lesson": 3, "step": 900}, {"lesson": "3", "step": 1}, [3]])
def test_a_step_that_does_not_exist_is_refused(tabs: Tabs, data: Any) -> None:
    with pytest.raises(gr.Error, match="there is no such step"):
        tabs.learn.attempt(values_of(tabs), gr.EventData(None, data))


@pytest.mark.parametrize("name", ["walrus", "../strong", None, 3, ["strong"]])
def test_a_run_that_does_not_exist_is_a_note(name: Any) -> None:
    assert '"kind": "waiting"' in learning.recorded(name)


def test_a_lesson_that_does_not_hold_leaves_the_page_standing(tabs: Tabs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise UserError("en/1-noise.md, line 9: this claim does not hold")

    monkeypatch.setattr(learning, "shelf", refused)
    with gr.Blocks(), gr.Tabs():
        tab = learn.lay_out(tabs.see.page)
    assert "this claim does not hold" in tab.lessons.value
