"""The tab Cascade: 64 → 256 → 1024, what each super-resolution stage really receives, and sweeps of aug_level."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.models.cascade import Cascade
from imagen_core.run.experiments import (
    MOST_LEVELS,
    SUGGESTED_LEVELS,
    LevelFacts,
    SweptLevel,
    level_facts,
    levels_in,
    make_sweep,
    picture_facts,
    sweep,
    vary_base,
)
from imagen_core.run.generate import check, generate
from imagen_core.settings import CHOICES, DEFAULT_SIZES, Request, StageConfig
from imagen_core.types import StageResult, StepRecord, UserError

from ..handlers import QUIET, STATUS_SECONDS, aug_slider, engine, files, refuse, stopped
from ..parts import grid, tiles, views
from ..serving import session
from ..serving.model import Model
from ..serving.pace import about
from ..serving.session import NOW, Build, Runs

LATER = DEFAULT_SIZES[1:]
CHOICE_NOW = ("Drawn anew from the settings on See it", NOW)
KEPT = "as kept"
SCORES = (
    "Consistency is the PSNR between the result, shrunk again, and the picture it was made from: higher keeps closer, "
    "to that picture's flaws as well. Sharpness is the root mean square difference of neighbouring pixels; grain "
    "raises it too, so look before you believe either."
)
# How far the best of a sweep must be ahead of the next to be named: less is not seen in the pictures.
LEAD_DB, LEAD = 1.0, 1.05


@dataclass(frozen=True, eq=False)
class Base:
    """A base picture [1, 3, 64, 64], to see and to go on from, and a request for the whole cascade that makes it."""

    request: Request
    image: Any = None
    onward: Any = None

    def up_to(self, size: int) -> Request:
        """The request as far as the stage of ``size``."""
        return replace(self.request, stages=tuple(stage for stage in self.request.stages if stage.size <= size))


def base(
    model: Model, build_request: Build, runs: Runs, key: Any, rule: Any, augs: Sequence[Any],
    controls: tuple[Any, ...],
) -> Base:  # fmt: skip
    """The chosen base: with its picture if it is one of the session's, else still to be drawn."""
    now = build_request(*controls)
    later = tuple(replace(stage, aug_level=level) for stage, level in zip(now.stages[1:], augs))
    cascade = model.get()
    later = tuple(stage for stage in later if stage.size in cascade.sizes)
    if key != NOW:
        picture = session.picture(runs, key, None if rule == KEPT else rule)
        request = replace(picture.request, stages=(*picture.request.stages, *later))
        return Base(request, picture.image, picture.onward)
    first = replace(now, count=1, stages=now.stages[:1])
    if rule != KEPT:
        first = vary_base(first, {"threshold": rule})
    return Base(replace(first, stages=(*first.stages, *later)))


def with_picture(model: Model, start: Base) -> Generator[str, None, Base]:
    """A base with its picture, drawn if need be; yields what is being done."""
    if start.image is not None:
        return start
    made = yield from drawn(model, start.up_to(DEFAULT_SIZES[0]), what="The 64 × 64 picture")
    return replace(start, image=made.image, onward=made.unmarked)


def drawn(model: Model, request: Request, image: Any = None, *, what: str) -> Generator[str, None, Any]:
    """The last result of a request, begun at ``image`` where that is given; yields what is being done."""
    shown, result, steps = 0.0, None, {stage.name: stage.steps for stage in request.stages}
    for event in model.in_turn(generate(request, model.get(), image=image), request):
        if isinstance(event, StageResult):
            result = event
        elif time.monotonic() - shown > STATUS_SECONDS:
            shown = time.monotonic()
            yield f"{what}: step {event.index + 1} of {steps[event.stage]}"
    return result


