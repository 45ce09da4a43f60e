"""The page of a cascade of 16 and 64: its own sizes everywhere, and what runs of other sizes become on it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from app_page import SHORT, at_cascade, at_inspect, files_of, last, sent, values_of
from conftest import write_tiny

from app import api
from app import page as layout
from app.page import Tabs
from app.parts import upscaling
from app.serving.model import Model
from imagen_core.records import png
from imagen_core.settings import defaults_at, request, with_stage
from imagen_core.settings.text import flat, to_query

OWN = with_stage(request("a red ball", seed=7, size=64, steps=2, defaults=defaults_at((16, 64))), 64, steps=1)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(str(write_tiny(tmp_path_factory.mktemp("own"), ("base", "sr256"), (16, 64))))


@pytest.fixture(scope="module")
def own_tabs(own: Model) -> Tabs:
    with gr.Blocks() as demo:
        return layout.lay_out(own, demo)


def test_the_page_offers_the_cascades_own_sizes(own: Model, own_tabs: Tabs) -> None:
    assert own.sizes == (16, 64) and not own.ready
    assert [*own_tabs.see.ups] == [*own_tabs.cascade.ups] == [64]
    assert own_tabs.see.ups[64].value == "Upscale to 64"
    assert [value for _, value in own_tabs.cascade.at.choices] == [64]
    assert [value for _, value in own_tabs.inspect.size.choices] == [16, 64]
    controls = own_tabs.see.page.controls
    assert "16 × 16" in str(controls.steps.info) and "sr64.steps" in str(controls.more.info)
    assert [*controls.aug_levels] == [*controls.aug_twins] == [64]


def test_controls_that_are_set_are_read_as_the_same_run(own_tabs: Tabs) -> None:
    controls = own_tabs.see.page.controls
    assert controls.read(values_of(own_tabs, OWN)) == OWN
    assert controls.read(values_of(own_tabs, OWN), 16).sizes == (16,)
    with pytest.raises(ValueError, match="aug_level is set by its slider"):
        controls.read(values_of(own_tabs, OWN, more="sr64.aug_level=0.5"))


def test_a_run_of_other_sizes_sets_the_stages_in_the_same_places(own_tabs: Tabs) -> None:
    """The recorded runs of the shipped model, a link or a picture of another cascade."""
    controls = own_tabs.see.page.controls
    found = controls.read(values_of(own_tabs, with_stage(SHORT, 256, steps=9, aug_level=0.4)))
    assert found.sizes == (16, 64) and [stage.steps for stage in found.stages] == [3, 9]
    assert found.stages[1].aug_level == 0.4


def test_a_run_is_drawn_and_carried_on(own: Model, own_tabs: Tabs, tmp_path: Path) -> None:
    see = own_tabs.see
    given = values_of(own_tabs, OWN)
    end = last(see.generate(given))
    run = end[see.run]
    assert run.images["dynamic"].shape == (1, 3, 16, 16)
    end = last(see.upscale(64, given | {see.run: run, see.page.runs: ()}))
    asked, _ = png.read_settings(Path(end[see.gallery][0][0]).read_bytes())
    assert asked == OWN
    assert "16" in see.cost(given) or "s" in see.cost(given)


def test_a_model_without_later_stages_offers_no_larger_picture(tmp_path: Path, told: list[str]) -> None:
    alone = Model(str(write_tiny(tmp_path / "base", ("base",))))
    assert alone.sizes == (64,) and not alone.ready
    with gr.Blocks() as demo:
        tabs = layout.lay_out(alone, demo)
    assert not tabs.see.ups and not tabs.cascade.ups and not tabs.see.page.controls.aug_levels
    end = last(tabs.see.generate(values_of(tabs)))
    assert "enlarges no picture" in end[tabs.see.status.line]
    assert "enlarges no picture" in tabs.cascade.cost(at_cascade(tabs, at=None, aug=()))
    # What a visitor wrote stays as the model is loaded.
    assert layout.suited(alone, tabs.see.page.controls, []) == gr.skip()
    # A recorded run of three stages sets the base.
    assert tabs.see.page.controls.read(values_of(tabs, SHORT)).sizes == (64,)
    layout.from_link(alone, tabs.see.page.controls, tabs.see.page.tabs, parse_qsl(to_query(SHORT)[1:]))
    assert told == ["sizes: it was made at 64, 256, 1024; its settings are taken over for 64"]


def test_the_cascade_tab_enlarges_and_sweeps(own: Model, own_tabs: Tabs, tmp_path: Path) -> None:
    tab = own_tabs.cascade
    end = last(tab.upscale(64, at_cascade(own_tabs, OWN, at=64, aug=(0.2,))))
    (path,) = files_of(end[tab.files])
    assert png.read_settings(path.read_bytes())[0].stages[1].aug_level == 0.2 and "16 × 16" in end[tab.tiles]
    end = last(tab.sweep(at_cascade(own_tabs, OWN, at=64, levels="0, 0.3")))
    assert sent(end[tab.pick], "choices")[1][1].startswith("64:0.3")
    assert "to 64" in tab.cost(at_cascade(own_tabs, OWN, at=64))
    assert "16 × 16 pixels of it are used" in upscaling.own_note(str(path), own)
    with pytest.raises(gr.Error, match="size: must be one of 64, got 256"):
        list(tab.sweep(at_cascade(own_tabs, OWN, at=256)))


def test_what_reproduces_a_run_names_its_sizes(own: Model, own_tabs: Tabs) -> None:
    tab = own_tabs.inspect
    recipe = tab.recipe(at_inspect(own_tabs, OWN, size=64))
    assert "sizes=16%2C64" in recipe[tab.link] and "--size 64" in recipe[tab.command]
    assert "StageConfig(size=16" in recipe[tab.python]
    controls = own_tabs.see.page.controls
    updates = layout.from_link(own, controls, own_tabs.see.page.tabs, parse_qsl(recipe[tab.link][1:]))
    assert controls.read(values_of(own_tabs) | updates) == OWN


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a visitor is warned of."""
    lines: list[str] = []
    monkeypatch.setattr(layout.handlers, "warn", lambda text, title: lines.append(text))
    return lines


