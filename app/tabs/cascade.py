"""The tab Cascade: 64 → 256 → 1024, what each super-resolution stage really receives, and sweeps of aug_level."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.diffusion.saturation import consistency, sharpness
from imagen_core.models.cascade import Cascade
from imagen_core.run.generate import at_levels, check, generate, sweep
from imagen_core.settings import CHOICES, DEFAULT_SIZES, DEFAULTS, Request, StageConfig
from imagen_core.types import StageResult, UserError

from ..handlers import QUIET, STATUS_SECONDS, aug_slider, engine, files, refuse, stopped
from ..parts import grid, tiles, views
from ..serving import session
from ..serving.model import Model
from ..serving.pace import about
from ..serving.session import NOW, Build, Runs

LATER = DEFAULT_SIZES[1:]
# More would not fit beside each other, and at 1024 × 1024 each is a picture of 2 MB.
MOST_LEVELS = 6
LEVELS = "0, 0.1, 0.2, 0.3"
CHOICE_NOW = ("Drawn anew from the settings on See it", NOW)
KEPT = "as kept"
SCORES = (
    "Consistency is the PSNR between the result, shrunk again, and the picture it was made from: higher keeps closer, "
    "to that picture's flaws as well. Sharpness is the root mean square difference of neighbouring pixels; grain "
    "raises it too, so look before you believe either."
)
# How far the best of a sweep must be ahead of the next to be named: less is not seen in the pictures.
LEAD_DB, LEAD = 1.0, 1.05


@dataclass(frozen=True)
class Scores:
    """How well an upscaled picture keeps to its input (PSNR in dB), and how sharp it is (saturation.py)."""

    consistency: float
    sharpness: float


def scores_of(image: Any, small: Any) -> Scores:
    """The scores of the first picture of ``image`` [b, 3, h, w], made from the clean ``small`` [b, 3, s, s]."""
    return Scores(float(consistency(image, small)[0]), float(sharpness(image)[0]))


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
        first = grid.vary(first, {"threshold": rule})
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
        made = [tiles.tile(start.image[0], "64 × 64", grid.sentence(grid.facts(start.image)))]
        yield views.progress("The 64 × 64 picture is there"), _strip(made), *_nothing()[1:]
        small, shown = start.onward, 0.0
        configs = {stage.name: stage for stage in request.stages}
        for event in model.in_turn(generate(request, cascade, image=start.onward), request):
            config = configs[event.stage]
            if isinstance(event, StageResult):
                made += [
                    received(event.low_res, config, cascade),
                    result(event.image, scores_of(event.image, small), config),
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


def result(image: Any, scores: Scores, config: StageConfig, badges: Sequence[str] = ()) -> str:
    """The tile of a super-resolution stage's result."""
    title = f"{config.size} × {config.size}, aug_level {config.aug_level:g}"
    facts = f"consistency {scores.consistency:.1f} dB · sharpness {scores.sharpness:.4f}"
    return tiles.tile(image[0], title, facts, badges=badges)


def levels_in(text: Any) -> list[float]:
    """The levels of a sweep from comma-separated text.

    Raises:
        UserError: none, too many, one twice, or one out of range.
    """
    levels = grid.values("aug_level", text)
    if len(levels) > MOST_LEVELS:
        raise UserError(f"aug_levels: at most {MOST_LEVELS}, got {len(levels)}")
    for level in levels:
        replace(DEFAULTS[LATER[0]], aug_level=level)
    return levels


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
        variants = at_levels(request, cascade, wanted)
        for step in (steps := _Steps(with_picture(model, start))):
            yield views.progress(step), *_nothing()
        start = steps.result
        small = start.onward
        below = start.up_to(request.stages[-2].size)
        if len(below.stages) > 1:
            for step in (steps := _Steps(drawn(model, below, small, what="The 256 × 256 picture before it"))):
                yield views.progress(step), *_nothing()
            small = steps.result.unmarked
        shown, planned = 0.0, request.stages[-1].steps
        for row in model.in_turn(sweep(request, cascade, wanted, image=small), *variants):
            if isinstance(row[0], StageResult):
                results = [event for event in row if isinstance(event, StageResult)]
            elif time.monotonic() - shown > STATUS_SECONDS:
                shown = time.monotonic()
                note = f"{views.counted(len(wanted), 'level')} in step: {row[0].index + 1} of {planned}"
                yield views.progress(note), *_nothing()
        scores = [scores_of(event.image, small) for event in results]
        best = badges(scores)
        configs = [variant.stages[-1] for variant in variants]
        pictures = [result(e.image, s, c, b) for e, s, c, b in zip(results, scores, configs, best)]
        inputs = [received(event.low_res, config, cascade) for event, config in zip(results, configs)]
        columns = len(wanted) if len(wanted) <= 4 else 3
        kept = _kept([(event.image, variant) for event, variant in zip(results, variants)], cascade.digest)
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


def badges(scores: Sequence[Scores]) -> list[list[str]]:
    """For each level of a sweep, what it is plainly best at."""

    def plain(score: Scores, others: Sequence[Scores]) -> list[str]:
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
        levels = gr.Textbox(LEVELS, label="aug_levels", info=f"up to {MOST_LEVELS}, each from 0 to 1", interactive=True,
                            scale=3, min_width=180, max_length=100, elem_id="sweep-levels")  # fmt: skip
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
