"""The tab Cascade: from the base up, what each super-resolution stage receives, and sweeps of aug_level."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from imagen_core.models.cascade import Cascade
from imagen_core.run.experiments import (
    MOST_LEVELS,
    SUGGESTED_LEVELS,
    SweptLevel,
    level_facts,
    levels_in,
    make_sweep,
    sweep,
)
from imagen_core.run.generate import check, generate
from imagen_core.settings import CHOICES, Request
from imagen_core.types import StageResult, StepRecord, UserError

from ..controls import Page, Updates, Values
from ..handlers import QUIET, STATUS_SECONDS, engine, refusals
from ..parts import expiry, status, tiles, upscaling, views
from ..parts.status import Status
from ..parts.upscaling import KEPT, SCORES, Base, badges
from ..serving.pace import about
from ..serving.session import NOW

CHOICE_NOW = ("New picture from the settings on See it", NOW)


@dataclass(frozen=True)
class CascadeTab:
    """The tab's parts beside the controls, and its handlers. ``at`` and ``levels`` are the sweep's."""

    page: Page
    tab: gr.Tab
    base: gr.Dropdown
    rule: gr.Dropdown
    own: gr.File
    own_note: gr.HTML
    aug_notes: Mapping[int, gr.HTML]
    ups: Mapping[int, gr.Button]
    stop: gr.Button
    at: gr.Radio
    levels: gr.Textbox
    go: gr.Button
    price: gr.HTML
    status: Status
    pick: gr.Radio
    tiles: gr.HTML
    files: gr.File

    @property
    def inputs(self) -> set[Any]:
        """What upscaling and the sweep read."""
        own = {self.page.runs, self.base, self.rule, self.own, self.at, self.levels}
        return own | self.page.controls.components

    @property
    def outputs(self) -> list[Any]:
        """What they change."""
        return [*self.status.parts, self.tiles, self.files, self.pick]

    def start(self, now: Request, values: Values, cascade: Cascade) -> Base:
        """The visitor's own picture or the chosen base, with the later stages of ``now``, the controls' request."""
        if values[self.own] is not None:
            return upscaling.own_base(now, cascade, values[self.own])
        return upscaling.base(now, cascade, values[self.page.runs], values[self.base], values[self.rule])

    def cleared(self) -> Updates:
        """The updates that hide files and levels, which would not be this run's."""
        return {self.files: gr.File(visible=False), self.pick: gr.Radio(visible=False)}

    def tell(self, text: str) -> Updates:
        """The updates while there is no tile yet."""
        return {**self.status.progress(text), self.tiles: "", **self.cleared()}

    def upscale(self, size: int, values: Values) -> Iterator[Updates]:
        """Carry the chosen base picture on to ``size``."""
        model = self.page.model
        with refusals():
            now = self.page.controls.read(values)
            if not model.ready:
                yield self.status.progress("Loading the model …")
            cascade = model.get()
            start = self.start(now, values, cascade)
            request = start.up_to(size)
            check(request, cascade)
            start = yield from upscaling.with_picture(model, start, self.tell)
            strip = [upscaling.base_tile(start.image)]
            yield {
                **self.tell(f"The {upscaling.shape(start.image)} picture is there"),
                self.tiles: upscaling.strip(strip),
            }
            small, last_update = start.onward, 0.0
            configs = {stage.name: stage for stage in request.stages}
            work = partial(generate, request, image=start.onward)
            for event in model.in_turn(work, cascade, request):
                config = configs[event.stage]
                if isinstance(event, StageResult):
                    facts = level_facts(cascade.stage(config.size), config, event.image, small)
                    strip += [upscaling.received(event.low_res, config, cascade),
                              upscaling.result(event.image[0], facts)]  # fmt: skip
                    small, picture = event.unmarked, event.image
                    done = f"{event.size} × {event.size} in {event.seconds:.1f} s"
                    yield {**self.tell(done), self.tiles: upscaling.strip(strip)}
                elif time.monotonic() - last_update > STATUS_SECONDS:
                    last_update = time.monotonic()
                    step = f"SR {config.size}: step {event.index + 1} of {config.steps}"
                    yield {**self.status.progress(step), **self.cleared()}
            # Updates that come fast are merged by the browser, so the last one must be complete.
            levels = " and ".join(f"{stage.aug_level:g} at {stage.size}" for stage in request.stages[1:])
            done = f"{size} × {size} is ready, aug_level {levels}."
            files = upscaling.kept([(picture, request)], cascade.digest, start.own)
            yield {
                **self.cleared(),
                **self.status.finished(done),
                self.tiles: upscaling.strip(strip),
                self.files: files,
            }

    def sweep(self, values: Values) -> Iterator[Updates]:
        """Run one stage at several aug_levels from the same noise."""
        model = self.page.model
        with refusals():
            size = values[self.at]
            if size not in (later := self.page.controls.later):
                raise UserError(f"size: must be one of {', '.join(map(str, later))}, got {size!r:.60}")
            wanted, now = levels_in(values[self.levels]), self.page.controls.read(values)
            if not model.ready:
                yield self.status.progress("Loading the model …")
            cascade = model.get()
            start = self.start(now, values, cascade)
            request = start.up_to(size)
            configs = {stage.name: stage for stage in request.stages}
            levels: list[SweptLevel] = []
            last_update = 0.0
            for event in sweep(make_sweep(request, wanted), cascade, model.in_turn, image=start.onward):
                if isinstance(event, SweptLevel):
                    levels.append(event)
                    continue
                row = event if isinstance(event, tuple) else (event,)
                if isinstance(row[0], StepRecord) and time.monotonic() - last_update > STATUS_SECONDS:
                    last_update, config = time.monotonic(), configs[row[0].stage]
                    below = f"The {config.size} × {config.size} picture: step"
                    what = f"{views.counted(len(row), 'level')} in step:" if row is event else below
                    yield self.tell(f"{what} {row[0].index + 1} of {config.steps}")
            yield self.swept(levels, cascade, start.own)

    def swept(self, levels: Sequence[SweptLevel], cascade: Cascade, own: Mapping[str, str]) -> Updates:
        """The updates at the end of a sweep: its pictures and what each was made from, files, and levels to pick."""
        best = badges([level.facts for level in levels])
        pictures = [
            upscaling.result(level.result.image[0], level.facts, marks, crop=True) for level, marks in zip(levels, best)
        ]
        configs = [level.request.stages[-1] for level in levels]
        inputs = [upscaling.received(level.result.low_res, c, cascade) for level, c in zip(levels, configs)]
        columns = len(levels) if len(levels) <= 4 else 3
        labels = [" · ".join([f"{config.aug_level:g}", *marks]) for config, marks in zip(configs, best)]
        choices = [(label, f"{config.size}:{config.aug_level}") for label, config in zip(labels, configs)]
        return {
            **self.status.finished(f"{views.counted(len(levels), 'level')} from the same noise. {SCORES}"),
            self.tiles: tiles.row(pictures, columns) + tiles.row(inputs, columns),
            self.files: upscaling.kept([(level.result.image, level.request) for level in levels], cascade.digest, own),
            self.pick: gr.Radio(choices, label=f"Use a level for SR {configs[0].size}", visible=True, value=None),
        }

    def arrive(self) -> Any:
        """The sweep that comes with the page, where it can be read and the model has a stage for one."""
        try:
            return upscaling.shipped_sweep() if self.page.controls.later else ""
        except UserError:
            return ""

    def take(self, picked: Any) -> Any:
        """A level picked from a sweep: the updates of its stage's sliders."""
        size, colon, text = str(picked).partition(":")
        try:
            level = levels_in(text)[0] if colon and size in map(str, self.page.controls.later) else None
        except UserError:
            level = None
        if level is None:
            return gr.skip()
        controls = self.page.controls
        return {sliders[int(size)]: level for sliders in (controls.aug_levels, controls.aug_twins)}

    def cost(self, values: Values) -> str:
        """How long upscaling and the sweep will take."""
        try:
            now = self.page.controls.read(values)
            wanted = levels_in(values[self.levels])
            size, pace, whole = values[self.at], self.page.model.pace, replace(now, count=1)
            sizes, later = self.page.controls.sizes, self.page.controls.later
            cuts = {s: replace(whole, stages=tuple(c for c in whole.stages if c.size <= s)) for s in sizes}
            up = [f"to {s}: {about(pace.seconds([cuts[s]], above=sizes[0]))}" for s in later]
            before = max(s for s in sizes if s < size) if size in later else sizes[0]
            each = pace.seconds([cuts[size]] * len(wanted), above=before) if size in later else None
        except UserError as error:
            return views.note(str(error), wrong=True)
        if not up:
            return views.BASE_ALONE
        levels = views.counted(len(wanted), "level")
        return views.note(f"Upscaling {', '.join(up)}. Sweep of {levels} at {size}: {about(each)}.")


