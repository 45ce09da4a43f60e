"""The tab See it: three rules from the same noise, live and then in the player, and upscaling the one that is kept."""

from __future__ import annotations

import inspect
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr

from imagen_core import settings
from imagen_core.records import recording
from imagen_core.records.frames import Frame
from imagen_core.records.shipped import SHIPPED
from imagen_core.run.experiments import compare
from imagen_core.run.generate import generate as cascade_generate
from imagen_core.settings import (
    CHOICES,
    CONVENTIONS,
    DEFAULT_SIZES,
    DEFAULTS,
    RANGES,
    RULES,
    SIDE_BY_SIDE,
    Request,
    StageConfig,
)
from imagen_core.settings.text import flat, of_absent_stages, read, rest, with_more, write
from imagen_core.types import StageResult, StepRecord, UserError

from .. import handlers
from ..handlers import FRAME_SECONDS, QUIET, aug_slider, engine, files, folder, refuse, slider, whole
from ..parts import builder, player, report, shipped, views
from ..serving import session
from ..serving.model import Model
from ..serving.pace import about

LATER = DEFAULT_SIZES[1:]
# Flat settings that have a control of their own beside "More settings".
SLIDERS = dict.fromkeys(("aug_level", *(f"sr{size}.aug_level" for size in LATER)), "its slider")
UPSCALING = views.note("Upscaling takes the last run's picture under the rule that is picked.")
UNFINISHED = views.note("Stopped before its end, a run has no picture to upscale. Press Generate for one.")
ADVANCED = {
    "sampler": ("Sampler", "one step from x̂₀ to the next level"),
    "spacing": ("Spacing", "where the steps lie"),
    "schedule": ("Noise schedule", "trained: as the model learnt it"),
    "guidance_rule": ("Guidance rule", "how cond and uncond are mixed"),
    "w_schedule": ("Schedule of w", "how w runs over time"),
}


@dataclass(eq=False)
class Run:
    """A visitor's latest base run: what was asked of each rule, its steps so far, and at the end its pictures."""

    request: Request
    weights: str
    model: str
    defaults: Mapping[int, StageConfig]
    requests: dict[str, Request]
    frames: dict[str, list[Frame]] | None = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    onward: dict[str, Any] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))
    stopped: bool = False
    delivered: bool = False

    @property
    def picked(self) -> str:
        """The rule whose picture is kept."""
        return self.request.stages[0].threshold

    def results(self) -> tuple[str, gr.DownloadButton]:
        """The steps so far: (player, the report's button)."""
        made = recording.make(self.requests, self.frames or {}, weights=self.weights)
        path = report.save(made, folder(), self.model, self.defaults)
        view = player.recorded(made, run_id=self.run_id, picked=self.picked)
        return view, gr.DownloadButton(value=str(path), interactive=True)

    def finished(self) -> tuple[Any, ...]:
        """The update with the whole run and its pictures."""
        view, take = self.results()
        return update(view, files(self.images[self.picked], self.request, self.weights), self, True, take, UPSCALING)


@dataclass(frozen=True)
class See:
    """The parts of the tab that other tabs talk to.

    ``controls`` of a run by the name that build_whole knows them by, in its order; ``run``, the latest run, and
    ``runs``, the events that make it; ``again``, a state that starts a run whenever it is given a new value;
    ``augs``, the sliders of aug_level from 256 on, with the line under each.
    """

    controls: dict[str, Any]
    run: gr.State
    runs: tuple[Any, ...]
    again: gr.State
    augs: dict[gr.Slider, gr.HTML]


def build_request(*controls: Any) -> Request:
    """The controls' values as a request for the base stage; raises UserError like every request."""
    whole = build_whole(*controls)
    return replace(whole, stages=whole.stages[:1])


