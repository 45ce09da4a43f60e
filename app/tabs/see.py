"""The tab See it: a base run under several threshold rules, live and in the player, and upscaling of one picture."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core import settings
from imagen_core.records.shipped import SHIPPED
from imagen_core.run.generate import generate
from imagen_core.settings import CONVENTIONS, RANGES
from imagen_core.types import StageResult, StepRecord, UserError

from ..controls import ADVANCED, Page, Updates, Values, explained, weight_named
from ..handlers import FRAME_SECONDS, KEEP_SECONDS, QUIET, engine, files, refusals, refuse
from ..parts import builder, elsewhere, examples, expiry, links, player, side_by_side, status, views
from ..parts.side_by_side import Run, requests_of
from ..parts.status import Status
from ..serving.pace import about

WEIGH = (
    f"(w, convention) => {{ document.querySelector('#player .pl')?.player.weigh(w + ({json.dumps(CONVENTIONS)}"
    "[convention] ?? 0)); return []; }"
)
UPSCALING = views.note("Upscale enlarges the last run's picture under the chosen rule.")
UNFINISHED = views.note("A stopped run has no picture to upscale. Press Generate to make one.")


@dataclass(frozen=True)
class See:
    """The tab's parts beside the controls, and its handlers. ``run`` holds the latest base run (side_by_side.Run)."""

    page: Page
    run: gr.State
    words: gr.HTML
    price: gr.HTML
    go: gr.Button
    stop: gr.Button
    player: gr.HTML
    dice: gr.Button
    examples: gr.Dataset
    ups: Mapping[int, gr.Button]
    status: Status
    gallery: gr.Gallery
    report: gr.DownloadButton
    preset: gr.Dropdown
    aug_notes: Mapping[int, gr.HTML]
    elsewhere: elsewhere.Elsewhere | None

    @property
    def changed(self) -> list[Any]:
        """The outputs of a run and of Stop."""
        return [self.player, self.gallery, self.run, *self.ups.values(), self.report, *self.status.parts]

    @property
    def upscaling(self) -> str:
        """What stands under the upscale buttons."""
        return UPSCALING if self.ups else views.BASE_ALONE

    def recorded(self, view: str, report: Path | None) -> Updates:
        """The updates that show a recording, and offer its report."""
        saved = {} if report is None else {self.report: gr.DownloadButton(value=str(report), interactive=True)}
        return {self.player: view, **saved}

    def upscalable(self, now: bool, line: str) -> Updates:
        """The updates of the upscale buttons and of the line under them."""
        buttons = {button: gr.Button(interactive=now) for button in self.ups.values()}
        return {**buttons, **self.status.showing(line, working=False)}

    def whole(self, run: Run) -> Updates:
        """The updates with a whole run and its pictures."""
        pictures = files(run.images[run.picked], run.request, run.weights)
        return {
            **self.recorded(*run.recorded()),
            self.gallery: pictures,
            self.run: run,
            **self.upscalable(True, self.upscaling),
        }

    def generate(self, values: Values) -> Iterator[Updates]:
        """Run the base stage under the paper's rules, and the chosen one, in lockstep."""
        model = self.page.model
        with refusals():
            request = self.page.controls.read(values, self.page.controls.sizes[0])
            if not model.ready:
                yield {self.player: player.waiting("Loading the model …")}
            cascade = model.get()
            run = side_by_side.begin(request, cascade, model.name)
            for number, view in enumerate(side_by_side.watch(run, model, cascade)):
                # The run is stored at its first step and filled in place, so Stop finds its steps.
                # Before that, Stop finds the previous run.
                if number == 0:
                    yield {self.run: run, self.gallery: [], **self.upscalable(False, self.upscaling)}
                yield {self.player: view}
            if run.stopped:
                return
            # Updates that come fast are merged by the browser, so the last one must be complete.
            yield self.whole(run)
            # Only now does the page have it; a Stop before this line shows the whole run.
            run.deliver()

    def stopped(self, run: Run | None) -> Any:
        """The updates with what a stopped run has shown so far, or the whole of one that was at its end."""
        if run is None:
            # Stopped before the first step of the first run: show the recorded one again.
            return self.recorded(*examples.opening())
        if run.delivered or run.stopped:
            return gr.skip()
        run.stopped = True
        if run.images:
            shown = self.whole(run)
        else:
            shown = {**self.recorded(*run.recorded()), **self.status.showing(UNFINISHED, working=False)}
        # The page has its steps now.
        run.frames = None
        return shown

    def upscale(self, size: int, values: Values) -> Iterator[Updates]:
        """Carry the pictures of the rule that is now picked on to ``size``."""
        with refusals():
            # The latest run's steps are kept for an hour, its pictures as long as the page is open.
            run = values[self.run] or next(reversed(values[self.page.runs]), None)
            if run is None or not run.images:
                raise UserError("upscale: press Generate first; there is no picture yet")
            wanted = self.page.controls.read(values, size)
            rule = wanted.stages[0].threshold
            if rule not in run.images:
                raise UserError(f"threshold: the run had {', '.join(run.images)}; press Generate for {rule}")
            cascade = self.page.model.get()
            base = requests_of(run.request)[rule].stages[0]
            request = replace(run.request, stages=(base, *wanted.stages[1:]))
            steps = {stage.name: stage.steps for stage in request.stages}
            last_update = 0.0
            work = partial(generate, request, image=run.onward[rule])
            for event in self.page.model.in_turn(work, cascade, request):
                if isinstance(event, StageResult):
                    last, line = event.size == size, f"{event.size} × {event.size} in {event.seconds:.1f} s"
                    pictures = {self.gallery: files(event.image, request, cascade.digest)} if last else {}
                    yield {**self.status.showing(views.message(line), working=not last), **pictures}
                elif time.monotonic() - last_update > 4 * FRAME_SECONDS:
                    last_update = time.monotonic()
                    yield self.preview(event, steps[event.stage])

    def preview(self, record: StepRecord, steps: int) -> Updates:
        """The updates with a super-resolution stage's estimate at one of its steps."""
        caption = f"{record.stage}: x̂₀ at step {record.index + 1} of {steps}"
        # A preview of a megapixel would take longer to send than to compute; latents are no picture.
        small = record.z.shape[-1] <= 256 and record.z.shape[1] == 3
        html = views.preview(record.out.x0_hat, caption) if small else views.message(caption)
        return self.status.showing(html, working=True)

    def choose(self, values: Values) -> Updates:
        """An example: its recorded run, and the controls set to what made it."""
        index = values[self.examples]
        if type(index) is not int or not 0 <= index < len(examples.RECORDED):
            raise refuse(UserError(f"example: must be a whole number between 0 and {len(examples.RECORDED) - 1}"))
        name, controls = examples.RECORDED[index], self.page.controls
        request = SHIPPED[name][1]
        return {**self.recorded(*examples.recorded(name)), **controls.updates(request, values[controls.more])}

    def cost(self, values: Values) -> str:
        """How long Generate takes, and warnings about settings that are probably a mistake."""
        try:
            request = self.page.controls.read(values, self.page.controls.sizes[0])
            requests = requests_of(request)
            seconds = self.page.model.pace.seconds(list(requests.values()))
        except UserError as error:
            return views.note(str(error), wrong=True)
        stage = request.stages[0]
        # No time is known before the first run.
        price = f"{len(requests)} rules × {stage.steps} steps" if seconds is None else about(seconds).capitalize()
        return views.note(". ".join([price, *stage.warnings]))

    def take_preset(self, name: str) -> Any:
        """The updates that set rule, percentile and cap to a published preset."""
        if not name:
            return gr.skip()
        try:
            stage = settings.with_preset(settings.base_of(self.page.controls.defaults), name)
        except UserError as error:
            raise refuse(error) from None
        controls, cap = self.page.controls, stage.options.get("cap")
        return {
            controls.threshold: stage.threshold,
            controls.percentile: stage.percentile,
            controls.cap: "" if cap is None else f"{cap:g}",
        }

    def opening(self, visit: gr.Request) -> Updates:
        """The updates with the recorded run that the page's address names, or the one that the page opens with."""
        link = links.followed(visit.query_params.multi_items())
        if link is None or link.run is None:
            return self.recorded(*examples.opening())
        return self.recorded(*examples.recorded(link.run, link.begin))


