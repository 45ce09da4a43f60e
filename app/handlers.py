"""Handlers: build a request, drain the engine's generator, return views. The engine decides everything else."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core import png, settings
from imagen_core.cascade import StageResult, compare
from imagen_core.cascade import generate as cascade_generate
from imagen_core.settings import DEFAULT_SIZES, DEFAULTS, RANGES, SIDE_BY_SIDE, Request
from imagen_core.tabletop import vocabulary
from imagen_core.tabletop.vocabulary import with_article
from imagen_core.types import StepRecord, UserError

from . import views
from .models import Model

# A frame costs the browser 50 to 60 ms, so more than eight a second would only queue up.
FRAME_SECONDS = 0.125
# Pictures wait here until the page has copied them; gone when the server ends, and an hour after they were made.
PICTURES = tempfile.TemporaryDirectory(prefix="imagen-lab-")
KEEP_SECONDS = 3600


@dataclass(frozen=True, eq=False)
class Finished:
    """A visitor's last base run: the request, and each rule's pictures [b, 3, 64, 64]."""

    request: Request
    images: dict[str, Any]


def refuse(error: UserError) -> gr.Error:
    """A user's mistake as a message on the page: one line, no traceback."""
    return gr.Error(str(error), print_exception=False, title="Please change this")


def build_request(
    prompt: str, w: Any, rule: str, percentile: Any, seed: Any, convention: str, count: Any, steps: Any,
    sampler: str, spacing: str, guidance_rule: str,
) -> Request:  # fmt: skip
    """The controls' values as a request for the base stage; raises UserError like every request."""
    return settings.request(
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


def whole(value: Any) -> Any:
    """The browser sends 7 as 7.0; anything else is left for the request to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def generate(model: Model, *controls: Any) -> Iterator[tuple[Any, ...]]:
    """Run the base stage under the paper's rules, and the chosen one, in lockstep.

    Yields (viewer, gallery, finished, both upscale buttons).
    """

    def update(viewer: Any = None, gallery: Any = None, finished: Finished | None = None) -> tuple[Any, ...]:
        # A stopped run leaves the last finished one, which can still be upscaled.
        buttons = gr.Button(interactive=True) if finished else gr.skip()
        return (viewer or gr.skip(), gallery or gr.skip(), finished or gr.skip(), buttons, buttons)

    try:
        request = build_request(*controls)
        if not model.ready:
            yield update(views.message("Loading the model …"))
        cascade = model.get()
        chosen, steps = request.stages[0].threshold, request.stages[0].steps
        rules = tuple(dict.fromkeys((*SIDE_BY_SIDE, chosen)))
        requests = [settings.with_stage(request, 64, threshold=rule) for rule in rules]
        history: dict[str, list[views.Moment]] = {rule: [] for rule in rules}
        images: dict[str, Any] = {}
        onward: dict[str, Any] = {}
        shown, viewer = 0.0, ""
        for row in model.in_turn(compare(requests, cascade)):
            records: dict[str, StepRecord] = {}
            for rule, event in zip(rules, row):
                if isinstance(event, StageResult):
                    images[rule], onward[rule] = event.image, event.unmarked
                else:
                    records[rule] = event
                    history[rule].append(views.moment(event))
            last = len(history[chosen]) == steps
            if records and (last or time.monotonic() - shown > FRAME_SECONDS):
                shown = time.monotonic()
                viewer = views.stage_view(records, history, steps, chosen)
                yield update(viewer)
        pictures = files(images[chosen], request, cascade.digest)
        # Updates that come fast are merged by the browser, so the last one must be complete.
        yield update(viewer, pictures, finished=Finished(request, onward))
    except UserError as error:
        raise refuse(error) from None


def upscale(
    model: Model, size: int, finished: Finished | None, rule: str, aug256: Any, aug1024: Any
) -> Iterator[tuple[Any, ...]]:
    """Carry the picked rule's pictures on to ``size``; yields (preview, gallery)."""
    try:
        if finished is None:
            raise UserError("upscale: press Generate first; there is no 64 × 64 picture yet")
        if rule not in finished.images:
            raise UserError(f"threshold: the run had {', '.join(finished.images)}; press Generate for {rule!r:.60}")
        cascade = model.get()
        levels = zip(DEFAULT_SIZES[1:], (aug256, aug1024))
        later = tuple(replace({**DEFAULTS, **cascade.defaults}[s], aug_level=level) for s, level in levels if s <= size)
        base = replace(finished.request.stages[0], threshold=rule)
        request = replace(finished.request, stages=(base, *later))
        steps = {stage.name: stage.steps for stage in later}
        shown = 0.0
        for event in model.in_turn(cascade_generate(request, cascade, image=finished.images[rule])):
            if isinstance(event, StageResult):
                done = views.message(f"{event.size} × {event.size} in {event.seconds:.1f} s")
                yield done, files(event.image, request, cascade.digest) if event.size == size else gr.skip()
            elif time.monotonic() - shown > 4 * FRAME_SECONDS:
                shown = time.monotonic()
                side = event.z.shape[-1]
                caption = f"{event.stage}: x̂0 at step {event.index + 1} of {steps[event.stage]}"
                # A preview of a megapixel would take longer to send than to compute; latents are no picture.
                small = side <= 256 and event.z.shape[1] == 3
                yield views.preview(event.out.x0_hat, caption) if small else views.message(caption), gr.skip()
    except UserError as error:
        raise refuse(error) from None


def files(images: Any, request: Request, weights: str) -> list[tuple[str, str]]:
    """Pictures as PNG files with their settings inside, each with a caption, for a gallery."""
    for old in Path(PICTURES.name).iterdir():
        if time.time() - old.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=PICTURES.name))
    made = []
    for index, (seed, image) in enumerate(zip(request.seeds, images)):
        path = folder / f"imagen-{image.shape[-1]}-seed{seed}.png"
        png.save(image, path, request, weights=weights, index=str(index))
        made.append((str(path), f"seed {seed}, {image.shape[-1]} × {image.shape[-1]}"))
    return made


def sample(
    model: Model,
    prompt: str,
    seed: int,
    size: int,
    guidance: float,
    threshold: str,
    percentile: float,
    aug_level: float,
) -> Iterator[str]:
    """Draw one picture of ``prompt``; ends with a PNG that carries its settings.

    Until then yields an empty path after each step, so that a cancelled call stops there.
    """
    try:
        request = settings.request(
            prompt,
            size=size,
            seed=seed,
            guidance=guidance,
            threshold=threshold,
            percentile=percentile,
            aug_level=aug_level,
        )
        cascade = model.get()
        for event in model.in_turn(cascade_generate(request, cascade)):
            if isinstance(event, StageResult):
                image = event.image
            yield ""
    except UserError as error:
        raise refuse(error) from None
    yield files(image, request, cascade.digest)[0][0]


def describe(prompt: str) -> dict[str, Any]:
    """Which words of ``prompt`` the shipped model never saw in training, and the concepts that it knows."""
    if not isinstance(prompt, str):
        raise refuse(UserError("prompt: must be text"))
    concepts = ("SHAPES", "COLOURS", "SIZES", "MATERIALS", "FLOORS", "LIGHTS")
    known = {name.lower(): {k: list(v) for k, v in getattr(vocabulary, name).items()} for name in concepts}
    return {"unknown": list(vocabulary.unknown_words(prompt[: settings.MAX_PROMPT])), "known": known}


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
