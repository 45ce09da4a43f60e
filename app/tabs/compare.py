"""The tab Compare: a grid over any two settings from the same noise, and the differences between two runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from imagen_core.run.experiments import VARIED, DrawnCell, Grid, allowed_values, draw, picture_facts, read_grid
from imagen_core.settings import Request
from imagen_core.types import StepRecord, UserError

from ..handlers import QUIET, STATUS_SECONDS, engine, refuse, stopped
from ..parts import grid, tiles, views
from ..serving import session
from ..serving.model import Model
from ..serving.pace import about
from ..serving.session import Build, Runs


def run(
    model: Model, build_request: Build, row: Any, row_values: Any, column: Any, column_values: Any,
    *controls: Any,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Draw every cell, one after the other; yields (status, tiles, cells, files)."""
    try:
        plan = read_grid(build_request(*controls), row, row_values, column, column_values)
        if not model.ready:
            yield views.progress("Loading the model …"), gr.skip(), gr.skip(), gr.skip()
        cascade = model.get()
        shown = 0.0
        cells: list[DrawnCell] = []
        pictures: list[str] = []
        for event in draw(plan, cascade, model.in_turn):
            number = len(cells)
            if isinstance(event, DrawnCell):
                cells.append(event)
                pictures.append(tiles.tile(event.image, event.cell.label, grid.sentence(event.facts), key=str(number)))
            elif isinstance(event, StepRecord) and time.monotonic() - shown > STATUS_SECONDS:
                shown = time.monotonic()
                left = about(model.pace.seconds(plan.requests[number:]))
                note = f"Cell {number + 1} of {len(plan.cells)}: {plan.cells[number].label} · {left} left"
                # Files of the grid before would not be these pictures.
                yield views.progress(note), _rows(plan, pictures), plan, gr.File(visible=False)
        done = f"{views.counted(len(cells), 'cell')} from the same noise, seed {plan.start.seed}."
        kept = gr.File(grid.files(plan, cells, cascade.digest), visible=True)
        yield views.message(done), _rows(plan, pictures), plan, kept
    except UserError as error:
        raise refuse(error) from None


def _rows(plan: Grid, pictures: list[str]) -> str:
    waiting = [tiles.waiting(cell.label, "not drawn yet") for cell in plan.cells[len(pictures) :]]
    return tiles.row([*pictures, *waiting], plan.columns, plain=True)


def estimate(
    model: Model, build_request: Build, row: Any, row_values: Any, column: Any, column_values: Any,
    *controls: Any,
) -> str:  # fmt: skip
    """How many cells that makes and how long they take, or what is wrong, before anything is drawn."""
    try:
        plan = read_grid(build_request(*controls), row, row_values, column, column_values)
    except UserError as error:
        return views.note(str(error), wrong=True)
    rows, steps = len(plan.cells) // plan.columns, plan.cells[0].request.stages[0].steps
    return views.note(
        f"{rows} × {plan.columns} = {views.counted(len(plan.cells), 'cell')} of {steps} steps: "
        f"{about(model.pace.seconds(plan.requests))}"
    )


def chosen(name: Any) -> Any:
    """First values for a setting that was just chosen, and what they may be."""
    return gr.Textbox(grid.suggestion(name), info=allowed_values(name)) if name in VARIED else gr.skip()


def cell(plan: Grid | None, key: Any) -> Request:
    """The request of a cell by the key its button carries.

    Raises:
        UserError: there is no such cell.
    """
    text = str(key)
    if plan is None or not text.isdecimal() or len(text) > 3 or int(text) >= len(plan.cells):
        raise UserError("cell: choose one of the grid's")
    return plan.cells[int(text)].request


def pinned(runs: Runs, a: Any, b: Any) -> str:
    """Two runs of this session: the settings in which they differ, and their numbers."""
    if not a or not b:
        return views.note("Pick two runs of this session: their differences show up here.")
    try:
        one, other = session.find(runs, a), session.find(runs, b)
    except UserError as error:
        return views.note(str(error), wrong=True)
    rows = grid.differences(one.request, other.request)
    for rule in one.images:
        if rule in other.images:
            left, right = (picture_facts(run.images[rule]).rounded() for run in (one, other))
            rows += [{"setting": f"{rule}: {name}", "A": left[name], "B": right[name]} for name in left]
    if one is other:
        return views.note("A and B are the same run.")
    return tiles.table(rows, f"A is run {one.number}, B is run {other.number}", wide=("A", "B"))


def build(model: Model, build_request: Build, controls: list[Any], runs: gr.State) -> tuple[Any, ...]:
    """Lay the tab out and wire it; returns the tiles, whose click opens a cell, the grid's state, and the pin lists."""
    plan = gr.State(None, time_to_live=3600)
    gr.HTML(
        '<p class="lab-lead">One base run, varied in two settings, every cell from the same noise. Everything else is '
        "as set on <b>See it</b>; the number of steps is under Advanced there.</p>"
    )
    sides = []
    for what, name in (("Rows", "guidance"), ("Columns", "threshold")):
        with gr.Row(equal_height=True):
            setting = gr.Dropdown(list(VARIED), value=name, label=what, interactive=True, scale=1, min_width=160,
                                  elem_id=f"grid-{what.lower()}")  # fmt: skip
            values = gr.Textbox(grid.suggestion(name), label=f"Values of the {what.lower()}", info=allowed_values(name),
                                interactive=True, scale=3, min_width=200, max_length=300,
                                elem_id=f"grid-{what.lower()}-values")  # fmt: skip
            sides.append((setting, values))
    with gr.Row():
        go = gr.Button("Draw the grid", variant="primary", elem_id="grid-go", scale=3)
        stop = gr.Button("Stop", variant="stop", elem_id="grid-stop", scale=1, min_width=80)
    cost = gr.HTML(elem_id="grid-cost", elem_classes="lab-queue")
    status = gr.HTML(elem_id="grid-status")
    shown = tiles.component(elem_id="grid")
    made = gr.File(label="The grid as PNG, its numbers as CSV", file_count="multiple", interactive=False, visible=False,
                   elem_id="grid-files")  # fmt: skip
    gr.HTML('<h2 class="lab-h2">Two runs of this session</h2>')
    with gr.Row():
        pins = [
            gr.Dropdown([], label=f"Run {letter}", interactive=True, elem_id=f"pin-{letter.lower()}") for letter in "AB"
        ]
    table = gr.HTML(pinned((), None, None), elem_id="pinned", apply_default_css=False)

    grid_inputs = [item for side in sides for item in side]
    everything = [*grid_inputs, *controls]
    drawing = go.click(
        partial(run, model, build_request),
        everything,
        [status, shown, plan, made],
        **engine(cost),
    )
    # Said afterwards, because the last step's own line may still be on its way.
    stop.click(None, None, None, cancels=[drawing], **QUIET).then(stopped, status, status, **QUIET)
    cheap = partial(estimate, model, build_request)
    for setting, values in sides:
        setting.change(chosen, setting, values, **QUIET).then(cheap, everything, cost, **QUIET)
        values.change(cheap, everything, cost, **QUIET)
    gr.on([pin.change for pin in pins], pinned, [runs, *pins], table, **QUIET)
    return shown, plan, pins, (cheap, everything, cost)