def upscale(
    model: Model, build_request: Build, size: int, runs: Runs, key: Any, rule: Any, aug256: Any,
    aug1024: Any, *controls: Any,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Carry a base picture on to ``size``; yields (status, tiles, files, levels to pick from)."""
    try:
        if not model.ready:
            yield views.progress("Loading the model …"), *(gr.skip(),) * 3
        start = base(model, build_request, runs, key, rule, (aug256, aug1024), controls)
        request, cascade = start.up_to(size), model.get()
        check(request, cascade)
        for step in (steps := _Steps(with_picture(model, start))):
            yield views.progress(step), *_nothing()
        start = steps.result
        made = [tiles.tile(start.image[0], "64 × 64", grid.sentence(picture_facts(start.image)))]
        yield views.progress("The 64 × 64 picture is there"), _strip(made), *_nothing()[1:]
        small, shown = start.onward, 0.0
        configs = {stage.name: stage for stage in request.stages}
        for event in model.in_turn(generate(request, cascade, image=start.onward), request):
            config = configs[event.stage]
            if isinstance(event, StageResult):
                made += [
                    received(event.low_res, config, cascade),
                    result(event.image, level_facts(cascade.stage(config.size), config, event.image, small)),
                ]
                small, seen = event.unmarked, event.image
                done = f"{event.size} × {event.size} in {event.seconds:.1f} s"
                yield views.progress(done), _strip(made), *_nothing()[1:]
            elif time.monotonic() - shown > STATUS_SECONDS:
                shown = time.monotonic()
                step = f"SR {config.size}: step {event.index + 1} of {config.steps}"
                yield views.progress(step), gr.skip(), *_nothing()[1:]
        # Updates that come fast are merged by the browser, so the last one must be complete.
        done = f"{size} × {size} is ready, aug_level {configs[f'sr{size}'].aug_level:g}."
        yield views.message(done), _strip(made), _kept([(seen, request)], cascade.digest), _nothing()[2]
    except UserError as error:
        raise refuse(error) from None


def _nothing() -> tuple[Any, ...]:
    """(tiles, files, levels) while there are none yet: what was drawn before would not be this run's."""
    return "", gr.File(visible=False), gr.Radio(visible=False)


def _strip(made: list[str]) -> str:
    return tiles.row(made, 5 if len(made) > 3 else 3)


def received(low_res: Any, config: StageConfig, cascade: Cascade) -> str:
    """The tile of what a super-resolution stage is conditioned on."""
    return tiles.tile(low_res[0], f"What SR {config.size} receives", views.level_facts(config, cascade), noisy=True)


def result(image: Any, facts: LevelFacts, badges: Sequence[str] = ()) -> str:
    """The tile of a super-resolution stage's result [b, 3, h, w]."""
    title = f"{image.shape[-1]} × {image.shape[-1]}, aug_level {facts.aug_level:g}"
    line = f"consistency {facts.consistency:.1f} dB · sharpness {facts.sharpness:.4f}"
    return tiles.tile(image[0], title, line, badges=badges)


def swept(
    model: Model, build_request: Build, size: Any, levels: Any, runs: Runs, key: Any, rule: Any,
    aug256: Any, aug1024: Any, *controls: Any,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """One stage at several aug_levels from the same noise; yields (status, tiles, files, levels to pick from)."""
    try:
        if size not in LATER:
            raise UserError(f"size: must be one of {', '.join(map(str, LATER))}, got {size!r:.60}")
        wanted = levels_in(levels)
        if not model.ready:
            yield views.progress("Loading the model …"), *(gr.skip(),) * 3
        start = base(model, build_request, runs, key, rule, (aug256, aug1024), controls)
        request, cascade = start.up_to(size), model.get()
        plan = make_sweep(request, wanted)
        swept_levels: list[SweptLevel] = []
        shown, configs = 0.0, {stage.name: stage for stage in request.stages}
        for event in sweep(plan, cascade, model.in_turn, image=start.onward):
            if isinstance(event, SweptLevel):
                swept_levels.append(event)
                continue
            row = event if isinstance(event, tuple) else (event,)
            if isinstance(row[0], StepRecord) and time.monotonic() - shown > STATUS_SECONDS:
                shown = time.monotonic()
                config = configs[row[0].stage]
                below = f"The {config.size} × {config.size} picture: step"
                what = f"{views.counted(len(row), 'level')} in step:" if row is event else below
                yield views.progress(f"{what} {row[0].index + 1} of {config.steps}"), *_nothing()
        best = badges([level.facts for level in swept_levels])
        pictures = [result(level.result.image, level.facts, b) for level, b in zip(swept_levels, best)]
        inputs = [received(level.result.low_res, level.request.stages[-1], cascade) for level in swept_levels]
        columns = len(wanted) if len(wanted) <= 4 else 3
        kept = _kept([(level.result.image, level.request) for level in swept_levels], cascade.digest)
        choices = [(" · ".join([f"{level:g}", *badge]), f"{size}:{level}") for level, badge in zip(wanted, best)]
        yield (
            views.message(f"{views.counted(len(wanted), 'level')} from the same noise. {SCORES}"),
            tiles.row(pictures, columns) + tiles.row(inputs, columns),
            kept,
            gr.Radio(choices, label=f"Take a level for SR {size}", visible=True, value=None),
        )
    except UserError as error:
        raise refuse(error) from None


def _kept(made: Sequence[tuple[Any, Request]], weights: str) -> Any:
    """Pictures as PNG files, named by their size, seed and aug_level."""
    paths = []
    for image, request in made:
        path = Path(files(image, request, weights)[0][0])
        level = f"{request.stages[-1].aug_level:g}"
        paths.append(str(path.rename(path.with_stem(f"{path.stem}-aug{level}"))))
    return gr.File(paths, visible=True)


def badges(scores: Sequence[LevelFacts]) -> list[list[str]]:
    """For each level of a sweep, what it is plainly best at."""

    def plain(score: LevelFacts, others: Sequence[LevelFacts]) -> list[str]:
        closest = all(score.consistency >= other.consistency + LEAD_DB for other in others)
        sharpest = all(score.sharpness >= LEAD * other.sharpness for other in others)
        return ["closest to its input"] * closest + ["sharpest"] * sharpest

    others = [[*scores[:i], *scores[i + 1 :]] for i in range(len(scores))]
    return [plain(score, rest) if rest else [] for score, rest in zip(scores, others)]


def take(picked: Any) -> tuple[Any, ...]:
    """A level picked from a sweep, put on its stage's slider here and on See it: updates of SR 256, SR 1024, twice."""
    size, colon, text = str(picked).partition(":")
    try:
        level = levels_in(text)[0] if colon and size in map(str, LATER) else None
    except UserError:
        level = None
    updates = [gr.Slider(value=level) if level is not None and size == str(s) else gr.skip() for s in LATER]
    return (*updates, *updates)


def estimate(model: Model, build_request: Build, size: Any, levels: Any, *controls: Any) -> str:
    """How long upscaling and the sweep will take."""
    try:
        now = build_request(*controls)
        wanted = levels_in(levels)
    except UserError as error:
        return views.note(str(error), wrong=True)
    whole = replace(now, count=1)
    cuts = {s: replace(whole, stages=tuple(c for c in whole.stages if c.size <= s)) for s in DEFAULT_SIZES}
    up = [f"to {s}: {about(model.pace.seconds([cuts[s]], above=DEFAULT_SIZES[0]))}" for s in LATER]
    before = max(s for s in DEFAULT_SIZES if s < size) if size in LATER else DEFAULT_SIZES[0]
    each = model.pace.seconds([cuts[size]] * len(wanted), above=before) if size in LATER else None
    return views.note(
        f"Upscaling {', '.join(up)}. Sweep of {views.counted(len(wanted), 'level')} at {size}: {about(each)}."
    )


class _Steps:
    """Iterates over a generator and keeps what it returns."""

    def __init__(self, generator: Generator[str, None, Any]) -> None:
        self._generator = generator
        self.result: Any = None

    def __iter__(self) -> Iterator[str]:
        self.result = yield from self._generator


def build(
    model: Model, build_request: Build, controls: list[Any], runs: gr.State, twins: list[gr.Slider]
) -> tuple[Any, ...]:
    """Lay the tab out and wire it, its sliders kept in step with their ``twins`` on See it.

    Returns the picture list, the sliders with their notes, and the event's parts that keep the estimate right.
    """
    gr.HTML(
        '<p class="lab-lead">Each super-resolution stage is given the picture before it, enlarged and <b>noised on '
        "purpose</b>: trained so, it forgives that picture's flaws. Too little noise keeps them, too much loses the "
        "scene.</p>"
    )
    with gr.Row(equal_height=True):
        key = gr.Dropdown([CHOICE_NOW], value=NOW, label="Base picture", interactive=True, scale=4, min_width=260,
                          elem_id="cascade-base")  # fmt: skip
        rule = gr.Dropdown([KEPT, *CHOICES["threshold"]], value=KEPT, label="Under the rule", interactive=True, scale=1,
                           min_width=150, elem_id="cascade-rule")  # fmt: skip
    with gr.Row():
        augs, notes = [], []
        for size in LATER:
            with gr.Column(min_width=260):
                augs.append(aug_slider(size, elem_id=f"cascade-aug-{size}"))
                notes.append(gr.HTML(views.aug_note(model, size, augs[-1].value)))
    with gr.Row():
        ups = [
            gr.Button(f"Upscale to {size}", variant="primary", elem_id=f"cascade-up-{size}", scale=2) for size in LATER
        ]
        stop = gr.Button("Stop", variant="stop", elem_id="cascade-stop", scale=1, min_width=80)
    with gr.Row():
        at = gr.Radio(list(LATER), value=LATER[0], label="Sweep the stage", interactive=True, scale=1, min_width=180,
                      elem_id="sweep-size")  # fmt: skip
        levels = gr.Textbox(SUGGESTED_LEVELS, label="aug_levels", info=f"up to {MOST_LEVELS}, each from 0 to 1",
                            interactive=True, scale=3, min_width=180, max_length=100,
                            elem_id="sweep-levels")  # fmt: skip
        go = gr.Button("Sweep from the same noise", elem_id="sweep-go", scale=2, min_width=180, elem_classes="lab-end")
    cost = gr.HTML(elem_id="cascade-cost", elem_classes="lab-queue")
    status = gr.HTML(elem_id="cascade-status")
    pick = gr.Radio([], label="Take a level", visible=False, interactive=True, elem_id="sweep-pick")
    shown = tiles.component(elem_id="cascade-tiles")
    kept = gr.File(label="Pictures to keep (PNG, every setting inside)", file_count="multiple", interactive=False,
                   visible=False, elem_id="cascade-files")  # fmt: skip

    inputs = [runs, key, rule, *augs, *controls]
    working: list[Any] = [
        button.click(partial(upscale, model, build_request, size), inputs, [status, shown, kept, pick], **engine(cost))
        for button, size in zip(ups, LATER)
    ]
    working.append(
        go.click(
            partial(swept, model, build_request), [at, levels, *inputs], [status, shown, kept, pick], **engine(cost)
        )
    )
    # Said afterwards, because the last step's own line may still be on its way.
    stop.click(None, None, None, cancels=working, **QUIET).then(stopped, status, status, **QUIET)
    pick.input(take, pick, [*augs, *twins], **QUIET)
    for size, aug, note in zip(LATER, augs, notes):
        gr.on(None, partial(views.aug_note, model, size), aug, note, **QUIET)
    for aug, twin in zip(augs, twins):
        aug.input(None, aug, twin, js="x => x", **QUIET)
        twin.input(None, twin, aug, js="x => x", **QUIET)
    cheap = (partial(estimate, model, build_request), [at, levels, *controls], cost)
    gr.on([at.change, levels.change], *cheap, **QUIET)
    return key, dict(zip(augs, notes)), cheap