def test_a_link_of_other_sizes_is_taken_over_with_a_warning(own: Model, own_tabs: Tabs, told: list[str]) -> None:
    controls, query = own_tabs.see.page.controls, parse_qsl(to_query(request("a cube", size=256, guidance=2.0))[1:])
    pairs = [*query, ("sizes", "64,256")]
    updates = layout.from_link(own, controls, own_tabs.see.page.tabs, pairs)
    assert controls.read(values_of(own_tabs) | updates).sizes == (16, 64)
    assert told == ["sizes: it was made at 64, 256; its settings are taken over for 16, 64"]


def test_a_whole_link_of_the_shipped_model_is_taken_over_though_it_names_no_sizes(
    own: Model, own_tabs: Tabs, told: list[str]
) -> None:
    """Its size of 64 is the base there, the second stage here."""
    controls, tabs = own_tabs.see.page.controls, own_tabs.see.page.tabs
    updates = layout.from_link(own, controls, tabs, parse_qsl(to_query(with_stage(SHORT, 64, steps=9))[1:]))
    found = controls.read(values_of(own_tabs) | updates)
    assert found.sizes == (16, 64) and found.stages[0].steps == 9
    assert told == ["sizes: it was made at 64, 256, 1024; its settings are taken over for 16, 64"]


def test_settings_that_suit_no_other_size_are_refused_in_one_line(own: Model, own_tabs: Tabs, told: list[str]) -> None:
    steered = request("a cube", guidance_rule="classifier", guidance=1.0)
    controls, inspect = own_tabs.see.page.controls, own_tabs.inspect
    query = [*parse_qsl(to_query(steered)[1:]), ("sizes", "64")]
    layout.from_link(own, controls, own_tabs.see.page.tabs, query)
    assert told == ["guidance_rule: classifier is for the base stage; its classifier reads 64 × 64"]
    with pytest.raises(gr.Error, match="its classifier reads 64 × 64"):
        inspect.restore({inspect.dropped: steered, controls.more: ""})


def test_what_programs_leave_out_is_at_its_own_sizes(own: Model, tmp_path: Path) -> None:
    functions = api.functions(own)
    *_, (file, _) = functions["sample"]("a red ball", more="steps=1")
    assert png.read_settings(Path(file.path).read_bytes())[0].sizes == (16,)
    *_, (_, facts) = functions["sweep_augmentation"]("a red ball", aug_levels="0", more="steps=1 sr64.steps=1")
    assert facts
    alone = api.functions(Model(str(write_tiny(tmp_path, ("base",), (16,)))))
    with pytest.raises(gr.Error, match="size: must be that of a later stage; this model has the base alone"):
        list(alone["sweep_augmentation"]("a red ball"))


def test_programs_ask_for_its_sizes(own: Model) -> None:
    functions = api.functions(own)
    sizes = {name: api.inspect.signature(functions[name]).parameters["size"].default for name in ("sample",)}
    assert sizes == {"sample": 16}
    assert api.inspect.signature(functions["sweep_augmentation"]).parameters["size"].default == 64
    *_, (file, facts) = functions["sample"]("a red ball", size=64, more="steps=1 sr64.steps=1")
    assert png.read_settings(Path(file.path).read_bytes())[0].sizes == (16, 64)
    assert facts["settings"]["sizes"] == (16, 64) and facts["settings"] == flat(
        png.read_settings(Path(file.path).read_bytes())[0]
    )
    with pytest.raises(gr.Error, match="size: must be one of 16, 64, got 256"):
        list(functions["sample"]("a red ball", size=256))
    with pytest.raises(gr.Error, match="size: must be 64, got 16"):
        list(functions["sweep_augmentation"]("a red ball", size=16))
    assert "sr64.steps" in functions["describe"]()["defaults"]
