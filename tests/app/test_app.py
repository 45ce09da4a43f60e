"""The page without a browser: handlers build requests, drain the engine, and refuse in one line; then its API."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest
import torch
from app_page import MARKUP, last, sent, values_of
from PIL import Image

from app import controls as page_controls
from app.page import Tabs, build, lay_out
from app.parts import examples, side_by_side, tiles, views
from app.serving import session
from app.serving.model import Model
from app.serving.waiting import Waiting
from app.tabs import see as see_tab
from imagen_core.records import png
from imagen_core.settings import DEFAULTS, SIDE_BY_SIDE, request
from imagen_core.settings.text import to_short_query
from imagen_core.types import UserError

ASKED = request("a red ball", seed=7, steps=3)


def over(model: Model) -> Tabs:
    """The tabs of a page over a model of the test's own."""
    with gr.Blocks() as demo:
        return lay_out(model, demo)


def buttons_of(tabs: Tabs, update: dict) -> list[object]:
    """Whether each upscale button may be pressed after an update."""
    return [update[button].interactive for button in tabs.see.ups.values()]


def test_generate_streams_all_rules_and_ends_with_a_picture(tabs: Tabs) -> None:
    see = tabs.see
    updates = list(see.generate(values_of(tabs, ASKED, count=2)))
    shown = [json.loads(update[see.player]) for update in updates if see.player in update]
    assert {view["kind"] for view in shown[:-1]} <= {"waiting", "live"} and shown[-1]["kind"] == "recording"
    assert len(shown[-1]["steps"]) == 3 and [track["label"] for track in shown[-1]["tracks"]] == list(SIDE_BY_SIDE)
    # What Share copies.
    assert shown[-1]["link"] == to_short_query(updates[-1][see.run].request)
    gallery, finished = updates[-1][see.gallery], updates[-1][see.run]
    assert [Path(file).is_file() for file, _ in gallery] == [True, True] and finished.request.seeds == (7, 8)
    assert buttons_of(tabs, updates[-1]) == [True, True] and updates[-1][see.report].interactive
    asked, _ = png.read_settings(Path(gallery[1][0]).read_bytes())
    assert asked == finished.request.alone(1)
    assert set(finished.images) == set(SIDE_BY_SIDE)


def test_a_stop_finds_every_step_until_the_page_has_the_pictures(tabs: Tabs) -> None:
    """A Stop while the last update is made or under way shows the whole run; one after it changes nothing."""
    see = tabs.see
    updates = see.generate(values_of(tabs, ASKED))
    seen = [next(updates)]
    while not seen[-1].get(see.gallery):
        seen.append(next(updates))
    run = seen[-1][see.run]
    # Before a run has pictures there is nothing to upscale, though the one before it had.
    first = next(update for update in seen if see.run in update)
    assert buttons_of(tabs, first) == [False, False]
    assert first[see.gallery] == [] and first[see.status.line] == see_tab.UPSCALING
    assert buttons_of(tabs, seen[-1]) == [True, True]
    whole = see.stopped(run)
    assert len(json.loads(whole[see.player])["steps"]) == 3 and len(whole[see.gallery]) == 1
    assert whole[see.status.line] == see_tab.UPSCALING
    assert buttons_of(tabs, whole) == [True, True] and whole[see.report].interactive
    assert next(updates, None) is None and run.delivered
    assert see.stopped(run) == gr.skip()


def test_a_stop_before_the_first_step_leaves_the_run_before(tabs: Tabs) -> None:
    """The page is handed a run with its first step, so what it had is whole until then."""
    see = tabs.see
    before = last(see.generate(values_of(tabs, ASKED)))[see.run]
    seen = list(see.generate(values_of(tabs, ASKED)))
    handed = next(i for i, update in enumerate(seen) if see.run in update)
    assert all(set(update) <= {see.player} for update in seen[:handed])
    assert see.stopped(before) == gr.skip()


def test_a_stop_before_any_run_shows_the_recorded_one(tabs: Tabs) -> None:
    assert json.loads(tabs.see.stopped(None)[tabs.see.player])["kind"] == "recording"


def test_a_refused_run_leaves_the_one_before(model: Model, tabs: Tabs) -> None:
    """What only the cascade can refuse comes before the new run takes the old one's place."""
    model.get()
    with pytest.raises(gr.Error, match="guidance_rule: .* has no classifier"):
        next(tabs.see.generate(values_of(tabs, ASKED, guidance_rule="classifier", w_schedule="constant")))


def test_a_shipped_run_is_made_ready_once() -> None:
    """Every visitor is given it: a report of two megabytes each would fill the disk."""
    (view, report), (again, other) = examples.opening(), examples.opening()
    assert view is again and report == other
    assert json.loads(view)["kind"] == "recording"


