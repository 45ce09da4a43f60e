"""The tab Compare without a browser: the grid, what its sides may be, what it costs, and two runs side by side."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from xml.etree import ElementTree

import gradio as gr
import pytest
from app_page import LONG, MARKUP, SHORT, Watched, at_compare, files_of, last, stop_and_go_on

from app.page import Tabs
from app.parts import grid
from app.serving.model import Model
from app.tabs import compare as compare_tab
from imagen_core.records import png
from imagen_core.run import experiments
from imagen_core.run.generate import generate
from imagen_core.settings import RULES, hyper_parameters
from imagen_core.settings.text import option_names
from imagen_core.types import StageResult, UserError


def test_the_grid_draws_what_the_engine_draws(model: Model, tabs: Tabs) -> None:
    tab = tabs.compare
    end = last(tab.draw(at_compare(tabs, SHORT, "guidance", "1, 6", "threshold", "none, dynamic")))
    shown, plan, kept = end[tab.tiles], end[tab.grid], end[tab.files]
    assert shown.count("<img") == 4 and shown.count("data-key") == 4 and "w = 6, dynamic" in shown
    sheet, numbers = files_of(kept)
    # The run that the cells vary, not the first of the cells.
    assert png.read_settings(sheet.read_bytes())[0] == plan.start == replace(SHORT, stages=SHORT.stages[:1])
    rows = list(csv.DictReader(numbers.open()))
    assert [row["cell"] for row in rows] == [cell.label for cell in plan.cells]
    for key, cell in enumerate(plan.cells):
        assert compare_tab.cell(plan, str(key)) == cell.request
    image = [e.image for e in generate(plan.cells[3].request, model.get()) if isinstance(e, StageResult)][-1]
    assert float(rows[3]["colourfulness"]) == experiments.picture_facts(image).rounded()["colourfulness"]


@pytest.mark.parametrize("key", [None, "4", "-1", "x", "9" * 5000, MARKUP, 0.5])
def test_only_cells_of_the_grid_open(key: object) -> None:
    plan = experiments.read_grid(SHORT, "guidance", "1, 2", "steps", "3, 4")
    with pytest.raises(UserError, match="^cell: "):
        compare_tab.cell(plan, key)
    with pytest.raises(UserError, match="^cell: "):
        compare_tab.cell(None, "0")


@pytest.mark.parametrize("text", ["1,1.0", "1, 2, 1e0", "nan,nan", "NaN,NaN", "[1],[1.0]", '{"a":1}, {"a":1}'])
def test_one_value_written_twice_is_one_value(text: str) -> None:
    with pytest.raises(UserError, match="^guidance: "):
        experiments.read_grid(SHORT, "guidance", text, "steps", "3")


@pytest.mark.parametrize("text", ["[1]", "{}", '{"a":1}', "true", "null", "NaN", "1e400"])
def test_values_of_a_side_are_numbers(text: str) -> None:
    for name in ("guidance", "steps"):
        with pytest.raises(UserError, match=f"^{name}: must be a"):
            experiments.read_grid(SHORT, name, text, "threshold", "none")


def test_every_setting_can_be_a_side_of_the_grid() -> None:
    """What is suggested for a setting is accepted for it, on a run whose rules take it."""
    homes = {
        option: {kind: rule}
        for kind, functions in RULES.items()
        for rule, function in functions.items()
        for option in hyper_parameters(function)
        if option in option_names()
    }
    for name in experiments.VARIED:
        start = experiments.vary_base(SHORT, homes.get(name, {}))
        for value in experiments.values_in(name, grid.suggestion(name)):
            if value not in {"cfgpp", "classifier"} and (name, value) not in {("low", 20), ("high", -20)}:
                made = experiments.vary_base(start, {name: value}).stages[0]
                own = made.options.get(name, made.allowed_options()[name]) if name in homes else getattr(made, name)
                assert own == value


def test_no_list_of_values_is_too_long_to_refuse_at_once() -> None:
    """Each value would be compared with all before it: a few hundred kilobytes held the server for minutes."""
    with pytest.raises(UserError, match=r"^cells: at most 25, got 200000 values of guidance$"):
        experiments.read_grid(SHORT, "guidance", "[1]," * 199_999 + "1", "steps", "3")


def test_the_price_is_told_before(model: Model, tabs: Tabs) -> None:
    list(model.in_turn(partial(generate, SHORT), model.get(), SHORT))
    told = tabs.compare.cost(at_compare(tabs, SHORT, "guidance", "1, 5", "threshold", "none"))
    assert "2 × 1 = 2 cells of 3 steps" in told and "second" in told
    wrong = tabs.compare.cost(at_compare(tabs, SHORT, "guidance", "99", "threshold", "none"))
    assert "guidance: must be" in wrong


def test_a_stopped_grid_leaves_the_engine_to_others(model: Model, tabs: Tabs, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Watched(experiments.grids.generate)
    monkeypatch.setattr(experiments.grids, "generate", engine)
    first, second = (
        tabs.compare.draw(at_compare(tabs, asked, "guidance", "1, 5", "threshold", "none")) for asked in (LONG, SHORT)
    )
    stop_and_go_on(model, engine, first, second)


def test_pinned_runs_show_what_differs_and_nothing_else(runs) -> None:
    html = compare_tab.pinned(runs, "1", "2")
    assert html.count("<img") == 2
    table = html[html.index('<div class="lab-table"') :]
    cells = ["".join(cell.itertext()) for cell in ElementTree.fromstring(table).iter("td")]
    assert cells[: 3 * 3] == ["count", "1", "2", "guidance", "5", "9", "threshold", "dynamic", "static"]
    assert "steps" not in cells and "none: burnt" in cells
    assert "same run" in compare_tab.pinned(runs, "1", "1") and "Choose two" in compare_tab.pinned(runs, None, "1")
    assert "run: " in compare_tab.pinned(runs, "1", "77")


@pytest.mark.parametrize(("burnt", "says"), [(0.0, "burnt 0 %"), (0.0002, "burnt < 0.1 %"), (0.044, "burnt 4.4 %")])
def test_a_few_burnt_values_are_not_none(burnt: float, says: str) -> None:
    assert grid.sentence(experiments.PictureFacts(burnt, 0.4, 0.15)).startswith(says)


def test_a_chosen_thumbnail_is_b_and_b_before_is_a(runs) -> None:
    def recalled(index: object) -> object:
        return compare_tab.recalled(runs, "1", SimpleNamespace(index=index))

    assert recalled(0) == ("1", "2") and recalled(1) == ("1", "1")
    assert recalled(7) == recalled(True) == recalled("0") == gr.skip()