def roll() -> int:
    """A fresh seed."""
    return random.randrange(int(RANGES["seed"][1]) + 1)


def lay_out(page: Page) -> See:
    """Place the tab's parts.

    The order is that of a phone and of the tab key: prompt, player, controls, upscaling. On a wide screen style.css
    puts the player to the left of all the rest.
    """
    controls = page.controls
    with gr.Tab("See it", id="see", elem_id="tab-see"), gr.Column(elem_id="see"):
        run = gr.State(None, time_to_live=KEEP_SECONDS, delete_callback=side_by_side.forget)
        gr.HTML(player.WHY, elem_id="why", padding=False)
        with gr.Column(elem_id="ask", min_width=0):
            controls.prompt.render()
            controls.guidance.render()
        with gr.Row(elem_id="act"):
            go = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=140)
            stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)
        with gr.Column(elem_id="told", min_width=0):
            price = gr.HTML(views.note(""), elem_id="price", padding=False)
            other = elsewhere.lay_out() if page.beside else None
            words = gr.HTML(elem_id="words", padding=False)
        screen = player.component(elem_id="player", elem_classes="lab-queue")
        with gr.Column(elem_id="knobs", min_width=0):
            dice, dataset = _knobs(page)
        with gr.Column(elem_id="next", min_width=0):
            with gr.Row():
                ups = {size: gr.Button(f"Upscale to {size}", interactive=False, elem_id=f"upscale-{size}",
                                       min_width=120) for size in controls.later}  # fmt: skip
            line = status.create("preview", UPSCALING if ups else views.BASE_ALONE, padding=False)
            gallery = gr.Gallery(
                label="Pictures as PNG, with their settings inside", format="png", columns=2, object_fit="contain",
                height="auto", interactive=False, elem_id="gallery", buttons=["download", "fullscreen"],
            )  # fmt: skip
            report = gr.DownloadButton("Save as HTML report", interactive=False, elem_id="report")
        with gr.Column(elem_id="more", min_width=0):
            if (world := page.model.world) is not None and world.picks:
                with gr.Accordion("Build a prompt", open=False, elem_id="builder"):
                    builder.build(world, controls.prompt)
            with gr.Accordion("More settings", open=False, elem_id="advanced"):
                preset, aug_notes = _advanced(page)
    return See(
        page=page, run=run, words=words, price=price, go=go, stop=stop, player=screen,
        dice=dice, examples=dataset, ups=ups, status=line, gallery=gallery, report=report, preset=preset,
        aug_notes=aug_notes, elsewhere=other,
    )  # fmt: skip


