"""The page over DeepFloyd IF: its own defaults, and pictures marked for people, unmarked for the next stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from app_page import at_cascade, at_inspect, last, values_of

from app import api
from app import page as layout
from app.page import Tabs
from app.parts import views
from app.serving import session
from app.serving.model import Model
from imagen_core.records import png
from imagen_core.settings import with_stage


@pytest.fixture(scope="module")
def model(published: Path) -> Model:
    model = Model(f"{published / 'I'},{published / 'II'}")
    model.get()
    return model


def test_the_controls_take_the_models_defaults_but_not_over_a_link(model: Model, tabs: Tabs) -> None:
    controls = tabs.see.page.controls
    found = controls.read(layout.suited(model, controls, {"__theme": "dark"}))
    defaults = model.get().defaults
    assert found.stages[0] == defaults[64]
    assert found.stages[1].steps == defaults[256].steps and found.stages[1].sampler == defaults[256].sampler
    assert layout.suited(model, controls, {"seed": "4"}) == {"__type__": "update"}


def test_people_see_the_mark_and_the_next_stage_does_not(model: Model, tabs: Tabs) -> None:
    controls, tab = tabs.see.page.controls, tabs.cascade
    asked = with_stage(with_stage(controls.read(layout.suited(model, controls, {})), 64, steps=2), 256, steps=2)
    run = last(tabs.see.generate(values_of(tabs, asked)))[tabs.see.run]
    assert not torch.equal(run.images["dynamic"], run.onward["dynamic"])
    runs = session.remember(run, ())
    end = last(tab.upscale(256, at_cascade(tabs, asked, runs=runs, base="1.0", aug=(0.25, 0.1))))
    assert end[tab.tiles].count("<img") == 3
    # Its own noise schedule, not the table top's.
    assert f"σ = {model.get().stage(256).aug_sigma(0.25):.3f}" in end[tab.tiles]
    request, _ = png.read_settings(Path(end[tab.files].constructor_args["value"][0]).read_bytes())
    assert request.stages[1].steps == 2


def test_it_is_not_told_what_the_table_top_knows(model: Model) -> None:
    assert views.words_note(model, "a dog on a skateboard") == ""


def test_programs_get_the_models_own_defaults(model: Model, tabs: Tabs) -> None:
    """What a call leaves out is as diffusers runs IF, not as the table top is drawn; so is the command line."""
    asked = api._request(model, "a red ball", "", size=256, seed=3, aug_level=None, guidance=None)
    assert asked.stages == tuple(model.defaults.values()) and model.defaults[64].sampler == "ancestral"
    changed = api._request(model, "a red ball", "sr256.steps=2", size=256, guidance=3.0, threshold="none")
    assert (changed.stages[0].guidance, changed.stages[0].threshold, changed.stages[1].steps) == (3.0, "none", 2)
    told = api.describe(model, "a dog")
    assert told["defaults"]["sampler"] == "ancestral" and not told["unknown"] and not told["known"]
    controls = tabs.see.page.controls
    asked = controls.read(layout.suited(model, controls, {}))
    command = tabs.inspect.recipe(at_inspect(tabs, asked))[tabs.inspect.command]
    assert "--guidance" not in command and "--steps" not in command and "--set" not in command
