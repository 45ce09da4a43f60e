"""The tabs Cascade, Compare and Inspect in a real browser, and what carries settings between pages: links and PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from app_page import width_of

from imagen_core.records import png
from imagen_core.settings import CHOICES, request, with_stage
from imagen_core.settings.text import to_query

SECOND = 1000
ASKED = with_stage(
    request("a green cone at night", seed=5, size=256, steps=3, guidance=8.0, threshold="squash",
            options={"knee": 0.6}),
    256, steps=2, aug_level=0.25,
)  # fmt: skip


@pytest.fixture
def open_at(visit, url: str) -> Any:
    """``open_at(query, **context)`` is a fresh visitor at the loaded page, following a link."""

    def opened(query: str = "", **options: Any) -> Any:
        page = visit(url + query, **options)
        page.get_by_text("ready", exact=False).first.wait_for()
        return page

    return opened


@pytest.fixture
def page(open_at) -> Any:
    """A visitor who followed a link to a run of few steps."""
    return open_at(to_query(ASKED))


def go_to(page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()
    page.get_by_role("tabpanel").filter(visible=True).first.wait_for()
    # What is wired when a tab first opens takes a moment to listen.
    page.wait_for_timeout(SECOND)


def test_a_dropdown_explains_the_chosen_entry(open_at) -> None:
    page = open_at("?sampler=ddim")
    page.get_by_role("button", name="More settings").click()
    sampler, rule = CHOICES["sampler"]["ddim"].help, CHOICES["guidance_rule"]
    page.get_by_text(sampler, exact=True).wait_for()
    page.get_by_text(rule["cfg"].help, exact=True).wait_for()
    page.get_by_role("listbox", name="Guidance rule").or_(page.get_by_label("Guidance rule")).first.click()
    page.get_by_role("option", name=rule["apg"].title, exact=True).click()
    page.get_by_text(rule["apg"].help, exact=True).wait_for()


def assert_controls_are_set(page) -> None:
    go_to(page, "See it")
    assert page.locator("#prompt textarea").input_value() == ASKED.prompt
    assert page.locator("#guidance input[type=number]").input_value() == "8"
    assert page.locator("#rule input:checked").input_value() == "squash"
    assert page.locator("#seed input").input_value() == "5"
    go_to(page, "Cascade")
    assert page.locator("#cascade-aug-256 input[type=number]").input_value() == "0.25"
    go_to(page, "Inspect")
    # The link of the controls as they stand is the one that set them, as far as the base stage goes.
    address = page.locator("#inspect-link .cm-content")
    page.wait_for_function("document.querySelector('#inspect-link .cm-content').innerText.startsWith('http')")
    found = dict(part.split("=") for part in address.inner_text().split("?")[1].split("&"))
    assert found["knee"] == "0.6" and found["steps"] == "3"
    assert found["sr256.steps"] == "2" and found["sr256.aug_level"] == "0.25"


def test_a_link_restores_every_setting(page) -> None:
    assert_controls_are_set(page)


def test_a_bad_link_is_told_about_and_changes_nothing(open_at) -> None:
    usual = open_at().locator("#guidance input[type=number]").input_value()
    page = open_at("?guidance=1e9&prompt=<b>x</b>")
    page.get_by_text("guidance: must be a number between 0.0 and 30.0").first.wait_for()
    assert page.locator("#guidance input[type=number]").input_value() == usual
    page = open_at("?seed=4&<img src=x onerror=alert(1)>=1")
    page.get_by_text("unknown setting, ignored").first.wait_for()
    assert page.locator("#seed input").input_value() == "4" and page.locator("img[src=x]").count() == 0


def test_a_png_restores_every_setting(open_at, tmp_path: Path) -> None:
    file = tmp_path / "made.png"
    png.save(torch.zeros(3, 64, 64), file, ASKED, weights="other")
    page = open_at()
    go_to(page, "Inspect")
    page.locator("#inspect-png input[type=file]").set_input_files(file)
    page.get_by_text("made with other weights").wait_for()
    assert "a green cone at night" in page.locator("#inspect-inside").inner_text()
    page.locator("#inspect-apply").click()
    page.get_by_text("All controls are set").first.wait_for()
    assert_controls_are_set(page)


def test_a_foreign_file_is_refused_kindly(open_at, tmp_path: Path) -> None:
    file = tmp_path / "foreign.png"
    file.write_bytes(b"<script>alert(1)</script>")
    page = open_at()
    go_to(page, "Inspect")
    page.locator("#inspect-png input[type=file]").set_input_files(file)
    page.locator("#inspect-inside", has_text="picture: not a readable PNG file").wait_for()
    assert page.locator("#inspect-apply").is_disabled()


def test_upscale_and_sweep_from_the_keyboard(page) -> None:
    go_to(page, "Cascade")
    page.locator("#cascade-up-256").focus()
    page.keyboard.press("Enter")
    page.get_by_text("256 × 256 is ready").wait_for()
    assert page.locator("#cascade-tiles img").count() == 3
    levels = page.locator("#sweep-levels input, #sweep-levels textarea").first
    levels.fill("0, 0.4")
    page.locator("#sweep-go").focus()
    page.keyboard.press("Enter")
    page.get_by_text("2 levels from the same noise").wait_for()
    # Each level's result, a part of it enlarged, and what the stage received.
    assert page.locator("#cascade-tiles img").count() == 6
    # Zoom and pan, all pictures together, without a mouse.
    ports = page.locator("#cascade-tiles .tile-port")
    ports.first.focus()
    for key in ("+", "+", "+", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    places = page.locator("#cascade-tiles img").evaluate_all(
        "all => all.map((x) => [x.style.width, x.style.transform])"
    )
    places = [place for i, place in enumerate(places) if i % 6 not in (1, 3)]
    assert len({tuple(place) for place in places}) == 1 and places[0][0] == "1024px"
    first = places[0][1]
    page.keyboard.press("ArrowLeft")
    assert page.locator("#cascade-tiles img").first.evaluate("x => x.style.transform") != first
    # The picked level goes to its stage's slider.
    page.locator("#sweep-pick input").nth(1).check()
    page.wait_for_function("document.querySelector('#cascade-aug-256 input[type=number]').value === '0.4'")


def test_a_picture_is_panned_by_dragging(page) -> None:
    go_to(page, "Cascade")
    page.locator("#cascade-up-256").click()
    page.get_by_text("256 × 256 is ready").wait_for()
    page.get_by_role("button", name="4:1").click()
    port = page.locator("#cascade-tiles .tile-port").last
    port.scroll_into_view_if_needed()
    place = "x => new DOMMatrix(getComputedStyle(x.querySelector('img')).transform).e"
    before, box = port.evaluate(place), port.bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] + 80)
    page.mouse.up()
    assert port.evaluate(place) == pytest.approx(before - 30, abs=1)


def draw_grid(page, weights: str, rules: str, cost: str) -> None:
    """A grid of w by rule on Compare, once its price was told."""
    go_to(page, "Compare")
    for side, values in (("rows", weights), ("columns", rules)):
        page.locator(f"#grid-{side}-values input, #grid-{side}-values textarea").first.fill(values)
    page.locator("#grid-cost", has_text=cost).wait_for()
    page.locator("#grid-go").click()
    page.get_by_text("from the same noise, seed").wait_for()


def test_a_cell_of_the_grid_opens_in_the_player(page) -> None:
    draw_grid(page, "2, 9", "none, dynamic", "2 × 2 = 4 cells of 3 steps")
    page.locator("#grid button[data-key='2']").click()
    page.locator(".pl-title span", has_text="w = 9").wait_for()
    assert page.locator("#rule input:checked").input_value() == "none"
    # What was opened is now a run of this session, and can be pinned beside another.
    page.locator("#gallery img").first.wait_for()
    page.locator("#guidance input[type=number]").fill("3")
    page.locator("#guidance input[type=number]").press("Tab")
    page.locator("#generate").click()
    page.locator(".pl-title span", has_text="w = 3").wait_for()
    go_to(page, "Compare")
    page.locator("#pinned table").wait_for()
    assert "guidance\t9\t3" in page.locator("#pinned").inner_text()


def test_a_cell_that_is_opened_while_a_run_is_at_work_waits_for_it(open_at) -> None:
    page = open_at("?steps=2&threshold=static")
    draw_grid(page, "9", "static", "1 × 1 = 1 cell of 2 steps")
    go_to(page, "See it")
    page.locator("#more button", has_text="More settings").click()
    page.locator("#steps input[type=number]").fill("100")
    page.locator("#steps input[type=number]").press("Tab")
    page.locator("#generate").click()
    page.locator(".pl-title b", has_text="Sampling").wait_for()
    go_to(page, "Compare")
    page.locator("#grid button[data-key='0']").click()
    page.locator(".pl-title span", has_text="w = 9").wait_for()
    page.locator(".pl-counter", has_text="2 / 2").wait_for()
    assert page.locator(".pl-selected figcaption b").inner_text() == "static"


def test_a_grid_stops_and_keeps_what_it_drew(open_at) -> None:
    page = open_at("?steps=120")
    go_to(page, "Compare")
    page.locator("#grid-go").click()
    # The recorded grid of nine gives way to the cells that are drawn.
    page.wait_for_function("[2, 3, 4].includes(document.querySelectorAll('#grid img').length)")
    page.locator("#grid-stop").click()
    page.get_by_text("Stopped.", exact=True).wait_for()
    drawn = page.locator("#grid img").count()
    page.wait_for_timeout(SECOND)
    assert 2 <= drawn == page.locator("#grid img").count() < 9


def test_numbers_and_files_of_a_run(page) -> None:
    go_to(page, "Inspect")
    page.locator("#inspect-go").click()
    page.get_by_text("8 files of this run").wait_for()
    # Four rules: the paper's three and the one that was chosen.
    assert page.locator("#inspect-table tbody tr").count() == 3 * 4
    assert page.locator("#inspect-figures img").count() == 2
    with page.expect_download() as download:
        page.locator("#inspect-files a", has_text="KB").last.click()
    assert Path(download.value.path()).stat().st_size > 1000


def test_mistakes_are_said_in_one_line(page) -> None:
    go_to(page, "Compare")
    page.locator("#grid-rows-values input, #grid-rows-values textarea").first.fill("1, 99")
    page.locator("#grid-cost .lab-wrong", has_text="guidance: must be a number between").wait_for()
    page.locator("#grid-go").click()
    page.locator(".toast-body, .toast-wrap").get_by_text("guidance: must be").first.wait_for()
    assert page.get_by_text("Traceback").count() == 0


def test_two_visitors_keep_their_runs_to_themselves(page, open_at) -> None:
    page.locator("#generate").click()
    page.locator("#gallery img").first.wait_for()
    other = open_at()
    go_to(other, "Cascade")
    other.locator("#cascade-base input").click()
    (only,) = other.get_by_role("option").all_inner_texts()
    assert "New picture from the settings on See it" in only
    go_to(page, "Cascade")
    page.locator("#cascade-base input").click()
    assert len(page.get_by_role("option").all_inner_texts()) == 2


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_text_has_contrast_and_fits(open_at, theme: str, contrast_script: str) -> None:
    """WCAG AA in every tab, and nothing wider than a telephone."""
    page = open_at(f"{to_query(ASKED)}&__theme={theme}")
    for tab, button, done in (
        ("Cascade", "#sweep-go", "levels from the same noise"),
        ("Compare", None, ""),
        ("Inspect", "#inspect-go", "files of this run"),
    ):
        go_to(page, tab)
        if button:
            page.locator(button).click()
            page.get_by_text(done).wait_for()
        assert page.evaluate(contrast_script) == [], tab
        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_timeout(SECOND / 4)
        assert width_of(page) <= 390, tab
        page.set_viewport_size({"width": 1366, "height": 900})