def test_page_and_engine_agree(model: Model, tabs: Tabs) -> None:
    """The picture on the page is the picture that the command line makes."""
    from imagen_core.run.generate import generate
    from imagen_core.types import StageResult

    finished = last(tabs.see.generate(values_of(tabs, ASKED)))[tabs.see.run]
    assert finished.request == ASKED
    image = next(e.image for e in generate(ASKED, model.get()) if isinstance(e, StageResult))
    assert (finished.images["dynamic"] == image).all()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("prompt", ""), ("prompt", "x" * 2000), ("seed", None), ("seed", 1.5), ("seed", float("inf")), ("seed", -1),
        ("steps", 0), ("steps", "many"), ("percentile", 101), ("guidance", None), ("guidance", float("nan")),
        ("count", 9), ("sampler", "euler"), ("threshold", "soft"), ("convention", "mine"),
        ("threshold", "<script>alert(1)</script>"),
    ],
)  # fmt: skip
def test_bad_controls_are_one_line(tabs: Tabs, field: str, wrong: object) -> None:
    with pytest.raises(gr.Error) as caught:
        list(tabs.see.generate(values_of(tabs, ASKED, **{field: wrong})))
    assert "\n" not in caught.value.message and not caught.value.print_exception


def test_upscale_needs_a_base_and_gives_the_size(tabs: Tabs) -> None:
    see, controls = tabs.see, tabs.see.page.controls

    def upscale(run: object, level: float, runs: session.Runs = (), **changes: object) -> list[dict]:
        levels = {controls.aug_levels[256]: level, controls.aug_levels[1024]: 0.1}
        return list(see.upscale(256, values_of(tabs, ASKED, **changes) | levels | {see.run: run, see.page.runs: runs}))

    with pytest.raises(gr.Error, match="press Generate first"):
        upscale(None, 0.1)
    finished = last(see.generate(values_of(tabs, ASKED)))[see.run]
    with pytest.raises(gr.Error, match="aug_level"):
        upscale(finished, 1.5)
    with pytest.raises(gr.Error, match="press Generate for squash"):
        upscale(finished, 0.1, threshold="squash")
    updates = upscale(finished, 0.2, threshold="static")
    # A Stop says so of every line but the last, which is of what was finished.
    assert [update[see.status.working] for update in updates] == [*[True] * (len(updates) - 1), False]
    file = updates[-1][see.gallery][0][0]
    assert Image.open(file).size == (256, 256)
    asked, _ = png.read_settings(Path(file).read_bytes())
    assert asked.stages[0].threshold == "static" and asked.stages[1].aug_level == 0.2
    # A page that was left open: its run has expired, the session's pictures have not.
    runs = session.remember(finished, ())
    side_by_side.forget(finished)
    assert finished.frames == {} and session.steps(runs, "1.0") is None
    again = upscale(None, 0.2, runs, threshold="static")[-1][see.gallery][0][0]
    assert Path(again).read_bytes() == Path(file).read_bytes()


def test_a_missing_or_broken_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cascade\.json"):
        Model("tabletop").use(str(tmp_path))
    (tmp_path / "cascade.json").write_text("{}")
    broken = over(Model(str(tmp_path)))
    with pytest.raises(gr.Error, match="not a cascade's description"):
        list(broken.see.generate(values_of(broken, ASKED)))


def test_unknown_words_are_pointed_out_and_escaped(model: Model) -> None:
    assert views.words_note(model, "a red ball on grass") == ""
    note = views.words_note(model, "a dog <img src=x onerror=alert(1)> on a skateboard")
    assert "dog" in note and "skateboard" in note and "sphere" in note and "<img" not in note


def test_no_prompt_has_no_words_and_no_example_is_none_of_them(model: Model, tabs: Tabs) -> None:
    assert views.words_note(model, None) == ""
    for index in (None, -1, len(examples.RECORDED), 0.5, "0", True, [0]):
        with pytest.raises(gr.Error, match="^'?example: must be a whole number between 0 and"):
            tabs.see.choose({tabs.see.examples: index, tabs.see.page.controls.more: ""})


def test_the_builder_makes_prompts_the_model_knows(model: Model) -> None:
    names = [pick.name for row in model.world.picks for pick in row]

    def compose(*words: str) -> str:
        return model.world.compose(dict(zip(names, words)))

    built = compose("large", "shiny", "orange", "cube", "behind", "", "cone", "on sand", "at night")
    assert built == "a large shiny orange cube behind a cone on sand at night"
    assert compose("", "", "orange", "cube", "behind", "", "", "", "") == "an orange cube"
    assert views.words_note(model, built) == ""


