"""The page that computes in a browser's tab, as a folder on a static host: with a sampler of the test's own, since
what the real one draws is for tests/export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from app_page import MARKUP
from fake_export import write
from static_host import Host, hosted
from tiny_export import Exported

from app import site
from app.entry import main
from imagen_core.models.cascade import Cascade
from imagen_core.records import png
from imagen_core.records.shipped import SHIPPED
from imagen_core.settings import Request, request, with_stage
from imagen_core.settings.text import from_query, to_query
from imagen_core.types import UserError

ASKED = with_stage(request("a small blue cube on sand", seed=7, guidance=8.0, steps=9, size=256), 256, aug_level=0.25)


@pytest.fixture(scope="module")
def folder(tiny: Cascade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write(tiny, tmp_path_factory.mktemp("site") / "lab")
    list(site.write(place, tiny.world))
    return place


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    with hosted(folder) as host:
        yield host


@pytest.fixture
def page(visit: Callable[..., Any], host: Host) -> Any:
    """A visitor at the page, who has seen the recorded run."""
    page = visit(host.url)
    page.locator(".pl-title b", has_text="Recorded run").wait_for()
    return page


# A run that lasts until it is stopped.
LONG = replace(with_stage(ASKED, 64, steps=250), prompt="[slow] a ball")


def generate(page: Any, steps: int) -> None:
    page.get_by_role("button", name="Generate").click()
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.locator(".pl-counter", has_text=f"{steps} / {steps}").wait_for()


def link(asked: Request) -> str:
    return to_query(asked)[1:]


def saved(page: Any, number: int = 0) -> bytes:
    """The PNG of one of the pictures, the newest first."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG").nth(number).click()
    return Path(download.value.path()).read_bytes()


def test_a_recorded_run_is_there_before_any_weight_and_follows_the_slider(page: Any, host: Host) -> None:
    assert page.locator(".pl-card b").all_inner_texts() == ["none", "static", "dynamic"]
    page.get_by_text("The first run fetches").wait_for()
    page.get_by_label("Guidance weight w, slider").fill("5")
    page.locator(".pl-title span", has_text="w = 5 ·").wait_for()
    assert host.names("weights") == []


def test_a_run_has_three_rules_and_its_pictures_the_settings_of_the_link(
    visit: Callable[..., Any], host: Host, tiny: Cascade
) -> None:
    """Link to controls to run to PNG and to link: each as the engine reads it."""
    page = visit(f"{host.url}?{link(ASKED)}")
    generate(page, 9)
    assert page.locator(".pl-card b").all_inner_texts() == ["none", "static", "dynamic"]
    page.get_by_role("button", name="Upscale to 256").click()
    page.get_by_text("256 × 256 in").wait_for()
    large = saved(page)
    read, warnings = png.read_settings(large)
    assert read == ASKED and warnings == () and png.read_fact(large, "weights") == tiny.digest
    small, _ = png.read_settings(saved(page, 2))
    assert small == with_stage(request(ASKED.prompt, seed=7, guidance=8.0, steps=9), 64, threshold="static")
    linked = from_query(parse_qsl(page.url.partition("#")[2]), {})
    assert linked is not None and linked[0] == request(ASKED.prompt, seed=7, guidance=8.0, steps=9)


def test_nothing_of_a_run_reaches_the_host(page: Any, host: Host) -> None:
    page.get_by_label("Prompt").fill("a secret cone")
    generate(page, 25)
    page.get_by_role("button", name="Share").click()
    assert "secret" in page.locator(".pl-share-field").input_value().partition("#")[2]
    assert {method for method, _ in host.asked} == {"GET"}
    assert not [path for _, path in host.asked if "?" in path or "secret" in path]


def test_stop_ends_a_run_and_the_next_one_starts(visit: Callable[..., Any], host: Host) -> None:
    page = visit(f"{host.url}#{link(LONG)}")
    page.get_by_role("button", name="Generate").click()
    page.locator(".pl[data-kind=live]").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.locator(".pl-title b", has_text="Stopped run").wait_for()
    assert not page.get_by_role("button", name="Upscale to 256").is_enabled()
    page.locator(".tab-more > summary").click()
    page.get_by_label("Steps, slider").fill("4")
    page.get_by_label("Prompt").fill("a ball")
    generate(page, 4)


