"""The tab Compare: a grid over any two settings from the same noise, two runs side by side, one report of several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from imagen_core.records import recording
from imagen_core.run.experiments import VARIED, DrawnCell, Grid, allowed_values, draw, picture_facts, read_grid
from imagen_core.settings import Request
from imagen_core.types import StepRecord, UserError

from ..controls import Page, Updates, Values
from ..handlers import QUIET, STATUS_SECONDS, WAKING, engine, folder, refusals
from ..parts import expiry, report, status, tiles, views
from ..parts import grid as grid_parts
from ..parts.status import Status
from ..serving import session
from ..serving.pace import about
from ..serving.session import Runs

# A report of so many runs is 8 MB, which a mail still takes; our choice.
MOST_REPORTED = 4


@dataclass(frozen=True)
class Side:
    """A side of the grid: the setting that it varies, and its values as text."""

    setting: gr.Dropdown
    values: gr.Textbox


@dataclass(frozen=True)
class Compare:
    """The tab's parts, and its handlers. ``grid`` holds the grid (experiments.Grid) of the tiles."""

    page: Page
    tab: gr.Tab
    rows: Side
    columns: Side
    go: gr.Button
    stop: gr.Button
    price: gr.HTML
    status: Status
    tiles: gr.HTML
    files: gr.File
    history: gr.Gallery
    pins: tuple[gr.Dropdown, gr.Dropdown]
    table: gr.HTML
    collect: gr.Button
    collected: gr.File
    grid: gr.State

    @property
    def inputs(self) -> set[Any]:
        """What a grid is made of."""
        sides = {self.rows.setting, self.rows.values, self.columns.setting, self.columns.values}
        return sides | self.page.controls.components

    def grid_of(self, values: Values) -> Grid:
        """The grid that the two sides ask for; UserError where there is none."""
        rows, columns = self.rows, self.columns
        start = self.page.controls.read(values, self.page.controls.sizes[0])
        return read_grid(
            start, values[rows.setting], values[rows.values], values[columns.setting], values[columns.values]
        )

    def draw(self, values: Values) -> Iterator[Updates]:
        """Draw every cell, one after the other."""
        model = self.page.model
        with refusals():
            grid = self.grid_of(values)
            if not model.ready:
                yield self.status.progress("Loading the model …")
            cascade = model.get()
            last_update = 0.0
            cells: list[DrawnCell] = []
            for event in draw(grid, cascade, model.in_turn):
                if isinstance(event, DrawnCell):
                    cells.append(event)
                elif isinstance(event, StepRecord) and time.monotonic() - last_update > STATUS_SECONDS:
                    last_update, number = time.monotonic(), len(cells)
                    left = about(model.pace.seconds(grid.requests[number:]))
                    line = f"Cell {number + 1} of {len(grid.cells)}: {grid.cells[number].label} · {left} left"
                    # Files of the grid before would not be these pictures.
                    hidden = {self.files: gr.File(visible=False)}
                    yield {**self.status.progress(line), **self.drawn(grid, cells), **hidden}
            done = f"{views.counted(len(cells), 'cell')} from the same noise, seed {grid.start.seed}."
            files = gr.File(grid_parts.files(grid, cells, cascade.digest), visible=True)
            yield {**self.status.finished(done), **self.drawn(grid, cells), self.files: files}

    def drawn(self, grid: Grid, cells: Sequence[DrawnCell]) -> Updates:
        """The updates with the tiles drawn so far, and places for the rest."""
        pictures = [(drawn.image, grid_parts.sentence(drawn.facts)) for drawn in cells]
        return {self.tiles: grid_parts.tiled(grid, pictures), self.grid: grid}

    def arrive(self) -> Updates:
        """The updates with the grid that comes with the page, where it can be read."""
        try:
            grid, html = grid_parts.shipped()
        except UserError:
            return {self.tiles: ""}
        return {
            self.grid: grid,
            self.tiles: views.note(f"Recorded: “{grid.start.prompt}”, from the same noise.") + html,
        }

    def cost(self, values: Values) -> str:
        """The number of cells and the time they take, or what is wrong with the settings."""
        try:
            grid = self.grid_of(values)
            seconds = self.page.model.pace.seconds(grid.requests)
        except UserError as error:
            return views.note(str(error), wrong=True)
        rows, steps = len(grid.cells) // grid.columns, grid.cells[0].request.stages[0].steps
        return views.note(
            f"{rows} × {grid.columns} = {views.counted(len(grid.cells), 'cell')} of {steps} steps: {about(seconds)}"
        )

    def report(self, runs: Runs) -> Updates:
        """One report of this session's last runs."""
        model = self.page.model
        with refusals():
            kept = session.recordings(runs, MOST_REPORTED)
            if not kept:
                raise UserError("report: no run of the last hour is here; press Generate on See it first")
            path = folder() / f"imagen-lab-{views.counted(len(kept), 'run').replace(' ', '-')}.html"
            steps = [recording.load(file) for file in kept]
            path.write_text(report.page(steps, model.name, model.defaults), encoding="utf-8")
        return {self.collected: gr.File([str(path)], visible=True)}

    def open(self, values: Values, event: gr.EventData) -> Updates:
        """Set all tabs to a cell of the grid, show See it, and run it there."""
        key = event._data.get("key") if isinstance(event._data, dict) else None
        more, opened = values[self.page.controls.more], self.page.opened
        with refusals():
            request = cell(values[self.grid], key)
        return {**self.page.show(request, more), opened: values[opened] + 1}


