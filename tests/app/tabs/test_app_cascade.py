"""The tab Cascade without a browser: what each stage receives, sweeps of aug_level, and what a visitor gets wrong."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from app_page import LONG, MARKUP, SHORT, Watched, at_cascade, files_of, last, sent, stop_and_go_on
from PIL import Image

from app.page import Tabs
from app.parts import upscaling
from app.serving.model import Model
from app.tabs import cascade as cascade_tab
from imagen_core.records import png
from imagen_core.records.own import open_own
from imagen_core.run import experiments
from imagen_core.run.experiments import LevelFacts
from imagen_core.run.generate import generate
from imagen_core.types import StageResult


@pytest.mark.parametrize("key", ["now", "1.0", "2.1"])
def test_upscale_shows_what_each_stage_receives_and_equals_the_engine(model: Model, tabs: Tabs, runs, key: str) -> None:
    model.get()
    tab = tabs.cascade
    first, *_, end = tab.upscale(1024, at_cascade(tabs, runs=runs, base=key, aug=(0.2, 0.0)))
    # What was drawn before would not be this run's.
    assert not sent(first[tab.files], "visible") and not sent(first[tab.pick], "visible")
    shown, kept = end[tab.tiles], end[tab.files]
    assert shown.count("<img") == 5 and "What SR 256 receives" in shown and "What SR 1024 receives" in shown
    assert "aug_level 0.2 · σ = 0.309" in shown and "∞ (untouched)" in shown
    (path,) = files_of(kept)
    asked, _ = png.read_settings(path.read_bytes())
    assert [stage.aug_level for stage in asked.stages] == [None, 0.2, 0.0]
    assert (asked.seed, asked.count, asked.stages[0].threshold) == {
        "now": (7, 1, "dynamic"), "1.0": (7, 1, "dynamic"), "2.1": (8, 1, "static"),
    }[key]  # fmt: skip
    image = [e.image for e in generate(asked, model.get()) if isinstance(e, StageResult)][-1][0]
    found = np.asarray(Image.open(path)).transpose(2, 0, 1).astype(int)
    # A picture drawn in a batch of two may differ in the last bit.
    assert abs(found - png.to_bytes(image)).max() <= 1


def test_a_sweep_keeps_the_noise(tabs: Tabs, runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade_tab, "badges", lambda scores: [["first of all"], []])
    tab = tabs.cascade
    end = last(tab.sweep(at_cascade(tabs, runs=runs, base="1.0", rule="none", levels="0, 0.3")))
    shown, kept, pick = end[tab.tiles], end[tab.files], end[tab.pick]
    assert shown.count("<img") == 4
    requests = [png.read_settings(path.read_bytes())[0] for path in files_of(kept)]
    assert [r.stages[-1].aug_level for r in requests] == [0, 0.3]
    assert len({r.seed for r in requests}) == 1 and all(r.stages[0].threshold == "none" for r in requests)
    assert sent(pick, "choices") == [("0 · first of all", "256:0"), ("0.3", "256:0.3")]
    assert shown.count("first of all") == 1


def test_a_picture_of_ones_own_is_enlarged(model: Model, tabs: Tabs, tmp_path) -> None:
    """It goes through the stages as if it were the base; its PNGs say that their settings do not hold it."""
    tab, file = tabs.cascade, tmp_path / "photo.jpg"
    Image.effect_noise((96, 80), 90).save(file)
    note = upscaling.own_note(str(file), model)
    assert "the largest square in the middle" in note and "trained on pictures of tabletop alone" in note
    ends = [
        last(tab.upscale(1024, at_cascade(tabs, file=str(file)))),
        last(tab.sweep(at_cascade(tabs, file=str(file)))),
    ]
    for end in ends:
        (path,) = files_of(end[tab.files])
        data = path.read_bytes()
        assert "picture of somebody's own" in str(png.origin(data))
    asked, _ = png.read_settings(files_of(ends[0][tab.files])[0].read_bytes())
    events = generate(asked, model.get(), image=open_own(file).image)
    image = [e.image for e in events if isinstance(e, StageResult)][-1][0]
    found = np.asarray(Image.open(files_of(ends[0][tab.files])[0])).transpose(2, 0, 1)
    assert (found == png.to_bytes(image)).all()
    file.write_bytes(b"GIF89a")
    with pytest.raises(gr.Error, match="photo.jpg': cannot be decoded whole"):
        list(tab.upscale(256, at_cascade(tabs, file=str(file))))
    assert "lab-wrong" in upscaling.own_note(str(file), model) and upscaling.own_note(None, model) == ""


def test_a_badge_is_for_a_lead_that_can_be_seen() -> None:
    of = [LevelFacts(0.1, 0, 0, consistency, sharpness) for consistency, sharpness in ((40, 0.1), (38, 0.2), (30, 0.3))]
    assert upscaling.badges(of) == [["closest to its input"], [], ["sharpest"]]
    of = [
        LevelFacts(0.1, 0, 0, consistency, sharpness) for consistency, sharpness in ((40, 0.3), (39.5, 0.299), (9, 0.1))
    ]
    assert upscaling.badges(of) == [[], [], []] and upscaling.badges(of[:1]) == [[]]


@pytest.mark.parametrize(
    ("size", "levels", "key", "rule", "says"),
    [
        (64, "0.1", "now", "unchanged", "size"), (256, "", "now", "unchanged", "aug_level"),
        (256, "0, 2", "now", "unchanged", "aug_level"),
        (256, "0,.1,.2,.3,.4,.5,.6,.7,.8,.9,1,.05", "now", "unchanged", "aug_levels"),
        (256, "0.1, 0.1", "now", "unchanged", "aug_level"), (256, None, "now", "unchanged", "aug_level"),
        (256, "0.1", "9.0", "unchanged", "run"), (256, "0.1", "1.7", "unchanged", "picture"),
        (256, "0.1", MARKUP, "unchanged", "run"), (256, "0.1", "1.0", "soft", "threshold"),
    ],
)  # fmt: skip
def test_a_bad_sweep_is_one_line(tabs: Tabs, runs, size, levels, key, rule, says: str) -> None:
    with pytest.raises(gr.Error) as caught:
        list(tabs.cascade.sweep(at_cascade(tabs, runs=runs, base=key, rule=rule, at=size, levels=levels)))
    assert caught.value.message.startswith(f"{says}: ") and "\n" not in caught.value.message
    assert "<" not in caught.value.message and not caught.value.print_exception


def test_a_level_that_was_never_trained_is_refused_before_anything_is_drawn(
    model: Model, tabs: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.get()
    stages = tuple(replace(stage, spec=replace(stage.spec, most_aug=0.35)) for stage in whole.stages)
    monkeypatch.setattr(model, "get", lambda: replace(whole, stages=stages))
    for module in (cascade_tab, upscaling, experiments.sweeps):
        monkeypatch.setattr(module, "generate", lambda *_, **__: pytest.fail("nothing may be drawn"))
    for handler in (
        tabs.cascade.upscale(256, at_cascade(tabs, aug=(0.5, 0.1))),
        tabs.cascade.sweep(at_cascade(tabs, levels="0, 0.5")),
    ):
        with pytest.raises(gr.Error, match=r"^.aug_level: must be between 0 and 0\.35 for sr256"):
            list(handler)


def test_a_stopped_upscale_leaves_the_engine_to_others(
    model: Model, tabs: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Watched(upscaling.generate)
    monkeypatch.setattr(upscaling, "generate", engine)
    monkeypatch.setattr(cascade_tab, "generate", engine)
    first, second = (tabs.cascade.upscale(256, at_cascade(tabs, asked)) for asked in (LONG, SHORT))
    stop_and_go_on(model, engine, first, second)


def test_a_picked_level_goes_to_its_sliders_on_both_tabs(tabs: Tabs) -> None:
    controls = tabs.see.page.controls
    for picked, size, level in (("256:0.3", 256, 0.3), ("1024:0", 1024, 0)):
        assert tabs.cascade.take(picked) == {controls.aug_levels[size]: level, controls.aug_twins[size]: level}
    for picked in ("256:7", None):
        assert tabs.cascade.take(picked) == gr.skip()


def test_another_visitors_runs_are_out_of_reach(tabs: Tabs) -> None:
    with pytest.raises(gr.Error, match="this session's runs"):
        list(tabs.cascade.upscale(256, at_cascade(tabs, base="1.0")))


def test_what_a_sweep_costs_is_told_before(tabs: Tabs) -> None:
    assert "Sweep of 2 levels" in tabs.cascade.cost(at_cascade(tabs, levels="0,0.1"))