def build_whole(
    prompt: str, w: Any, rule: str, percentile: Any, seed: Any, convention: str, count: Any, steps: Any,
    cap: Any = "", sampler: str = DEFAULTS[64].sampler, spacing: str = DEFAULTS[64].spacing,
    schedule: str = DEFAULTS[64].schedule, guidance_rule: str = DEFAULTS[64].guidance_rule,
    w_schedule: str = DEFAULTS[64].w_schedule, more: str = "",
) -> Request:  # fmt: skip
    """The controls' values as a request for all stages."""
    base = settings.request(
        prompt,
        seed=whole(seed),
        count=whole(count),
        convention=convention,
        guidance=w,
        threshold=rule,
        percentile=percentile,
        steps=whole(steps),
        sampler=sampler,
        spacing=spacing,
        schedule=schedule,
        guidance_rule=guidance_rule,
        w_schedule=w_schedule,
        # A rule without a cap leaves the knob alone.
        options={"cap": read("cap", cap)} if isinstance(cap, str) and cap.strip() and has_cap(rule) else {},
    )
    return with_more(base, more, elsewhere=SLIDERS)


def has_cap(rule: Any) -> bool:
    """Whether a threshold rule takes a cap on s."""
    return (
        isinstance(rule, str)
        and rule in RULES["threshold"]
        and "cap" in settings.hyper_parameters(RULES["threshold"][rule])
    )


# The slider of the weight under each convention: its name, and what its values mean.
WEIGHT = {
    "paper": ("Guidance weight w", "1 is off, 5 usual, 12 strong"),
    "ho": ("Guidance weight w − 1 (Ho)", "0 is off, 4 usual, 11 strong"),
}


def named(convention: Any) -> Any:
    """The weight's slider as the convention reads it."""
    label, info = WEIGHT.get(str(convention), WEIGHT["paper"])
    return gr.Slider(label=label, info=info)


# The flat names (settings/text.py) of controls that are called otherwise here.
FLAT = {"w": "guidance", "rule": "threshold"}


def controls_of(request: Request, names: list[str], more: Any = "") -> list[Any]:
    """The values that set the controls of ``names`` to a request: the inverse of build_whole, but for aug_level.

    What ``more``, as it stands on the page, says of stages that the request lacks stays as it is.
    """
    values = flat(request)
    shown = {FLAT.get(name, name) for name in names}
    levels = {f"{stage.name}.aug_level" for stage in request.stages}
    more = f"{rest(request, shown | levels)} {of_absent_stages(more, request)}".strip()
    own = {"convention": "paper", "cap": write(values.get("cap", "")), "more": more}
    return [own[name] if name in own else values[FLAT.get(name, name)] for name in names]


def requests_of(request: Request) -> dict[str, Request]:
    """The base run under the paper's rules, and under the chosen one where that is another."""
    return recording.under(request, tuple(dict.fromkeys((*SIDE_BY_SIDE, request.stages[0].threshold))))