def recalled(runs: Runs, b: Any, event: gr.SelectData) -> Any:
    """The pins once a picture of the history, newest first, was chosen: it is B, and what was B is A."""
    index, shown = event.index, session.finished(runs)
    if type(index) is not int or not 0 <= index < len(shown):
        return gr.skip()
    return b, str(shown[index].number)


def chosen(name: Any) -> Any:
    """First values for a setting that was just chosen, and what they may be."""
    return gr.Textbox(grid_parts.suggestion(name), info=allowed_values(name)) if name in VARIED else gr.skip()


def cell(grid: Grid | None, key: Any) -> Request:
    """The request of a cell by the key its button carries.

    Raises:
        UserError: there is no such cell.
    """
    text = str(key)
    if grid is None or not text.isdecimal() or len(text) > 3 or int(text) >= len(grid.cells):
        raise UserError("cell: must be one of the grid's cells")
    return grid.cells[int(text)].request


def pinned(runs: Runs, a: Any, b: Any) -> str:
    """Two runs of this session: the settings in which they differ, and their numbers."""
    if not a or not b:
        return views.note("Choose two runs of this session to see how they differ.")
    try:
        one, other = session.find(runs, a), session.find(runs, b)
    except UserError as error:
        return views.note(str(error), wrong=True)
    rows = grid_parts.differences(one.request, other.request)
    for rule in one.images:
        if rule in other.images:
            left, right = (picture_facts(run.images[rule]).rounded() for run in (one, other))
            rows += [{"setting": f"{rule}: {name}", "A": left[name], "B": right[name]} for name in left]
    if one is other:
        return views.note("A and B are the same run.")
    pair = [views.preview(run.images[run.request.stages[0].threshold][:1], f"{letter}: {run.label}")
            for letter, run in (("A", one), ("B", other)) if session.finished((run,))]  # fmt: skip
    table = tiles.table(rows, f"A is run {one.number}, B is run {other.number}", wide=("A", "B"))
    return f'<div class="lab-pair">{"".join(pair)}</div>{table}'


