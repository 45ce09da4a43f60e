"""The page in a real browser: what a visitor sees, does and is refused, with nothing asked of the network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.layout import LAUNCH, build
from app.models import Model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: on Debian, apt-get install chromium")
SECONDS = 1000
LIMIT = 25 * SECONDS


@pytest.fixture(scope="module")
def url(tiny_folder: Path) -> Iterator[str]:
    demo = build(Model(str(tiny_folder)))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield url
    demo.close()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, url: str):
    """A fresh visitor at the loaded page; afterwards: no console error, nothing asked of another machine."""
    context = chromium.new_context(viewport={"width": 1366, "height": 900})
    page = context.new_page()
    page.set_default_timeout(LIMIT)
    errors: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: foreign.append(request.url) if not local(request.url) else None)
    page.goto(url)
    page.get_by_text("ready").wait_for()
    yield page
    context.close()
    assert errors == [] and foreign == []


def local(address: str) -> bool:
    return re.match(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]", address) is not None or address.startswith(
        ("data:", "blob:")
    )


def few_steps(page, steps: int) -> None:
    field = page.get_by_label("number input for Steps")
    if not field.is_visible():
        page.get_by_role("button", name="Advanced").click()
        field.wait_for()
        # A control that has just appeared takes a moment to listen.
        page.wait_for_timeout(SECONDS / 2)
    field.fill(str(steps))
    field.press("Tab")
    page.wait_for_timeout(SECONDS / 2)


def test_from_prompt_to_upscaled_picture(page) -> None:
    """The whole visit: generate, watch three panels, keep a lossless picture, upscale it."""
    few_steps(page, 4)
    page.locator("#generate").click()
    page.get_by_text("Step 4 of 4:").wait_for()
    panels = page.locator(".lab-panel")
    assert panels.count() == 3
    assert [panels.nth(i).locator("b").inner_text().split()[0] for i in range(3)] == ["none", "static", "dynamic"]
    shown = [panels.nth(i).locator("img").get_attribute("src") for i in range(3)]
    assert len(set(shown)) == 3 and all(link.startswith("data:image/png") for link in shown)
    page.locator("#gallery img").first.wait_for()
    assert ".png" in page.locator("#gallery img").first.get_attribute("src")
    page.locator("#upscale-256").click()
    page.get_by_text("256 × 256 in").wait_for()


def test_stop_ends_the_run_and_keeps_what_was_seen(page) -> None:
    few_steps(page, 250)
    page.locator("#generate").click()
    page.locator(".lab-panel img").first.wait_for()
    page.locator("#stop").click()
    page.wait_for_timeout(1 * SECONDS)
    sentence = page.locator(".lab-sentence").inner_text()
    assert int(re.match(r"Step (\d+) of 250", sentence)[1]) < 250
    page.wait_for_timeout(1 * SECONDS)
    assert page.locator(".lab-sentence").inner_text() == sentence
    # The engine is free again.
    few_steps(page, 2)
    page.locator("#generate").click()
    page.get_by_text("Step 2 of 2:").wait_for()


def test_unknown_words_and_mistakes_are_said_kindly(page) -> None:
    prompt = page.locator("#prompt textarea")
    prompt.fill("a dog on a <b>skateboard</b>")
    page.get_by_text("Never seen in training").wait_for()
    assert "dog" in page.locator("#words").inner_text()
    prompt.fill("")
    page.locator("#generate").click()
    page.get_by_text("prompt: must have between 1 and 500 characters").wait_for()
    assert page.get_by_text("Traceback").count() == 0


@pytest.mark.parametrize("width", [390, 1366])
def test_nothing_is_wider_than_the_window(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_generate_from_the_keyboard(page) -> None:
    few_steps(page, 2)
    page.locator("#seed input").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
    page.keyboard.press("Enter")
    page.get_by_text("Step 2 of 2:").wait_for()