def update(
    view: Any = None, gallery: Any = None, run: Run | None = None, up: bool | None = None, take: Any = None,
    line: str | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """What a run changes: (player, gallery, run, both upscale buttons, the report's button, the line under them)."""
    buttons = None if up is None else gr.Button(interactive=up)
    return tuple(gr.skip() if part is None else part for part in (view, gallery, run, buttons, buttons, take, line))


def generate(model: Model, *controls: Any) -> Iterator[tuple[Any, ...]]:
    """Run the base stage under the paper's rules, and the chosen one, in lockstep; yields updates."""
    try:
        request = build_request(*controls)
        if not model.ready:
            yield update(player.waiting("Loading the model …"))
        cascade = model.get()
        requests = requests_of(request)
        frames: dict[str, list[Frame]] = {rule: [] for rule in requests}
        run = Run(request, cascade.digest, model.name, cascade.defaults, requests, frames)
        rows = compare(list(requests.values()), cascade)
        began, shown, steps = time.monotonic(), 0.0, request.stages[0].steps
        for row in model.in_turn(rows, *requests.values()):
            for rule, event in zip(requests, row):
                if isinstance(event, StageResult):
                    run.images[rule], run.onward[rule] = event.image, event.unmarked
                else:
                    frames[rule].append(Frame.of(event))
            if run.stopped:
                return
            # Handed over with its first step, and filled as it goes on: this is what Stop finds. Until then the run
            # before is still there.
            if not shown:
                yield update(run=run, up=False, gallery=[], line=UPSCALING)
            now = time.monotonic()
            if isinstance(row[0], StepRecord) and now - shown > FRAME_SECONDS:
                shown, done = now, row[0].index + 1
                left = f"{about((now - began) / done * (steps - done))} left"
                yield update(player.live(requests, frames, note=left, run_id=run.run_id, picked=run.picked))
        # Updates that come fast are merged by the browser, so the last one must be complete.
        yield run.finished()
        # Said once the page has it: a Stop before that finds everything.
        run.delivered, run.frames = True, session.kept(frames)
    except UserError as error:
        raise refuse(error) from None


def stopped(run: Run | None) -> tuple[Any, ...]:
    """The update with what a stopped run has shown so far, or the whole of one that was at its end."""
    if run is None:
        # Stopped before the first step of the first run: the recorded one is there again.
        view, take = shipped.opening()
        return update(view, take=take)
    if run.delivered or run.stopped:
        return update()
    run.stopped = True
    if run.images:
        return run.finished()
    view, take = run.results()
    return update(view, take=take, line=UNFINISHED)


def upscale(
    model: Model, size: int, run: Run | None, aug256: Any, aug1024: Any, *controls: Any
) -> Iterator[tuple[Any, ...]]:
    """Carry the pictures of the rule that is now picked on to ``size``; yields (preview, gallery)."""
    try:
        if run is None or not run.images:
            raise UserError("upscale: press Generate first; there is no 64 × 64 picture yet")
        asked = build_whole(*controls)
        rule = asked.stages[0].threshold
        if rule not in run.images:
            raise UserError(f"threshold: the run had {', '.join(run.images)}; press Generate for {rule}")
        cascade = model.get()
        levels = dict(zip(LATER, (aug256, aug1024)))
        wanted = (stage for stage in asked.stages[1:] if stage.size <= size)
        later = tuple(replace(stage, aug_level=levels[stage.size]) for stage in wanted)
        request = replace(run.requests[rule], stages=(run.requests[rule].stages[0], *later))
        steps = {stage.name: stage.steps for stage in later}
        shown = 0.0
        for event in model.in_turn(cascade_generate(request, cascade, image=run.onward[rule]), request):
            if isinstance(event, StageResult):
                done = views.message(
                    f"{event.size} × {event.size} in {event.seconds:.1f} s", working=event.size != size
                )
                yield done, files(event.image, request, cascade.digest) if event.size == size else gr.skip()
            elif time.monotonic() - shown > 4 * FRAME_SECONDS:
                shown = time.monotonic()
                caption = f"{event.stage}: x̂₀ at step {event.index + 1} of {steps[event.stage]}"
                # A preview of a megapixel would take longer to send than to compute; latents are no picture.
                small = event.z.shape[-1] <= 256 and event.z.shape[1] == 3
                yield views.preview(event.out.x0_hat, caption) if small else views.progress(caption), gr.skip()
    except UserError as error:
        raise refuse(error) from None


def choose(names: list[str], index: Any, more: Any) -> list[Any]:
    """An example: its recorded run, and the controls set to what made it."""
    if type(index) is not int or not 0 <= index < len(shipped.RECORDED):
        raise refuse(UserError(f"example: must be a whole number between 0 and {len(shipped.RECORDED) - 1}"))
    name = shipped.RECORDED[index]
    return [*shipped.recorded(name), *controls_of(SHIPPED[name][1], names, more)]


def cost(model: Model, *controls: Any) -> str:
    """What Generate will do, and how long that takes."""
    try:
        request = build_request(*controls)
        requests = requests_of(request)
    except UserError as error:
        return views.note(str(error), wrong=True)
    stage = request.stages[0]
    seconds = model.pace.seconds(list(requests.values()))
    time_needed = "" if seconds is None else f", {about(seconds)}"
    plan = f"{len(requests)} rules × {stage.steps} steps, same noise{time_needed}"
    return views.note(". ".join([plan, *stage.warnings]))


def take_preset(name: str) -> tuple[Any, Any, Any]:
    """What others set: (rule, percentile, cap on s)."""
    if not name:
        return gr.skip(), gr.skip(), gr.skip()
    try:
        stage = settings.with_preset(DEFAULTS[64], name)
    except UserError as error:
        raise refuse(error) from None
    cap = stage.options.get("cap")
    return stage.threshold, stage.percentile, "" if cap is None else f"{cap:g}"


def roll() -> int:
    """A fresh seed."""
    return random.randrange(int(RANGES["seed"][1]) + 1)


def build(model: Model, demo: gr.Blocks) -> See:
    """Lay the tab out and wire it.

    The order here is the phone's, and everybody's when they tab through: ask, watch, turn knobs, go on. Where there is
    room, style.css puts the player to the left of all the rest.
    """
    opening = shipped.OPENING
    first = opening.stages[0]
    run, again = gr.State(None, time_to_live=3600), gr.State(0)
    with gr.Column(elem_id="see"):
        gr.HTML(player.WHY, elem_id="why", padding=False)
        with gr.Column(elem_id="ask", min_width=0):
            prompt = gr.Textbox(
                opening.prompt, label="Prompt", lines=1, max_lines=4, elem_id="prompt", max_length=settings.MAX_PROMPT
            )
            words = gr.HTML(elem_id="words", padding=False)
            price = gr.HTML(views.note(""), elem_id="price", elem_classes="lab-queue", padding=False)
        with gr.Row(elem_id="act"):
            go = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=140)
            stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)
        screen = player.component(elem_id="player")
        with gr.Column(elem_id="knobs", min_width=0):
            w = slider("guidance", first.guidance, *WEIGHT["paper"], step=0.25, elem_id="guidance")
            rule = gr.Radio(
                list(CHOICES["threshold"]), value=first.threshold, label="Threshold rule to keep",
                info="runs beside the paper's three; its picture is kept", elem_id="rule",
            )  # fmt: skip
            percentile = slider("percentile", first.percentile, "Percentile", "of |x̂₀|, sets dynamic's s", step=0.1,
                                elem_id="percentile")  # fmt: skip
            with gr.Row(equal_height=True):
                seed = gr.Number(opening.seed, label="Seed", step=1, elem_id="seed", scale=3, min_width=120)
                dice = gr.Button("New seed", elem_id="dice", scale=2, min_width=110)
            examples = gr.Dataset(
                components=[prompt], samples=[[request.prompt] for _, request in SHIPPED.values()],
                sample_labels=[f"{title}, w = {request.stages[0].guidance:g}" for title, request in
                               SHIPPED.values()],
                label="Recorded examples", type="index", elem_id="examples",
            )  # fmt: skip
        with gr.Column(elem_id="next", min_width=0):
            with gr.Row():
                ups = [gr.Button(f"Upscale to {size}", interactive=False, elem_id=f"upscale-{size}", min_width=120)
                       for size in LATER]  # fmt: skip
            preview = gr.HTML(UPSCALING, elem_id="preview",
                              padding=False)  # fmt: skip
            gallery = gr.Gallery(
                label="Pictures to keep (PNG, every setting inside)", format="png", columns=2, object_fit="contain",
                height="auto", interactive=False, elem_id="gallery", buttons=["download", "fullscreen"],
            )  # fmt: skip
            take = gr.DownloadButton("Save as HTML report", interactive=False, elem_id="report")
        with gr.Column(elem_id="more", min_width=0):
            if (world := model.world) is not None and world.picks:
                with gr.Accordion("Build a prompt", open=False):
                    builder.build(world, prompt)
            with gr.Accordion("Advanced", open=False):
                advanced, preset, augs, notes = _advanced(model)

    names = list(inspect.signature(build_whole).parameters)
    controls = dict(zip(names, [prompt, w, rule, percentile, seed, *advanced]))
    values = list(controls.values())
    changed = [screen, gallery, run, *ups, take, preview]
    running = gr.on([go.click, prompt.submit], partial(generate, model), values, changed, **engine(price))
    # A cell that is opened while a run is at work waits for it; a second press of Generate is the first one's.
    opened = again.change(partial(generate, model), values, changed, **{**engine(price), "trigger_mode": "multiple"})
    upscaling = [
        button.click(partial(upscale, model, size), [run, *augs, *values], [preview, gallery], **engine(preview))
        for button, size in zip(ups, LATER)
    ]
    stop.click(stopped, run, changed, cancels=[running, opened, *upscaling], **QUIET).then(
        handlers.stopped, preview, preview, **QUIET
    )
    examples.click(partial(choose, names), [examples, controls["more"]], [screen, take, *values], **QUIET)
    preset.input(take_preset, preset, [rule, percentile, controls["cap"]], **QUIET)
    dice.click(roll, None, seed, **QUIET)
    controls["convention"].change(named, controls["convention"], w, **QUIET)
    prompt.change(partial(views.words_note, model), prompt, words, trigger_mode="always_last", **QUIET)
    for size, level, note in zip(LATER, augs, notes):
        gr.on(None, partial(views.aug_note, model, size), level, note, **QUIET)
    priced = [control.change for name, control in controls.items() if name not in ("prompt", "seed")]
    gr.on(priced, partial(cost, model), values, price, trigger_mode="always_last", **QUIET)
    for event in (running, opened):
        event.then(partial(cost, model), values, price, **QUIET)
    demo.load(shipped.opening, None, [screen, take], **QUIET)
    demo.load(partial(cost, model), values, price, **QUIET)
    return See(controls, run, (running, opened), again, dict(zip(augs, notes)))