def test_aug_note_says_what_a_level_does(model: Model, tiny_folder: Path) -> None:
    """A level is another noise in another model: nothing is said of it before the model is there."""
    assert views.aug_note(Model(str(tiny_folder)), DEFAULTS[256], 0.1) == views.note("aug_level 0.1")
    sigma = model.get().stage(256).aug_sigma(0.1)
    assert "untouched" in views.aug_note(model, DEFAULTS[256], 0.0)
    assert f"σ = {sigma:.3f}" in views.aug_note(model, DEFAULTS[256], 0.1)
    assert "aug_level: must be" in views.aug_note(model, DEFAULTS[256], 7)


@pytest.mark.parametrize(
    ("name", "label", "slug"),
    [
        ("tabletop", "tabletop", "tabletop"),
        ("/home/me/My Model/", "My Model", "my-model"),
        ("DeepFloyd/IF-I-XL-v1.0,DeepFloyd/IF-II-L-v1.0", "IF-I-XL-v1.0", "if-i-xl-v1-0"),
        ("..", "..", "model"),
    ],
)
def test_a_model_has_a_short_name_and_an_address(name: str, label: str, slug: str) -> None:
    assert (Model(name).label, Model(name).slug) == (label, slug)


@pytest.mark.slow
def test_a_process_that_ends_while_its_model_loads_ends_quietly() -> None:
    """A thread killed inside torch took the whole process down (exit 134)."""
    code = "from app.serving.model import Model; model = Model('tabletop'); model.start(); model._tried.wait()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_row_of_tabs_holds_nothing_but_tabs(tabs: Tabs) -> None:
    """The browser counts a row's parts: a state between two tabs would show the later tabs twice."""
    assert {type(child) for child in tabs.see.page.tabs.children} == {gr.Tab}


def test_two_models_have_a_page_each(model: Model, tiny_folder: Path) -> None:
    demo = build(model, Model("tabletop"))
    assert [page[0] for page in demo.pages] == ["", "tabletop"]
    # Only the first answers programs.
    names = [fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"]
    assert names == ["sample", "compare", "sweep_augmentation", "describe"]


def test_a_stopped_service_drains_and_ends_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM by itself would cut off the run at work, and leave visitors' pictures in the temporary folder."""
    found, told = [], []
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(gr.Blocks, "launch", lambda *_, **__: found.append(signal.getsignal(signal.SIGTERM)))
    monkeypatch.setattr(Waiting, "drain", lambda _: told.append("drain"))
    try:
        runpy.run_path(str(Path(__file__).parents[2] / "app.py"), run_name="__main__")
        with pytest.raises(KeyboardInterrupt):
            found[0](signal.SIGTERM, None)
        assert told == ["drain"] and signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_preset_sets_rule_percentile_and_cap(tabs: Tabs) -> None:
    controls = tabs.see.page.controls
    fields = (controls.threshold, controls.percentile, controls.cap)
    assert tabs.see.take_preset("if-1") == dict(zip(fields, ("dynamic", 95.0, "1.5")))
    assert tabs.see.take_preset("paper") == dict(zip(fields, ("dynamic", 99.5, "")))
    assert tabs.see.take_preset("") == gr.skip()
    with pytest.raises(gr.Error, match="preset: "):
        tabs.see.take_preset("<b>")


def test_a_cap_of_1_is_pointed_out_before_the_run(tabs: Tabs) -> None:
    assert "same as static" in tabs.see.cost(values_of(tabs, ASKED, cap="1"))
    assert "same as static" not in tabs.see.cost(values_of(tabs, ASKED, cap="2"))


def test_tables_and_tiles_escape_everything() -> None:
    html = tiles.table([{MARKUP: MARKUP}], MARKUP) + tiles.tile(
        torch.zeros(3, 4, 4), MARKUP, MARKUP, badges=[MARKUP], key=MARKUP
    )
    assert html.count("<img") == 1 and "onerror=alert(1)>" not in html
    assert tiles.table([], "nothing") == ""


def test_stop_says_so_where_something_was_at_work_and_leaves_a_finished_line_alone(tabs: Tabs) -> None:
    status = tabs.compare.status
    for said, stopped in ((status.progress("Cell 1 of 9"), True), (status.finished("9 cells"), False)):
        answer = status.stopped(said[status.working])
        assert answer == gr.skip() if not stopped else "Stopped." in answer[status.line]


def test_the_weight_is_named_as_its_convention_reads_it() -> None:
    from imagen_core.settings import CONVENTIONS

    assert set(page_controls.WEIGHT) == set(CONVENTIONS)
    for convention, off in (("ho", "0 is off"), ("paper", "1 is off")):
        assert off in sent(page_controls.weight_named(convention), "info")