def _knobs(page: Page) -> tuple[gr.Button, gr.Dataset]:
    """The controls that everybody turns, the button for a new seed, and the examples."""
    controls = page.controls
    controls.threshold.render()
    controls.w_schedule.render()
    with gr.Row(equal_height=True):
        controls.seed.render()
        dice = gr.Button("New seed", elem_id="dice", scale=2, min_width=110)
    runs = SHIPPED.values()
    dataset = gr.Dataset(
        components=[controls.prompt], samples=[[request.prompt] for _, request in runs],
        sample_labels=[f"{title}, w = {request.stages[0].guidance:g}" for title, request in runs],
        label=examples.label(page.model.world), type="index", elem_id="examples",
    )  # fmt: skip
    return dice, dataset


def _advanced(page: Page) -> tuple[gr.Dropdown, Mapping[int, gr.HTML]]:
    """The controls that few visitors need, the presets, and the note under each slider of aug_level."""
    controls = page.controls
    with gr.Row():
        controls.steps.render()
        controls.count.render()
    controls.convention.render()
    controls.percentile.render()
    controls.cap.render()
    preset = gr.Dropdown(
        [("—", ""), *((name, name) for name in settings.PRESETS)], value="", label="Published threshold settings",
        info="sets rule, percentile and cap", interactive=True, elem_id="preset",
    )  # fmt: skip
    for choice in (controls.sampler, controls.spacing, controls.schedule, controls.guidance_rule):
        choice.render()
    notes = {}
    for size, level in controls.aug_levels.items():
        with gr.Column(min_width=200):
            level.render()
            notes[size] = gr.HTML(views.aug_note(page.model, controls.defaults[size], level.value))
    controls.more.render()
    return preset, notes