def test_a_dragged_slider_shows_drafts_and_then_the_whole_run(page: Any) -> None:
    generate(page, 25)
    page.get_by_label("Guidance weight w, slider").fill("7")
    page.locator(".pl-title span", has_text="draft").wait_for()
    assert page.locator(".pl-counter").inner_text().endswith("/ 6")
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.locator(".pl-title span", has_text="w = 7 · seed 1 · 25 steps").wait_for()
    assert dict(parse_qsl(page.url.partition("#")[2]))["guidance"] == "7"


def test_settings_that_are_refused_do_not_change_the_address(page: Any) -> None:
    generate(page, 25)
    before = page.url
    page.get_by_label("Seed").fill("")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("status").filter(has_text="seed").wait_for()
    assert page.url == before


def first_file(host: Host, part: str) -> str:
    return "weights/" + site.read_manifest(host.folder)["parts"][part][0]


def test_a_file_that_does_not_arrive_is_a_sentence_and_asked_for_again_alone(
    visit: Callable[..., Any], host: Host
) -> None:
    altered, cut, empty = (first_file(host, part) for part in ("rules", "text", "base64"))
    data = (host.folder / altered).read_bytes()
    host.instead = {altered: data[:-1] + bytes([data[-1] ^ 1]), empty: b""}
    host.cut.add(cut)
    page = visit(host.url)
    page.get_by_role("button", name="Generate").click()
    for name, said in ((altered, "its digest differs"), (cut, "The connection broke"), (empty, "ended after 0 of")):
        page.get_by_role("status").filter(has_text=said).wait_for()
        host.instead.pop(name, None)
        host.cut.discard(name)
        page.get_by_role("button", name="Try again").click()
    page.locator(".pl-title b", has_text="Your run").wait_for()
    asked = host.names("weights")
    # What arrives wrong is asked for once more, past everything that a browser kept.
    assert [asked.count(name.rpartition("/")[2]) for name in (altered, cut, empty)] == [3, 2, 3]
    assert len(asked) == len({*asked}) + 5
    # What has arrived is there at the next visit.
    page.reload()
    generate(page, 25)
    assert host.names("weights") == asked


def test_a_second_tab_waits_for_the_first(page: Any, host: Host) -> None:
    first = page
    first.goto(f"{host.url}#{link(LONG)}")
    first.get_by_role("button", name="Generate").click()
    first.locator(".pl[data-kind=live]").wait_for()
    second = page.context.new_page()
    second.goto(f"{host.url}#{link(ASKED)}")
    second.get_by_role("button", name="Generate").click()
    second.get_by_text("Another tab of this page computes").wait_for()
    # A second order takes the first one's place in the line, also after a Stop.
    for name in ("Generate", "Stop", "Generate", "Generate"):
        second.get_by_role("button", name=name).click()
    first.get_by_role("button", name="Stop").click()
    second.locator(".pl-title b", has_text="Your run").wait_for()
    first.get_by_role("button", name="Generate").click()
    first.locator(".pl[data-kind=live]").wait_for()


def test_two_presses_at_once_are_one_run(page: Any) -> None:
    page.get_by_role("button", name="Generate").evaluate("x => { x.click(); x.click(); }")
    page.locator(".pl-title b", has_text="Your run").wait_for()
    page.locator(".pl-counter", has_text="25 / 25").wait_for()


# Links that are refused, and what is said of them.
HOSTILE = {
    "threshold=constructor": "threshold: this tab has",
    "guidance=99": "guidance: must be",
    f"prompt={MARKUP}&sampler={MARKUP}": f"not {MARKUP}",
    "seed=1&seed=2": "seed is given twice",
    f"prompt={'a' * 501}": "between 1 and 500",
}


