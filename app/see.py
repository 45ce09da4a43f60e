"""The tab See it: three rules from the same noise, live and then in the player, and upscaling the one that is kept."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr

from imagen_core import recording, settings
from imagen_core.cascade import StageResult, compare
from imagen_core.cascade import generate as cascade_generate
from imagen_core.recording import Frame
from imagen_core.settings import CHOICES, CONVENTIONS, DEFAULT_SIZES, DEFAULTS, RANGES, SIDE_BY_SIDE, Request
from imagen_core.tabletop import vocabulary
from imagen_core.tabletop.vocabulary import with_article
from imagen_core.types import StepRecord, UserError

from . import link, player, views
from .handlers import ENGINE, FRAME_SECONDS, QUIET, files, refuse, slider, whole
from .models import Model

EXAMPLES = (
    "a large red sphere to the left of a small blue cube on grass at sunset",
    "three small orange balls on a chessboard in daylight",
    "a big shiny purple sphere on marble at night",
    "a large yellow cone in front of a green cylinder on a wooden table at noon",
)
LATER = DEFAULT_SIZES[1:]
ADVANCED = {"sampler": "Sampler", "spacing": "Spacing", "guidance_rule": "Guidance rule"}


@dataclass(eq=False)
class Run:
    """A visitor's latest base run: what was asked of each rule, its steps so far, and at the end its pictures."""

    request: Request
    weights: str
    requests: dict[str, Request]
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)

    @property
    def recording(self) -> recording.Recording:
        return recording.make(self.requests, self.frames, weights=self.weights)


@dataclass(frozen=True)
class See:
    """The parts of the tab that other tabs talk to.

    ``controls`` of a run by the name that build_request knows them by, in its order; ``run``, the latest run, and
    ``running``, the event that made it; ``again``, a state that starts a run whenever it is given a new value.
    """

    controls: dict[str, Any]
    run: gr.State
    player: gr.HTML
    running: Any
    again: gr.State
    augs: dict[int, gr.Slider]


def build_request(*controls: Any) -> Request:
    """The controls' values as a request for the base stage; raises UserError like every request."""
    whole = build_whole(*controls)
    return replace(whole, stages=whole.stages[:1])


def build_whole(
    prompt: str, w: Any, rule: str, percentile: Any, seed: Any, convention: str, count: Any, steps: Any,
    sampler: str, spacing: str, guidance_rule: str, more: str = "",
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
        guidance_rule=guidance_rule,
    )
    return link.with_more(base, more)


# The flat names (link.py) of controls that are called otherwise here.
FLAT = {"w": "guidance", "rule": "threshold"}


def controls_of(request: Request, names: list[str]) -> list[Any]:
    """The values that set the controls of ``names`` to a request: the inverse of build_whole, but for aug_level."""
    values = link.flat(request)
    shown = {FLAT.get(name, name) for name in names}
    levels = {f"{stage.name}.aug_level" for stage in request.stages}
    own = {"convention": "paper", "more": link.rest(request, shown | levels)}
    return [own[name] if name in own else values[FLAT.get(name, name)] for name in names]


def generate(model: Model, *controls: Any) -> Iterator[tuple[Any, ...]]:
    """Run the base stage under the paper's rules, and the chosen one, in lockstep.

    Yields (player, gallery, run, both upscale buttons).
    """

    def update(view: Any = None, gallery: Any = None, run: Run | None = None) -> tuple[Any, ...]:
        buttons = gr.Button(interactive=True) if run and run.images else gr.skip()
        return (view or gr.skip(), gallery or gr.skip(), run or gr.skip(), buttons, buttons)

    try:
        request = build_request(*controls)
        if not model.ready:
            yield update(player.waiting("Loading the model …"))
        cascade = model.get()
        chosen = request.stages[0].threshold
        rules = tuple(dict.fromkeys((*SIDE_BY_SIDE, chosen)))
        requests = recording.under(request, rules)
        run = Run(request, cascade.digest, requests, {rule: [] for rule in rules})
        yield update(run=run)
        shown = 0.0
        for row in model.in_turn(compare(list(requests.values()), cascade)):
            for rule, event in zip(rules, row):
                if isinstance(event, StageResult):
                    run.images[rule] = event.image
                else:
                    run.frames[rule].append(recording.frame(event))
            if isinstance(row[0], StepRecord) and time.monotonic() - shown > FRAME_SECONDS:
                shown = time.monotonic()
                yield update(player.live(requests, run.frames))
        pictures = files(run.images[chosen], request, cascade.digest)
        # Updates that come fast are merged by the browser, so the last one must be complete.
        yield update(player.recorded(run.recording), pictures, run)
    except UserError as error:
        raise refuse(error) from None


