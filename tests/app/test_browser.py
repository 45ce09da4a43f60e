"""The page in a real browser: what a visitor sees, does and is refused, with nothing asked of the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from app_page import width_of

SECOND = 1000


@pytest.fixture
def page(visit, url: str) -> Any:
    """A fresh visitor at the loaded page."""
    page = visit(url)
    page.get_by_text("ready", exact=False).first.wait_for()
    return page


def few_steps(page, steps: int) -> None:
    field = page.locator("#steps input[type=number]")
    if not field.is_visible():
        page.get_by_role("button", name="More settings").first.click()
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


# Every text that the step counter has shown, from its first.
WATCH = """window.seen = []; new MutationObserver(() => {
  const text = document.querySelector(".pl-counter")?.innerText;
  if (text && text !== window.seen.at(-1)) window.seen.push(text);
}).observe(document, {subtree: true, childList: true, characterData: true})"""


def test_a_recorded_run_plays_at_once(visit, url: str) -> None:
    """Nobody has to press anything, nor wait for the model, to see the three rules at work."""
    page = visit(url)
    page.add_init_script(WATCH)
    page.reload()
    page.locator(".pl-title b", has_text="Recorded run").wait_for()
    names = page.locator(".pl-card b").all_inner_texts()
    assert names == ["none", "static", "dynamic"]
    page.locator(".pl-counter", has_text="25 / 25").wait_for()
    assert page.evaluate("window.seen") == [f"{step} / 25" for step in range(1, 26)]
    words = page.locator(".pl-sentence").inner_text()
    assert words.startswith("Step 25 of 25. Burnt values at the end: none ")


def test_a_recorded_run_first_rests_on_the_step_where_the_rules_differ_most(visit, url: str) -> None:
    page = visit(url)
    page.locator(".pl-sentence", has_text="where the rules differ most").wait_for()
    page.wait_for_timeout(SECOND)
    assert page.locator(".pl-sentence", has_text="where the rules differ most").is_visible()


def test_a_recorded_run_follows_the_slider_of_w(page) -> None:
    """Without the queue: the recordings are fetched once, and the step stays."""
    page.locator(".pl-scrubber").press("End")
    field = page.locator("#guidance input[type=number]")
    for typed, shown in (("5.5", "w = 5, the nearest recorded to 5.5"), ("1", "w = 1 ·"), ("12", "w = 12 ·")):
        field.fill(typed)
        field.press("Tab")
        page.locator(".pl-title span", has_text=shown).wait_for()
        assert page.locator(".pl-counter").inner_text() == "25 / 25"


def test_a_recorded_run_is_served_by_its_name_and_nothing_else_is(page, url: str) -> None:
    assert page.request.get(f"{url}recorded/strong").json()["kind"] == "recording"
    for name in ("strange", "..%2Fstrong", "strong.npz"):
        assert page.request.get(f"{url}recorded/{name}").status == 404, name


FOCUS = """() => {
  const one = document.activeElement, shown = one.type === "radio" ? one.closest("label") : one;
  const parts = [one, shown, shown?.querySelector?.("span")].filter(Boolean);
  const seen = parts.some((x) => getComputedStyle(x).outlineStyle === "solid");
  return [one.tagName, one.name || one.id || one.className, seen];
}"""


def test_every_focus_is_seen_and_a_group_of_radio_buttons_is_one_stop(page) -> None:
    page.locator("#more button", has_text="More settings").click()
    page.wait_for_timeout(SECOND / 2)
    page.locator("#prompt textarea").focus()
    stops = []
    for _ in range(45):
        stops.append(page.evaluate(FOCUS))
        page.keyboard.press("Tab")
    assert [stop for stop in stops if not stop[2] and stop[0] != "BODY"] == []
    groups = [name for tag, name, _ in stops if tag == "INPUT" and str(name).startswith("radios-")]
    assert "radios-rule" in groups and len(groups) == len(set(groups))


PLACE = "document.activeElement.getBoundingClientRect().toJSON()"


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["See it", "Learn", "Cascade", "Compare", "Inspect"])
def test_focus_changes_pixels(visit, url: str, tab: str, theme: str) -> None:
    """WCAG 2.4.7: around everything that the tab key reaches the picture of the page is another one."""
    page = visit(f"{url}?__theme={theme}", reduced_motion="reduce")
    page.get_by_text("ready", exact=False).first.wait_for()
    page.get_by_role("tab", name=tab, exact=True).click()
    page.get_by_role("tabpanel").filter(visible=True).first.wait_for()
    page.wait_for_timeout(2 * SECOND)
    # Nothing moves by itself, and the place of the focus survives losing it.
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    stops, same = 0, []
    for _ in range(80):
        page.keyboard.press("Tab")
        # A list that closes when it is left hands the focus to the page; the next key goes on from there.
        if page.evaluate("document.activeElement === document.body"):
            continue
        stops += 1
        page.wait_for_timeout(60)
        place = page.evaluate(PLACE)
        x, y, w, h = (place[side] for side in ("x", "y", "width", "height"))
        around = {"x": max(0, x - 24), "y": max(0, y - 24), "width": w + 48, "height": h + 48}
        seen = page.screenshot(clip=around)
        page.evaluate("() => { window.last = document.activeElement; window.last.blur(); }")
        page.wait_for_timeout(60)
        if page.screenshot(clip=around) == seen:
            same.append(page.evaluate("[window.last.tagName, window.last.id || window.last.className]"))
        page.evaluate("window.last.focus({ preventScroll: true })")
    assert same == [] and stops > 5


def test_a_chosen_radio_button_is_seen_under_the_mouse(page) -> None:
    chosen = page.locator("#rule label.selected input")
    chosen.hover()
    page.wait_for_timeout(SECOND / 2)
    assert chosen.evaluate("x => getComputedStyle(x).backgroundColor") != "rgb(255, 255, 255)"


def test_a_reload_keeps_prompt_tab_and_run(page) -> None:
    page.locator("#prompt textarea").fill("a green cone on sand")
    run(page, 2)
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.wait_for_timeout(SECOND)
    page.reload()
    page.locator("#grid-go").wait_for()
    page.get_by_role("tab", name="See it", exact=True).click()
    page.locator(".pl-title q", has_text="a green cone on sand").wait_for()
    assert page.locator("#prompt textarea").input_value() == "a green cone on sand"


def test_an_address_hides_parts_of_the_page(visit, url: str) -> None:
    page = visit(f"{url}?hide=seed,compare,nothing")
    page.locator(".pl-card").first.wait_for()
    assert not page.locator("#seed").is_visible() and page.locator("#rule").is_visible()
    assert not page.get_by_role("tab", name="Compare", exact=True).is_visible()


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
    page.get_by_text("Write a prompt first.").first.wait_for()
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


def test_who_waits_reads_how_many_are_before(visit, page, url: str) -> None:
    other = visit(url)
    other.get_by_text("ready", exact=False).first.wait_for()
    few_steps(page, 250)
    page.locator("#generate").click()
    page.locator(".pl[data-kind=live]").wait_for()
    other.locator("#generate").click()
    other.locator("#player").get_by_text("1 person before you").wait_for()
    # A recorded run plays meanwhile, and settings answer.
    other.locator("#examples button", has_text="w = 5").click()
    other.locator(".pl-title span", has_text="w = 5").wait_for()
    page.locator("#stop").click()
    other.locator(".pl-title b", has_text="Your run").wait_for()


def test_generate_and_scrub_from_the_keyboard(page) -> None:
    few_steps(page, 3)
    page.locator("#prompt textarea").focus()
    # The guidance weight lies between: its number, its reset and its slider.
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
    page.locator("#prompt textarea").press("Enter")
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.locator(".pl-scrubber").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".pl-counter").inner_text() == "2 / 3"


def test_a_phone_shows_prompt_button_and_result_on_one_screen(visit, url: str) -> None:
    page = visit(url, viewport={"width": 390, "height": 844})
    page.get_by_text("ready", exact=False).first.wait_for()
    for seen in ("#prompt", "#guidance", "#generate", ".pl-card .pl-picture >> nth=2", ".pl-transport"):
        box = page.locator(seen).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844, seen
    # The knobs lie further down. Generate comes along, and what it makes is brought into sight.
    page.locator("#dice").scroll_into_view_if_needed()
    assert page.locator("#generate").bounding_box()["y"] == pytest.approx(0, abs=20)
    page.locator("#generate").click()
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.wait_for_function("document.querySelector('.pl-card .pl-picture').getBoundingClientRect().top > 0")


def test_a_laptop_shows_pictures_and_transport_on_one_screen(visit, url: str) -> None:
    page = visit(url, viewport={"width": 1366, "height": 768})
    for seen in ("#prompt", "#guidance", "#generate", ".pl-card .pl-picture >> nth=2", ".pl-transport"):
        box = page.locator(seen).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 768, seen


@pytest.mark.parametrize("width", [390, 1366])
def test_nothing_is_wider_than_the_window(visit, url: str, width: int) -> None:
    page = visit(url, viewport={"width": width, "height": 800})
    page.locator(".pl-card").first.wait_for()
    assert width_of(page) <= width


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_text_has_contrast(visit, url: str, theme: str, contrast_script: str) -> None:
    """WCAG AA: 4.5 to 1, or 3 to 1 where text is large."""
    page = visit(f"{url}?__theme={theme}")
    page.locator(".pl-card").first.wait_for()
    page.get_by_text("ready", exact=False).first.wait_for()
    assert page.evaluate(contrast_script) == []