def test_a_hostile_link_is_a_sentence_and_changes_nothing(page: Any, host: Host) -> None:
    for query, said in HOSTILE.items():
        page.goto(f"{host.url}#{query}")
        page.get_by_role("status").filter(has_text="The link was not followed").filter(has_text=said).wait_for()
    assert page.get_by_label("Prompt").input_value() == next(iter(SHIPPED.values()))[1].prompt
    assert page.locator("#ask img, #side img").count() == 0


def test_a_failure_of_the_machine_is_a_sentence_and_the_next_run_works(page: Any) -> None:
    for kind, said in (("memory", "not enough memory"), ("device", "graphics card stopped")):
        page.get_by_label("Prompt").fill(f"[{kind}] a ball")
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("status").filter(has_text=said).wait_for()
    page.get_by_label("Prompt").fill("a ball")
    generate(page, 25)


def test_without_webassembly_or_a_host_recorded_runs_play_and_the_page_says_why(
    visit: Callable[..., Any], host: Host, folder: Path
) -> None:
    page = visit("about:blank")
    page.add_init_script("delete globalThis.WebAssembly")
    for address, said in ((host.url, "no WebAssembly"), ((folder / "index.html").as_uri(), "python -m http.server")):
        page.goto(address)
        page.get_by_text(said).wait_for()
        page.locator(".pl-title b", has_text="Recorded run").wait_for()
        assert not page.get_by_role("button", name="Generate").is_enabled()


def test_words_that_training_never_showed_are_named(page: Any) -> None:
    page.get_by_label("Prompt").fill(f"a Dog on grass {MARKUP}")
    page.get_by_text("Never seen in training: dog, img, src, x, onerror").wait_for()
    page.get_by_text("What it knows").click()
    page.get_by_text("It knows, up to three at a time: sphere, cube").wait_for()


def test_a_lesson_sets_the_controls(visit: Callable[..., Any], host: Host) -> None:
    page = visit(f"{host.url}?lesson=2")
    page.locator(".learn-answer").first.click()
    page.get_by_role("button", name="Set the controls").click()
    page.get_by_role("tab", name="See it").wait_for()
    assert page.get_by_label("Prompt").is_visible() and "guidance=" in page.url


def test_every_text_can_be_read_and_nothing_is_wider_than_a_phone(
    visit: Callable[..., Any], host: Host, contrast_script: str
) -> None:
    page = visit(host.url, viewport={"width": 390, "height": 844})
    page.get_by_label("Prompt").fill("a dog")
    page.locator(".tab-more > summary").click()
    generate(page, 25)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(contrast_script) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# Milliseconds of processor time that a task of the page's own thread may take: beyond them a page feels slow.
MOST_MS = 50


@pytest.mark.slow
def test_the_page_answers_while_it_samples(page: Any, chromium: Any, tmp_path: Path) -> None:
    """By processor time, since other processes may hold a task up."""
    chromium.start_tracing(page=page, path=tmp_path / "trace.json", categories=["toplevel"])
    generate(page, 25)
    page.wait_for_timeout(1000)
    chromium.stop_tracing()
    events = json.loads((tmp_path / "trace.json").read_bytes())["traceEvents"]
    own = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e["tdur"] / 1000 for e in events if "tdur" in e and (e["pid"], e["tid"]) in own]
    assert len(tasks) > 100 and max(tasks) < MOST_MS


@pytest.mark.slow
def test_the_page_and_the_real_sampler_understand_each_other(
    visit: Callable[..., Any], exported: Exported, tmp_path: Path
) -> None:
    shutil.copytree(exported.place, tmp_path / "lab")
    list(site.write(tmp_path / "lab", exported.cascade.world))
    with hosted(tmp_path / "lab") as host:
        page = visit(f"{host.url}#{link(with_stage(ASKED, 64, steps=3))}")
        generate(page, 3)
        assert page.evaluate("crossOriginIsolated")
        page.get_by_role("button", name="Upscale to 256").click()
        page.get_by_text("256 × 256 in").wait_for()
        assert png.read_settings(saved(page))[0] == with_stage(ASKED, 64, steps=3)


def test_a_folder_without_an_export_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="holds no export"):
        list(site.write(tmp_path, None))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["tab", "--to", str(tmp_path)])
    assert end.value.code == 2 and "--to" in capsys.readouterr().err