def wire(see: See) -> list[Any]:
    """Connect the tab's parts; returns the events that run the base stage."""
    page, controls = see.page, see.page.controls
    needed = controls.components
    running = gr.on([see.go.click, controls.prompt.submit], see.generate, needed, see.changed, **engine(see.player))
    # A cell that is opened during a run waits for its end; a second press of Generate is ignored.
    opened = page.opened.change(
        see.generate, needed, see.changed, **{**engine(see.player), "trigger_mode": "multiple"}
    )  # fmt: skip
    upscaling = [
        button.click(partial(see.upscale, size), {see.run, page.runs, *needed}, [see.gallery, *see.status.parts],
                     **engine(see.status.line))
        for size, button in see.ups.items()
    ]  # fmt: skip
    see.stop.click(see.stopped, see.run, see.changed, cancels=[running, opened, *upscaling], **QUIET).then(
        see.status.stopped, see.status.working, see.status.parts, **QUIET
    )
    see.examples.click(
        see.choose, {see.examples, controls.more}, [see.player, see.report, *controls.settable], **QUIET
    )  # fmt: skip
    page.demo.load(see.opening, None, [see.player, see.report], **QUIET)
    expiry.watch(see.gallery, [see.go, *see.ups.values()])
    expiry.watch(see.report, [see.go], changed=see.player)
    _wire_controls(see, [running, opened])
    if see.elsewhere is not None:
        elsewhere.wire(see.elsewhere, needed, controls.read)
    return [running, opened]


def _wire_controls(see: See, runs: Sequence[Any]) -> None:
    """Connect what follows the controls: price, words, notes; and what sets single ones."""
    page, controls, needed = see.page, see.page.controls, see.page.controls.components
    see.preset.input(
        see.take_preset, see.preset, [controls.threshold, controls.percentile, controls.cap], **QUIET
    )  # fmt: skip
    # A recorded run follows the slider at once, without the server.
    controls.guidance.input(None, [controls.guidance, controls.convention], None, js=WEIGH, **QUIET)
    see.dice.click(roll, None, controls.seed, **QUIET)
    for name in ADVANCED:
        dropdown = controls.by_setting[name]
        dropdown.change(partial(explained, name), dropdown, dropdown, **QUIET)
    controls.convention.change(weight_named, controls.convention, controls.guidance, **QUIET)
    controls.prompt.change(
        partial(views.words_note, page.model), controls.prompt, see.words, trigger_mode="always_last", **QUIET
    )
    free = {controls.prompt, controls.seed, *controls.aug_levels.values()}
    priced = [control.change for control in needed - free]
    gr.on(priced, see.cost, needed, see.price, trigger_mode="always_last", **QUIET)
    for event in runs:
        event.then(see.cost, needed, see.price, **QUIET)
    page.demo.load(see.cost, needed, see.price, **QUIET)
    for size, level in controls.aug_levels.items():
        note = partial(views.aug_note, page.model, controls.defaults[size]), level, see.aug_notes[size]
        gr.on([level.change], *note, **QUIET)
        page.loaded.then(*note, **QUIET)
