"""The page's controls: a request sets them, they are read as that request, in whatever order they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
from app_page import MARKUP, SHORT, sent

from app import page as layout
from app.controls import Controls, create
from app.handlers import QUIET
from app.parts import examples
from app.serving.model import Model
from imagen_core.records.shipped import SHIPPED
from imagen_core.settings import Request, request, with_stage
from imagen_core.types import UserError
from imagen_core.worlds.collected.collected import Collected

MODEL = Model("tabletop")
TABS = gr.Tabs(render=False)
OWN = Collected("mine", "0" * 64, {"cat": 3}, ("a cat on a mat",), {})
UNUSUAL = with_stage(
    with_stage(
        request("a 'ball'", seed=4, count=2, size=1024, guidance=7.5, threshold="squash", steps=9, sampler="ddim",
                options={"knee": 0.5, "eta": 0.3}),
        256, steps=3, aug_level=0.4,
    ),
    1024, threshold="none", aug_level=0.2,
)  # fmt: skip


@pytest.fixture
def controls() -> Controls:
    return create()


def test_a_page_over_own_pictures_begins_with_a_caption_of_theirs() -> None:
    assert create(examples.first_prompt(OWN)).prompt.value == "a cat on a mat"
    assert examples.label(OWN) != examples.label(MODEL.world) == "Recorded examples"
    for world in (MODEL.world, None, replace(OWN, prompts=())):
        assert examples.first_prompt(world) == SHIPPED["strong"][1].prompt


def test_controls_restore_every_setting(controls: Controls) -> None:
    values = controls.updates(UNUSUAL)
    assert controls.read(values) == UNUSUAL and set(values) == set(controls.settable)
    assert [values[twin] for twin in controls.aug_twins.values()] == [0.4, 0.2]
    base = controls.read(values, 64)
    assert base == replace(UNUSUAL, stages=UNUSUAL.stages[:1])


def swapped(controls: Controls) -> Iterator[Any]:
    """The components as if they had been made in the opposite order: gradio sorts a set by these numbers."""
    components = sorted(controls.components, key=lambda component: component._id)
    for component, number in zip(components, [component._id for component in reversed(components)]):
        component._id = number
        yield component


@pytest.mark.parametrize("swap", [False, True])
def test_the_order_of_the_widgets_does_not_matter(controls: Controls, swap: bool) -> None:
    """Each value reaches its own setting through gradio itself, whichever widget was made first."""
    if swap:
        assert len(list(swapped(controls))) == len(controls.components)
    seen: list[Request] = []
    with gr.Blocks() as demo:
        for component in sorted(controls.settable, key=lambda component: component._id):
            component.render()
        answer = gr.HTML()
        answer.click(lambda values: seen.append(controls.read(values)), controls.components, answer, **QUIET)
    (event,) = demo.fns.values()
    assert (event.inputs[0] is controls.prompt) is not swap
    values = controls.updates(UNUSUAL)
    sent = demo.process_api(event, [values[component] for component in event.inputs], None)
    # A browser of another test may keep an event loop running in this thread.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, sent).result()
    assert seen == [UNUSUAL]


def test_a_base_run_leaves_what_is_set_of_later_stages(controls: Controls) -> None:
    """A cell of a grid, or an example, is no reason to forget how a visitor upscales."""
    asked = request("a ball", sampler="ddim", options={"eta": 0.3})
    before = "gamma=0.5 sr256.steps=20 base64.steps=9 sr1024.threshold=none"
    after = controls.updates(asked, before)
    assert after[controls.more] == "eta=0.3 sr256.steps=20 sr1024.threshold=none"
    assert not set(after) & {*controls.aug_levels.values(), *controls.aug_twins.values()}
    assert controls.read({**controls.updates(UNUSUAL), **after}).stages[1].steps == 20
    whole = request("a ball", size=1024)
    assert controls.updates(whole, before)[controls.more] == ""


# Outside a page gradio's toasts are Python warnings.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_link_sets_the_controls_and_a_bad_one_changes_nothing(controls: Controls) -> None:
    query = {"guidance": "12", "sampler": "ddim", "eta": "0.5", "sr256.aug_level": "0.3"}
    values = layout.from_link(MODEL, controls, TABS, [*query.items(), ("size", "256")])
    assert values[controls.guidance] == 12 and values[controls.sampler] == "ddim"
    assert values[controls.more] == "eta=0.5" and values[controls.aug_twins[256]] == 0.3
    for bad in ({"guidance": "1e9"}, {"seed": MARKUP}, {"prompt": ""}, {"size": "0"}):
        assert layout.from_link(MODEL, controls, TABS, bad.items()) == gr.skip()
    assert layout.from_link(MODEL, controls, TABS, [("__theme", "dark")]) == gr.skip()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_link_opens_a_lesson_or_sets_the_controls_to_a_run(controls: Controls) -> None:
    opened = layout.from_link(MODEL, controls, TABS, [("lesson", "3"), ("step", "2")])
    assert list(opened) == [TABS] and sent(opened[TABS], "selected") == "learn"
    values = layout.from_link(MODEL, controls, TABS, [("run", "strong"), ("view", "mask")])
    assert values[controls.guidance] == SHIPPED["strong"][1].stages[0].guidance and TABS not in values
    for bad in ("9", "0", "", "x", MARKUP):
        assert layout.from_link(MODEL, controls, TABS, [("lesson", bad)]) == gr.skip()


def test_a_thousand_unknown_settings_are_told_in_a_few_lines(
    controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("app.handlers.warn", lambda text, title: told.append(text))
    many = {f"k{i}": "1" for i in range(1000)}
    assert layout.from_link(MODEL, controls, TABS, [("seed", "4"), *many.items()])[controls.seed] == 4
    assert told[-1] == "and 997 more like these" and len(told) == 4


@pytest.mark.parametrize(
    "more",
    ["steps", "stepz=1", "steps=0", "sr512.steps=3", "seed=3", "size=64", MARKUP, "gamma=0.1", "=", None, 3],
)
def test_more_settings_are_checked(controls: Controls, more: object) -> None:
    with pytest.raises(UserError):
        controls.read({**controls.updates(SHORT), controls.more: more})