def lay_out(page: Page) -> CascadeTab:
    """Place the tab's parts."""
    with gr.Tab("Cascade", id="cascade", elem_id="tab-cascade") as tab:
        gr.HTML(
            '<p class="lab-lead">Each super-resolution stage gets the picture of the stage before, enlarged and with '
            "<b>noise added on purpose</b>. It was trained on noisy pictures, so it can correct flaws. Too little "
            "noise keeps the flaws. Too much loses the scene.</p>"
        )
        gr.HTML('<h2 class="lab-h2">Upscale a picture</h2>')
        with gr.Row(equal_height=True):
            base = gr.Dropdown([CHOICE_NOW], value=NOW, label="Base picture", interactive=True, scale=4, min_width=260,
                               elem_id="cascade-base")  # fmt: skip
            rules = [(KEPT, KEPT), *((entry.title, name) for name, entry in CHOICES["threshold"].items())]
            rule = gr.Dropdown(rules, value=KEPT, label="Threshold rule", interactive=True,
                               scale=1, min_width=150, elem_id="cascade-rule")  # fmt: skip
        with gr.Accordion("A picture of your own", open=False, elem_id="cascade-own"):
            own = gr.File(label="Enlarge this picture (up to 8 MB)", file_types=["image"], type="filepath", height=120,
                          interactive=bool(page.controls.later), elem_id="cascade-file")  # fmt: skip
            own_note = gr.HTML(elem_id="cascade-own-note")
        aug_notes = _aug_levels(page)
        with gr.Row():
            ups = {size: gr.Button(f"Upscale to {size}", variant="primary", elem_id=f"cascade-up-{size}", scale=2)
                   for size in page.controls.later}  # fmt: skip
            stop = gr.Button("Stop", variant="stop", elem_id="cascade-stop", scale=1, min_width=80)
        gr.HTML('<h2 class="lab-h2">Several aug_levels from the same noise</h2>')
        with gr.Row():
            later = page.controls.later
            at = gr.Radio(list(later), value=next(iter(later), None), label="Stage to sweep", interactive=True, scale=1,
                          min_width=180, elem_id="sweep-size")  # fmt: skip
            levels = gr.Textbox(SUGGESTED_LEVELS, label="aug_levels", info=f"up to {MOST_LEVELS}, each from 0 to 1",
                                interactive=True, scale=3, min_width=180, max_length=100,
                                elem_id="sweep-levels")  # fmt: skip
            go = gr.Button("Sweep aug_level", elem_id="sweep-go", scale=2, min_width=180,
                           interactive=bool(later), elem_classes="lab-end")  # fmt: skip
        price = gr.HTML("" if later else views.BASE_ALONE, elem_id="cascade-cost", elem_classes="lab-queue")
        line = status.create("cascade-status")
        pick = gr.Radio([], label="Use a level", visible=False, interactive=True, elem_id="sweep-pick")
        pictures = tiles.component(elem_id="cascade-tiles")
        files = gr.File(label="Pictures as PNG, with their settings inside", file_count="multiple", interactive=False,
                        visible=False, elem_id="cascade-files")  # fmt: skip
    return CascadeTab(
        page=page, tab=tab, base=base, rule=rule, own=own, own_note=own_note, aug_notes=aug_notes, ups=ups, stop=stop,
        at=at, levels=levels, go=go, price=price, status=line, pick=pick, tiles=pictures, files=files,
    )  # fmt: skip