def lay_out(page: Page) -> Compare:
    """Place the tab's parts."""
    with gr.Tab("Compare", id="compare", elem_id="tab-compare") as tab:
        grid = gr.State(None)
        gr.HTML(
            '<p class="lab-lead">Vary two settings of one base run. Every cell starts from the same noise. All other '
            "settings are those of <b>See it</b>. The number of steps is under More settings there.</p>"
        )
        rows, columns = _side("Rows", "guidance"), _side("Columns", "threshold")
        with gr.Row():
            go = gr.Button("Draw the grid", variant="primary", elem_id="grid-go", scale=3)
            stop = gr.Button("Stop", variant="stop", elem_id="grid-stop", scale=1, min_width=80)
        price = gr.HTML(elem_id="grid-cost", elem_classes="lab-queue")
        line = status.create("grid-status")
        pictures = tiles.component(elem_id="grid")
        files = gr.File(label="The grid as PNG, its numbers as CSV", file_count="multiple", interactive=False,
                        visible=False, elem_id="grid-files")  # fmt: skip
        gr.HTML('<h2 class="lab-h2">Runs of this session</h2>')
        history = gr.Gallery(label="Choose a picture for B; B before becomes A", format="png", columns=8, height="auto",
                             allow_preview=False, interactive=False, elem_id="history", buttons=[])  # fmt: skip
        with gr.Row():
            a, b = (gr.Dropdown([], label=f"Run {letter}", interactive=True, elem_id=f"pin-{letter.lower()}")
                    for letter in "AB")  # fmt: skip
        table = gr.HTML(pinned((), None, None), elem_id="pinned", apply_default_css=False)
        collect = gr.Button(f"One report of the last {MOST_REPORTED} runs", elem_id="collect")
        collected = gr.File(label="The report opens from disk, offline", file_count="multiple", interactive=False,
                            visible=False, elem_id="collected")  # fmt: skip
    return Compare(
        page=page, tab=tab, rows=rows, columns=columns, go=go, stop=stop, price=price, status=line, tiles=pictures,
        files=files, history=history, pins=(a, b), table=table, collect=collect, collected=collected, grid=grid,
    )  # fmt: skip


def _side(what: str, name: str) -> Side:
    """The two fields of a side of the grid, beginning with the setting ``name``."""
    with gr.Row(equal_height=True):
        setting = gr.Dropdown(list(VARIED), value=name, label=what, interactive=True, scale=1, min_width=160,
                              elem_id=f"grid-{what.lower()}")  # fmt: skip
        values = gr.Textbox(grid_parts.suggestion(name), label=f"Values of the {what.lower()}",
                            info=allowed_values(name), interactive=True, scale=3, min_width=200, max_length=300,
                            elem_id=f"grid-{what.lower()}-values")  # fmt: skip
    return Side(setting, values)


def wire(compare: Compare) -> None:
    """Connect the tab's parts."""
    page, controls = compare.page, compare.page.controls
    page.demo.load(compare.arrive, None, [compare.grid, compare.tiles], **WAKING)
    changed = [*compare.status.parts, compare.tiles, compare.files, compare.grid]
    drawing = compare.go.click(compare.draw, compare.inputs, changed, **engine(compare.price))
    compare.status.stop_with(compare.stop, [drawing])
    for side in (compare.rows, compare.columns):
        side.setting.change(chosen, side.setting, side.values, **QUIET).then(
            compare.cost, compare.inputs, compare.price, **QUIET
        )
    priced = [compare.rows.values.change, compare.columns.values.change, compare.tab.select]
    gr.on(priced, compare.cost, compare.inputs, compare.price, **QUIET)
    expiry.watch(compare.files, [compare.go])
    compare.tiles.click(
        compare.open, {compare.grid, controls.more, page.opened}, [*controls.settable, page.tabs, page.opened], **WAKING
    )
    compare.collect.click(compare.report, page.runs, [compare.collected], **WAKING)
    expiry.watch(compare.collected, [compare.collect])
    compare.history.select(recalled, [page.runs, compare.pins[1]], list(compare.pins), **QUIET)
    gr.on([pin.change for pin in compare.pins], pinned, [page.runs, *compare.pins], compare.table, **QUIET)
