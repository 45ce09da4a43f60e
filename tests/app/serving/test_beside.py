"""The page for a visitor's own tab, beside the server's: its headers, what is refused, and the way there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import edit
from fake_export import write

from app import site
from app.page import build, launching
from app.serving.beside import route
from app.serving.model import Model
from imagen_core.models.cascade import Cascade
from imagen_core.settings import request
from imagen_core.settings.text import flat
from imagen_core.types import UserError


@pytest.fixture(scope="module")
def folder(tiny: Cascade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write(tiny, tmp_path_factory.mktemp("beside") / "lab")
    list(site.write(place, tiny.world))
    return place


@pytest.fixture(scope="module")
def url(model: Model, folder: Path) -> Iterator[str]:
    demo = build(model, beside=True)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launching(route(folder, model.name)))
    yield url
    demo.close()


def test_the_folder_is_served_isolated_and_nothing_beside_it(url: str) -> None:
    for name in ("tab/", "tab/tab.js", "tab/engine/worker.js", "tab/weights/manifest.json"):
        answer = httpx.get(url + name)
        assert answer.status_code == 200
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{url}tab/tab.js").headers["content-type"].startswith("text/javascript")
    for name in ("tab/..%2f..%2fetc%2fpasswd", "tab/weights/", "tab/nothing"):
        assert httpx.get(url + name).status_code == 404


def test_the_switch_opens_the_tab_with_the_same_settings_and_nothing_of_a_run_comes_back(visit: Any, url: str) -> None:
    page = visit(url)
    page.locator(".lab-status", has_text="ready").wait_for()
    page.locator("#prompt textarea").fill("a secret cone")
    page.locator("#guidance input[type=number]").fill("9")
    page.locator("#guidance input[type=number]").press("Tab")
    page.wait_for_timeout(500)
    page.locator("#place").get_by_text("this tab", exact=True).click()
    page.wait_for_url("**/tab/#*")
    assert page.evaluate("crossOriginIsolated")
    assert page.get_by_label("Prompt").input_value() == "a secret cone"
    assert page.get_by_label("Guidance weight w", exact=False).first.input_value() == "9"
    sent: list[Any] = []
    page.on("request", lambda request: sent.append((request.method, request.url.removeprefix(url), request.post_data)))
    page.get_by_role("button", name="Generate").click()
    page.locator(".pl-title b", has_text="Your run").wait_for()
    assert sent and all(method == "GET" and name.startswith("tab/") and not data for method, name, data in sent)
    # The way back holds the settings too.
    page.get_by_label("this server", exact=True).check()
    page.locator(".lab-status", has_text="ready").wait_for()
    assert page.locator("#prompt textarea").input_value() == "a secret cone"


def test_a_refused_setting_stays_on_the_server_s_page(visit: Any, url: str) -> None:
    page = visit(url)
    page.locator(".lab-status", has_text="ready").wait_for()
    page.locator("#prompt textarea").fill("")
    page.locator("#place").get_by_text("this tab", exact=True).click()
    page.get_by_text("Write a prompt first").wait_for()
    page.locator("#place label.selected", has_text="this server").wait_for()
    assert page.url == url


def test_a_page_without_the_folder_has_no_switch(tabs: Any) -> None:
    assert tabs.see.elsewhere is None


def test_a_folder_that_does_not_fit_is_one_line(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no page for a tab; run imagen-lab tab"):
        route(tmp_path, str(tiny_folder))
    (tmp_path / "weights").mkdir()
    manifest = tmp_path / "weights" / "manifest.json"
    manifest.write_bytes((folder / "weights" / "manifest.json").read_bytes())
    with pytest.raises(UserError, match="weights without a page"):
        route(tmp_path, str(tiny_folder))
    (tmp_path / "index.html").write_text("")
    edit(manifest, lambda facts: facts.update(digest="0"))
    with pytest.raises(UserError, match="made of other weights"):
        route(tmp_path, str(tiny_folder))


def test_every_setting_of_a_run_is_one_that_the_tab_s_page_reads(folder: Path, tiny: Cascade) -> None:
    """A link that a server makes has no name that the tab's page would call unknown."""
    given = site.given(json.loads((folder / "weights" / "manifest.json").read_bytes()), tiny.world)
    names = {name.rpartition(".")[2] for name in flat(request("a ball", size=1024))}
    assert names <= {*given["fields"], *given["options"], "prompt", "seed", "count", "size"}