def _advanced(model: Model) -> tuple[list[Any], gr.Dropdown, list[gr.Slider], list[gr.HTML]]:
    """What few visitors need: (controls from convention to more in build_whole's order, presets, aug_levels, notes)."""
    base = DEFAULTS[64]
    with gr.Row():
        steps = slider("steps", base.steps, "Steps", "of the 64 × 64 stage", step=1, elem_id="steps")
        count = slider("count", 1, "Pictures", "from seed, seed + 1, …", step=1)
    convention = gr.Radio(list(CONVENTIONS), value="paper", label="Guidance convention",
                          info="paper: w = 1 is off; ho: (1 + w), so 0 is off")  # fmt: skip
    cap = gr.Textbox("", label="Cap on s", info="of the rule to keep, if dynamic or channelwise; empty is none",
                     interactive=True, max_length=12, elem_id="cap")  # fmt: skip
    preset = gr.Dropdown(
        [("—", ""), *((name, name) for name in settings.PRESETS)], value="", label="Threshold as others set it",
        info="sets rule, percentile and cap", interactive=True, elem_id="preset",
    )  # fmt: skip
    choices = [
        gr.Dropdown(list(CHOICES[name]), value=getattr(base, name), label=label, info=info, interactive=True)
        for name, (label, info) in ADVANCED.items()
    ]
    augs, notes = zip(*(_aug_controls(model, size) for size in LATER))
    more = gr.Textbox("", label="More settings", info="any others, as in a link: gamma=0.3 sr256.steps=20",
                      interactive=True, max_length=2000, elem_id="more")  # fmt: skip
    return [convention, count, steps, cap, *choices, more], preset, list(augs), list(notes)


def _aug_controls(model: Model, size: int) -> tuple[gr.Slider, gr.HTML]:
    with gr.Column(min_width=200):
        control = aug_slider(size, elem_id=f"aug-{size}")
        return control, gr.HTML(views.aug_note(model, size, control.value))
