"""Tiles in a real browser, without the page around them: keys, focus and fingers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.parts import tiles

# What Gradio does with tiles.js: it gives it a place and a value, and says when the value is another.
MOUNT = """
let value = document.getElementById("value").innerHTML, changed;
const again = () => changed(), told = [], tell = (...all) => told.push(all);
ImagenTiles.mount(document.getElementById("place"), () => value, (act) => { changed = act; }, tell);
"""


@pytest.fixture
def page(visit: Callable[..., Any], tmp_path: Path) -> Any:
    shown = [tiles.tile(torch.rand(3, 64, 64) * 2 - 1, f"cell {key}", key=key) for key in ("1", "2")]
    file = tmp_path / "tiles.html"
    file.write_text(
        f"<!doctype html><style>{tiles.STYLE.read_text()}</style>"
        f"<div id=place><div class=tiles-place></div></div><template id=value>{tiles.row(shown, 2)}</template>"
        f"<script>{tiles.SCRIPT}</script><script>{MOUNT}</script>",
        encoding="utf-8",
    )
    page = visit(file.as_uri())
    page.locator("#place .tile-port").first.wait_for()
    return page


def zoom(page: Any) -> str:
    return page.locator(".tiles-bar [aria-pressed=true]").inner_text()


def test_the_browsers_own_zoom_stays_the_browsers(page: Any) -> None:
    port = page.locator(".tile-port").first
    port.press("+")
    assert zoom(page) == "1:1"
    for modifier in ("ctrlKey", "metaKey", "altKey"):
        for key in ("+", "=", "-", "0", "ArrowLeft"):
            kept = port.evaluate(
                """(port, [key, modifier]) => port.dispatchEvent(
                     new KeyboardEvent("keydown", { key, [modifier]: true, bubbles: true, cancelable: true }))""",
                [key, modifier],
            )
            assert kept and zoom(page) == "1:1"


@pytest.mark.parametrize("part", [".tile-port", ".tile button"])
def test_a_grid_that_is_drawn_anew_leaves_the_focus_where_it_was(page: Any, part: str) -> None:
    page.locator(part).nth(1).focus()
    page.locator(part).nth(1).evaluate(
        "x => { x.old = true; value = value.replaceAll('cell 2', 'cell two'); again(); }"
    )
    assert page.locator(part).nth(1).evaluate("x => x === document.activeElement && !x.old")


def test_a_press_is_not_lost_where_another_cell_is_drawn_before_it_is_released(page: Any) -> None:
    page.locator(".tile button").first.hover()
    page.mouse.down()
    page.evaluate("value = value.replaceAll('cell 2', 'cell two'); again()")
    assert page.locator(".tile b").all_inner_texts() == ["cell 1", "cell two"]
    page.mouse.up()
    assert page.evaluate("told") == [["click", {"key": "1"}]]


def test_a_second_finger_does_not_make_a_picture_jump(page: Any) -> None:
    page.get_by_role("button", name="4:1").click()
    places = page.evaluate(
        """async () => {
          document.querySelector(".tiles-grid").style.width = "260px"; // at 4:1 a picture is 256 wide
          await new Promise((done) => setTimeout(() => requestAnimationFrame(done), 100));
          const port = document.querySelector(".tile-port"), image = port.firstElementChild;
          port.setPointerCapture = () => {};
          const place = () => new DOMMatrix(getComputedStyle(image).transform).e;
          const touch = (kind, pointerId, clientX) => port.dispatchEvent(new PointerEvent(kind, { pointerId, clientX,
            clientY: 50, button: 0, buttons: 1, isPrimary: pointerId === 1, pointerType: "touch", bubbles: true }));
          const places = [place()];
          const then = (...event) => { touch(...event); places.push(place()); };
          then("pointerdown", 1, 50);
          then("pointermove", 1, 40);
          then("pointerdown", 2, 90);
          then("pointermove", 2, 95);
          then("pointerup", 2, 95);
          then("pointermove", 1, 30);
          return places.map((x) => Math.round(x - places[0]));
        }"""
    )
    assert places == [0, 0, -10, -10, -10, -10, -20]