def _aug_levels(page: Page) -> Mapping[int, gr.HTML]:
    """The sliders of aug_level beside each other, and the note under each."""
    notes = {}
    with gr.Row():
        for size, level in page.controls.aug_twins.items():
            with gr.Column(min_width=260):
                level.render()
                notes[size] = gr.HTML(views.aug_note(page.model, page.controls.defaults[size], level.value))
    return notes


def wire(cascade: CascadeTab) -> None:
    """Connect the tab's parts, its sliders kept in step with their twins on See it."""
    page, controls = cascade.page, cascade.page.controls
    page.demo.load(cascade.arrive, None, cascade.tiles, **QUIET)
    working = [
        button.click(partial(cascade.upscale, size), cascade.inputs, cascade.outputs, **engine(cascade.price))
        for size, button in cascade.ups.items()
    ]
    working.append(cascade.go.click(cascade.sweep, cascade.inputs, cascade.outputs, **engine(cascade.price)))
    cascade.status.stop_with(cascade.stop, working)
    expiry.watch(cascade.files, [*cascade.ups.values(), cascade.go])
    cascade.own.change(lambda path: upscaling.own_note(path, page.model), cascade.own, cascade.own_note, **QUIET)
    sliders = [*controls.aug_levels.values(), *controls.aug_twins.values()]
    cascade.pick.input(cascade.take, cascade.pick, sliders, **QUIET)
    for size, twin in controls.aug_twins.items():
        first, note = controls.aug_levels[size], cascade.aug_notes[size]
        described = partial(views.aug_note, page.model, controls.defaults[size]), twin, note
        gr.on([twin.change], *described, **QUIET)
        page.loaded.then(*described, **QUIET)
        twin.input(None, twin, first, js="x => x", **QUIET)
        first.input(None, first, twin, js="x => x", **QUIET)
    priced = [cascade.at.change, cascade.levels.change, cascade.tab.select]
    gr.on(priced, cascade.cost, {cascade.at, cascade.levels, *controls.components}, cascade.price, **QUIET)