def stopped(run: Run | None) -> Any:
    """What a stopped run has shown so far, for the player."""
    if run is None or run.images or not all(run.frames.values()):
        return gr.skip()
    return player.recorded(run.recording)


def upscale(
    model: Model, size: int, run: Run | None, rule: str, aug256: Any, aug1024: Any
) -> Iterator[tuple[Any, ...]]:
    """Carry the picked rule's pictures on to ``size``; yields (preview, gallery)."""
    try:
        if run is None or not run.images:
            raise UserError("upscale: press Generate first; there is no 64 × 64 picture yet")
        if rule not in run.images:
            raise UserError(f"threshold: the run had {', '.join(run.images)}; press Generate for {rule!r:.60}")
        cascade = model.get()
        levels = zip(LATER, (aug256, aug1024))
        later = tuple(replace(DEFAULTS[s], aug_level=level) for s, level in levels if s <= size)
        base = replace(run.request.stages[0], threshold=rule)
        request = replace(run.request, stages=(base, *later))
        steps = {stage.size: stage.steps for stage in later}
        shown = 0.0
        for event in model.in_turn(cascade_generate(request, cascade, image=run.images[rule])):
            if isinstance(event, StageResult):
                done = views.message(f"{event.size} × {event.size} in {event.seconds:.1f} s")
                yield done, files(event.image, request, cascade.digest) if event.size == size else gr.skip()
            elif time.monotonic() - shown > 4 * FRAME_SECONDS:
                shown = time.monotonic()
                side = event.z.shape[-1]
                caption = f"{event.stage}: x̂0 at step {event.index + 1} of {steps[side]}"
                # A preview of a megapixel would take longer to send than to compute.
                small = side <= 256
                yield views.preview(event.out.x0_hat, caption) if small else views.message(caption), gr.skip()
    except UserError as error:
        raise refuse(error) from None


def opening() -> str:
    """The recorded run that the page opens with."""
    name = next(iter(recording.SHIPPED))
    try:
        return player.recorded(recording.load(recording.FOLDER / f"{name}.npz"))
    except UserError:
        return player.waiting("Press Generate: three runs from the same noise, under three rules.")


def roll() -> int:
    """A fresh seed."""
    return random.randrange(int(RANGES["seed"][1]) + 1)


def compose(size: str, material: str, colour: str, shape: str, relation: str, colour2: str, shape2: str, floor: str,
            light: str) -> str:  # fmt: skip
    """A prompt from the builder's pick-lists; an empty second shape leaves it out."""
    parts = [with_article(" ".join(word for word in (size, material, colour, shape) if word))]
    if shape2:
        parts += [relation, with_article(" ".join(word for word in (colour2, shape2) if word))]
    return " ".join([*parts, *(phrase for phrase in (floor, light) if phrase)])


def aug_note(size: int, level: Any) -> str:
    """What an aug_level really does: the noise's σ and the signal-to-noise ratio."""
    try:
        stage = replace(DEFAULTS[size], aug_level=level)
    except UserError:
        return ""
    ratio = "∞ (untouched)" if stage.aug_snr == float("inf") else f"{stage.aug_snr:.3g}"
    return f"σ = {stage.aug_sigma:.3f}, SNR = {ratio}"


