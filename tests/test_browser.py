"""The page in a real browser: what a visitor sees, does and is refused, with nothing asked of the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.layout import LAUNCH, build
from app.models import Model

SECOND = 1000


@pytest.fixture(scope="module")
def url(tiny_folder: Path) -> Iterator[str]:
    demo = build(Model(str(tiny_folder)))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield url
    demo.close()


@pytest.fixture
def page(visit, url: str) -> Any:
    """A fresh visitor at the loaded page."""
    page = visit(url)
    page.get_by_text("ready", exact=False).first.wait_for()
    return page


def few_steps(page, steps: int) -> None:
    field = page.locator("#steps input[type=number]")
    if not field.is_visible():
        page.get_by_role("button", name="Advanced").first.click()
        field.wait_for()
        # A control that has just appeared takes a moment to listen.
        page.wait_for_timeout(SECOND / 2)
    field.fill(str(steps))
    field.press("Tab")
    page.wait_for_timeout(SECOND / 2)


def run(page, steps: int) -> None:
    few_steps(page, steps)
    page.locator("#generate").click()
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.locator(".pl-counter", has_text=f"{steps} / {steps}").wait_for()


def test_a_recorded_run_plays_at_once(page) -> None:
    """Nobody has to press anything to see the three rules at work."""
    page.locator(".pl-title b", has_text="Recorded run").wait_for()
    names = page.locator(".pl-card b").all_inner_texts()
    assert names == ["none", "static", "dynamic"]
    seen = set()
    for _ in range(12):
        seen.add(page.locator(".pl-counter").inner_text())
        page.wait_for_timeout(SECOND / 4)
    assert len(seen) > 3
    assert page.locator(".pl-sentence").inner_text().startswith("Step ")


def test_an_example_sets_the_controls_to_what_made_it(page) -> None:
    page.locator("#examples button", has_text="w = 5").click()
    page.locator(".pl-title span", has_text="w = 5").wait_for()
    assert page.locator("#guidance input[type=number]").input_value() == "5"


def test_from_prompt_to_upscaled_picture(page) -> None:
    """The whole visit: generate, watch, keep a lossless picture, upscale it, save the report."""
    run(page, 4)
    assert page.locator("#gallery img").first.get_attribute("src").endswith(".png")
    page.locator("#upscale-256").click()
    page.get_by_text("256 × 256 in").wait_for()
    with page.expect_download() as download:
        page.locator("#report").click()
    assert b"Your run" in Path(download.value.path()).read_bytes()


def test_frames_come_while_the_run_is_at_work(page) -> None:
    few_steps(page, 30)
    page.locator("#generate").click()
    page.locator(".pl[data-kind=live]").wait_for()
    assert page.locator(".pl-scrubber").is_disabled()
    page.locator(".pl[data-kind=recording] .pl-counter", has_text="30 / 30").wait_for()
    assert page.locator(".pl-scrubber").is_enabled()


def test_stop_ends_the_run_and_keeps_what_was_seen(page) -> None:
    few_steps(page, 250)
    page.locator("#generate").click()
    page.locator(".pl[data-kind=live]").wait_for()
    page.locator("#stop").click()
    page.locator(".pl-title b", has_text="Stopped run").wait_for()
    words = page.locator(".pl-sentence").inner_text()
    assert int(re.match(r"Step (\d+) of 250", words)[1]) < 250
    page.wait_for_timeout(SECOND)
    assert page.locator(".pl-sentence").inner_text() == words
    # What was kept can be played, and the engine is free again.
    page.locator(".pl-scrubber").press("Home")
    assert page.locator(".pl-sentence").inner_text().startswith("Step 1 of 250")
    run(page, 2)


def test_unknown_words_and_mistakes_are_said_kindly(page) -> None:
    prompt = page.locator("#prompt textarea")
    prompt.fill("a dog on a <b>skateboard</b>")
    page.get_by_text("Never seen in training").wait_for()
    assert "dog" in page.locator("#words").inner_text()
    prompt.fill("")
    page.locator("#generate").click()
    page.get_by_text("prompt: must have between 1 and 500 characters").first.wait_for()
    assert page.get_by_text("Traceback").count() == 0


def test_markup_in_a_prompt_stays_text(page) -> None:
    hostile = "<img src=x onerror=alert(1)></script><script>alert(1)</script>"
    page.locator("#prompt textarea").fill(hostile)
    run(page, 2)
    assert page.locator(".pl-title q").inner_text() == hostile and page.locator(".pl-title img").count() == 0


def test_two_visitors_do_not_meet(visit, page, url: str) -> None:
    other = visit(url)
    other.get_by_text("ready", exact=False).first.wait_for()
    page.locator("#prompt textarea").fill("a green cone")
    run(page, 2)
    assert "green cone" not in other.locator(".pl-title").inner_text()
    assert not other.locator("#upscale-256").is_enabled()


def test_generate_and_scrub_from_the_keyboard(page) -> None:
    few_steps(page, 3)
    page.locator("#dice").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
    page.keyboard.press("Enter")
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.locator(".pl-scrubber").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".pl-counter").inner_text() == "2 / 3"


@pytest.mark.parametrize("width", [390, 1366])
def test_nothing_is_wider_than_the_window(visit, url: str, width: int) -> None:
    page = visit(url, viewport={"width": width, "height": 800})
    page.locator(".pl-card").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast(visit, url: str, theme: str, contrast_script: str) -> None:
    """WCAG AA: 4.5 to 1, or 3 to 1 where text is large."""
    page = visit(f"{url}?__theme={theme}")
    page.locator(".pl-card").first.wait_for()
    page.get_by_text("ready", exact=False).first.wait_for()
    assert page.evaluate(contrast_script) == []
