"""The page over DeepFloyd IF: its own defaults, and pictures marked for people, unmarked for the next stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from app_page import NAMES

from app import page as layout
from app.parts import views
from app.serving import api, session
from app.serving.model import Model
from app.tabs import cascade as cascade_tab
from app.tabs import inspect as inspect_tab
from app.tabs import see
from imagen_core.records import png
from imagen_core.settings import with_stage


@pytest.fixture(scope="module")
def model(published: Path) -> Model:
    model = Model(f"{published / 'I'},{published / 'II'}")
    model.get()
    return model


def test_the_controls_take_the_models_defaults_but_not_over_a_link(model: Model) -> None:
    found = see.build_whole(*layout._suited(model, NAMES, {"__theme": "dark"})[: len(NAMES)])
    defaults = model.get().defaults
    assert found.stages[0] == defaults[64]
    assert found.stages[1].steps == defaults[256].steps and found.stages[1].sampler == defaults[256].sampler
    assert layout._suited(model, NAMES, {"seed": "4"})[0] == {"__type__": "update"}


def test_people_see_the_mark_and_the_next_stage_does_not(model: Model) -> None:
    asked = with_stage(see.build_whole(*layout._suited(model, NAMES, {})[: len(NAMES)]), 64, steps=2)
    controls = see.controls_of(with_stage(asked, 256, steps=2), NAMES)
    run = list(see.generate(model, *controls))[-1][2]
    assert not torch.equal(run.images["dynamic"], run.onward["dynamic"])
    runs = session.remember(run, ())
    levels = (0.25, 0.1)
    steps = cascade_tab.upscale(model, see.build_whole, 256, runs, "1.0", "as kept", *levels, *controls)
    _, shown, kept, _ = list(steps)[-1]
    assert shown.count("<img") == 3
    # Its own noise schedule, not the table top's.
    assert f"σ = {model.get().stage(256).aug_sigma(0.25):.3f}" in shown
    request, _ = png.read_settings(Path(kept.constructor_args["value"][0]).read_bytes())
    assert request.stages[1].steps == 2


def test_it_is_not_told_what_the_table_top_knows(model: Model) -> None:
    assert views.words_note(model, "a dog on a skateboard") == ""


def test_programs_get_the_models_own_defaults(model: Model) -> None:
    """What a call leaves out is as diffusers runs IF, not as the table top is drawn; so is the command line."""
    asked = api._request(model, "a red ball", "", size=256, seed=3, aug_level=None, guidance=None)
    assert asked.stages == tuple(model.defaults.values()) and model.defaults[64].sampler == "ancestral"
    changed = api._request(model, "a red ball", "sr256.steps=2", size=256, guidance=3.0, threshold="none")
    assert (changed.stages[0].guidance, changed.stages[0].threshold, changed.stages[1].steps) == (3.0, "none", 2)
    told = api.describe(model, "a dog")
    assert told["defaults"]["sampler"] == "ancestral" and not told["unknown"] and not told["known"]
    controls = layout._suited(model, NAMES, {})[: len(NAMES)]
    _, command, _ = inspect_tab.recipe(model, see.build_whole, (), session.NOW, 64, *controls)
    assert "--guidance" not in command and "--steps" not in command and "--set" not in command