def build(model: Model, demo: gr.Blocks) -> See:
    """Lay the tab out and wire it."""
    base = DEFAULTS[64]
    run, again = gr.State(None, time_to_live=3600), gr.State(0)
    with gr.Row():
        with gr.Column(scale=4, min_width=320):
            prompt = gr.Textbox(
                EXAMPLES[0], label="Prompt", lines=2, max_lines=4, elem_id="prompt", max_length=settings.MAX_PROMPT
            )
            words = gr.HTML(elem_id="words", padding=False)
            gr.Examples([[example] for example in EXAMPLES], [prompt], label="Examples")
            w = slider(
                "guidance", base.guidance, "Guidance weight w", "w = 1 is off; try 10", step=0.25, elem_id="guidance"
            )
            rule = gr.Radio(
                list(CHOICES["threshold"]),
                value=base.threshold,
                label="Threshold rule to keep",
                info="shown beside the paper's three; this one is upscaled",
                elem_id="rule",
            )
            percentile = slider("percentile", base.percentile, "Percentile", "of |x̂0|, sets dynamic's s", step=0.1)
            with gr.Row():
                seed = gr.Number(1, label="Seed", precision=0, elem_id="seed", scale=3, min_width=120)
                dice = gr.Button("New seed", elem_id="dice", scale=2, min_width=110)
            with gr.Row():
                go = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
                stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)
            with gr.Accordion("Build a prompt", open=False):
                lists = _pick_lists()
            with gr.Accordion("Advanced", open=False):
                count = slider("count", 1, "Pictures", "from seed, seed + 1, …", step=1)
                steps = slider("steps", base.steps, "Steps", "network evaluations of the 64 × 64 stage", step=1)
                choices = [
                    gr.Dropdown(list(CHOICES[name]), value=getattr(base, name), label=label, interactive=True)
                    for name, label in ADVANCED.items()
                ]
                convention = gr.Radio(list(CONVENTIONS), value="paper", label="Guidance convention",
                                      info="paper: w = 1 is off; ho: (1 + w), so 0 is off")  # fmt: skip
                more = gr.Textbox("", label="More settings", info="any others, as in a link: gamma=0.3 sr256.steps=20",
                                  interactive=True, max_length=2000, elem_id="more")  # fmt: skip
        with gr.Column(scale=9, min_width=340):
            screen = player.component(elem_id="player")
            with gr.Row():
                augs, notes = zip(*(_aug_controls(size) for size in LATER))
            with gr.Row():
                ups = [gr.Button(f"Upscale to {size}", interactive=False, elem_id=f"upscale-{size}") for size in LATER]
            preview = gr.HTML(elem_id="preview")
            gallery = gr.Gallery(
                label="Pictures to keep (PNG, every setting inside)", format="png", columns=2, object_fit="contain",
                height="auto", interactive=False, elem_id="gallery", buttons=["download", "fullscreen"],
            )  # fmt: skip

    names = list(inspect.signature(build_whole).parameters)
    controls = dict(zip(names, [prompt, w, rule, percentile, seed, convention, count, steps, *choices, more]))
    outputs = [screen, gallery, run, *ups]
    running = gr.on(
        [go.click, prompt.submit, again.change], partial(generate, model), list(controls.values()), outputs, **ENGINE
    )
    upscaling = [
        button.click(partial(upscale, model, size), [run, rule, *augs], [preview, gallery], **ENGINE)
        for button, size in zip(ups, LATER)
    ]
    stop.click(stopped, run, screen, cancels=[running, *upscaling], **QUIET)
    dice.click(roll, None, seed, **QUIET)
    prompt.change(views.words_note, prompt, words, trigger_mode="always_last", **QUIET)
    gr.on([item.input for item in lists], compose, lists, prompt, **QUIET)
    for size, level, note in zip(LATER, augs, notes):
        level.change(partial(_aug_html, size), level, note, **QUIET)
    demo.load(opening, None, screen, **QUIET)
    return See(controls, run, screen, running, again, dict(zip(LATER, augs)))


def _aug_controls(size: int) -> tuple[gr.Slider, gr.HTML]:
    with gr.Column(min_width=200):
        level = DEFAULTS[size].aug_level or 0.0
        label, info = f"aug_level of SR {size}", "noise on its input; best 0.1 to 0.3"
        control = slider("aug_level", level, label, info, step=0.01, elem_id=f"aug-{size}")
        return control, gr.HTML(_aug_html(size, level))


def _aug_html(size: int, level: float) -> str:
    return f'<p class="lab-aug">{aug_note(size, level)}</p>'


def _pick_lists() -> list[gr.Dropdown]:
    """The builder: first words of every concept, with "nothing" where a part may be left out."""

    def pick(label: str, concepts: vocabulary.Concepts, value: str, *, optional: bool = True) -> gr.Dropdown:
        phrases = [phrases[0] for phrases in concepts.values()]
        choices = [("—", "")] * optional + [(phrase, phrase) for phrase in phrases]
        return gr.Dropdown(choices, value=value, label=label, interactive=True, min_width=110)

    v = vocabulary
    with gr.Row():
        first = [
            pick("Size", v.SIZES, "large"),
            pick("Material", v.MATERIALS, ""),
            pick("Colour", v.COLOURS, "red"),
            pick("Shape", v.SHAPES, "sphere", optional=False),
        ]
    with gr.Row():
        second = [
            pick("Relation", v.RELATIONS, "to the left of", optional=False),
            pick("Colour of the second", v.COLOURS, "blue"),
            pick("Second shape", v.SHAPES, ""),
        ]
    with gr.Row():
        place = [pick("Floor", v.FLOORS, "on grass"), pick("Light", v.LIGHTS, "at sunset")]
    return [*first, *second, *place]
