"""The tab Cascade without a browser: what each stage receives, sweeps of aug_level, and what a visitor gets wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import gradio as gr
import numpy as np
import pytest
from app_page import CONTROLS, LONG, MARKUP, Watched, files_of, last, sent, stop_and_go_on
from PIL import Image

from app.serving.model import Model
from app.tabs import cascade as cascade_tab
from app.tabs import see
from imagen_core.records import png
from imagen_core.run import experiments
from imagen_core.run.experiments import LevelFacts
from imagen_core.run.generate import generate
from imagen_core.types import StageResult


@pytest.mark.parametrize("key", ["now", "1.0", "2.1"])
def test_upscale_shows_what_each_stage_receives_and_equals_the_engine(model: Model, runs, key: str) -> None:
    model.get()
    first, *_, (_, shown, kept, _) = cascade_tab.upscale(
        model, see.build_whole, 1024, runs, key, "as kept", 0.2, 0.0, *CONTROLS
    )
    # What was drawn before would not be this run's.
    assert not sent(first[2], "visible") and not sent(first[3], "visible")
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


def test_a_sweep_keeps_the_noise(model: Model, runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade_tab, "badges", lambda scores: [["first of all"], []])
    _, shown, kept, pick = last(
        cascade_tab.swept(model, see.build_whole, 256, "0, 0.3", runs, "1.0", "none", 0.1, 0.1, *CONTROLS)
    )
    assert shown.count("<img") == 4
    requests = [png.read_settings(path.read_bytes())[0] for path in files_of(kept)]
    assert [r.stages[-1].aug_level for r in requests] == [0, 0.3]
    assert len({r.seed for r in requests}) == 1 and all(r.stages[0].threshold == "none" for r in requests)
    assert sent(pick, "choices") == [("0 · first of all", "256:0"), ("0.3", "256:0.3")]
    assert shown.count("first of all") == 1


def test_a_badge_is_for_a_lead_that_can_be_seen() -> None:
    of = [LevelFacts(0.1, 0, 0, consistency, sharpness) for consistency, sharpness in ((40, 0.1), (38, 0.2), (30, 0.3))]
    assert cascade_tab.badges(of) == [["closest to its input"], [], ["sharpest"]]
    of = [
        LevelFacts(0.1, 0, 0, consistency, sharpness) for consistency, sharpness in ((40, 0.3), (39.5, 0.299), (9, 0.1))
    ]
    assert cascade_tab.badges(of) == [[], [], []] and cascade_tab.badges(of[:1]) == [[]]


@pytest.mark.parametrize(
    ("size", "levels", "key", "rule", "says"),
    [
        (64, "0.1", "now", "as kept", "size"), (256, "", "now", "as kept", "aug_level"),
        (256, "0, 2", "now", "as kept", "aug_level"), (256, "0,.1,.2,.3,.4,.5,.6", "now", "as kept", "aug_levels"),
        (256, "0.1, 0.1", "now", "as kept", "aug_level"), (256, None, "now", "as kept", "aug_level"),
        (256, "0.1", "9.0", "as kept", "run"), (256, "0.1", "1.7", "as kept", "picture"),
        (256, "0.1", MARKUP, "as kept", "run"), (256, "0.1", "1.0", "soft", "threshold"),
    ],
)  # fmt: skip
def test_a_bad_sweep_is_one_line(model: Model, runs, size, levels, key, rule, says: str) -> None:
    with pytest.raises(gr.Error) as caught:
        list(cascade_tab.swept(model, see.build_whole, size, levels, runs, key, rule, 0.1, 0.1, *CONTROLS))
    assert caught.value.message.startswith(f"{says}: ") and "\n" not in caught.value.message
    assert "<" not in caught.value.message and not caught.value.print_exception


def test_a_level_that_was_never_trained_is_refused_before_anything_is_drawn(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.get()
    stages = tuple(replace(stage, spec=replace(stage.spec, most_aug=0.35)) for stage in whole.stages)
    monkeypatch.setattr(model, "get", lambda: replace(whole, stages=stages))
    for module in (cascade_tab, experiments):
        monkeypatch.setattr(module, "generate", lambda *_, **__: pytest.fail("nothing may be drawn"))
    place = ((), "now", "as kept")
    for handler in (
        cascade_tab.upscale(model, see.build_whole, 256, *place, 0.5, 0.1, *CONTROLS),
        cascade_tab.swept(model, see.build_whole, 256, "0, 0.5", *place, 0.1, 0.1, *CONTROLS),
    ):
        with pytest.raises(gr.Error, match=r"^.aug_level: must be between 0 and 0\.35 for sr256"):
            list(handler)


def test_a_stopped_upscale_leaves_the_engine_to_others(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Watched(cascade_tab.generate)
    monkeypatch.setattr(cascade_tab, "generate", engine)
    upscale = partial(cascade_tab.upscale, model, see.build_whole, 256, (), "now", "as kept", 0.1, 0.1)
    stop_and_go_on(model, engine, upscale(*LONG), upscale(*CONTROLS))


def test_a_picked_level_goes_to_its_slider() -> None:
    cases = {"256:0.3": (0.3, None), "1024:0": (None, 0), "256:7": (None, None), None: (None, None)}
    for picked, found in cases.items():
        got = tuple(None if value == gr.skip() else sent(value, "value") for value in cascade_tab.take(picked))
        assert got == (*found, *found)


def test_another_visitors_runs_are_out_of_reach(model: Model) -> None:
    with pytest.raises(gr.Error, match="this session's runs"):
        list(cascade_tab.upscale(model, see.build_whole, 256, (), "1.0", "as kept", 0.1, 0.1, *CONTROLS))


def test_what_a_sweep_costs_is_told_before(model: Model) -> None:
    assert "Sweep of 2 levels" in cascade_tab.estimate(model, see.build_whole, 256, "0,0.1", *CONTROLS)
