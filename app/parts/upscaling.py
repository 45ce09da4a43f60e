"""A base picture on its way through the later stages: which one, what each stage receives, and how it turns out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.models.cascade import Cascade
from imagen_core.records import exhibits
from imagen_core.records.own import open_own, unlike
from imagen_core.records.shipped import EXHIBITS
from imagen_core.run.experiments import LevelFacts, picture_facts, vary_base
from imagen_core.run.generate import generate
from imagen_core.settings import Request, StageConfig
from imagen_core.types import StageResult, UserError

from ..handlers import STATUS_SECONDS, files
from ..serving import session
from ..serving.model import Model
from ..serving.session import NOW, Runs
from . import grid, tiles, views

# Leave the picture under the rule that its run was made with.
KEPT = "unchanged"
SCORES = (
    "Consistency compares the result, shrunk again, with its input (PSNR in dB): higher is closer, also to the input's "
    "flaws. Sharpness is the root mean square difference of neighbouring pixels. Grain raises it too, so look at the "
    "pictures as well."
)
# A sweep's best level gets a badge if it leads by this much; a smaller lead cannot be seen in the pictures.
LEAD_DB, LEAD = 1.0, 1.05
# How a caller shows a line of text while it waits for a picture.
Tell = Callable[[str], Any]


def badges(scores: Sequence[LevelFacts]) -> list[list[str]]:
    """The badges of each level of a sweep: what it is clearly best at."""

    def plain(score: LevelFacts, others: Sequence[LevelFacts]) -> list[str]:
        closest = all(score.consistency >= other.consistency + LEAD_DB for other in others)
        sharpest = all(score.sharpness >= LEAD * other.sharpness for other in others)
        return ["closest to its input"] * closest + ["sharpest"] * sharpest

    others = [[*scores[:i], *scores[i + 1 :]] for i in range(len(scores))]
    return [plain(score, rest) if rest else [] for score, rest in zip(scores, others)]


@dataclass(frozen=True, eq=False)
class Base:
    """A base picture [1, 3, s, s], to see and to go on from, and a request for the whole cascade that makes it.

    ``own`` is the fact of PNG files made from it: where the picture came from, if not from the request.
    """

    request: Request
    image: Any = None
    onward: Any = None
    own: Mapping[str, str] = field(default_factory=dict)

    def up_to(self, size: int) -> Request:
        """The request as far as the stage of ``size``."""
        return replace(self.request, stages=tuple(stage for stage in self.request.stages if stage.size <= size))


def own_base(now: Request, cascade: Cascade, path: Any) -> Base:
    """The base picture in a visitor's file, with the settings of ``now``, the controls' request.

    Raises:
        UserError: it cannot be read.
    """
    image = open_own(Path(path), now.stages[0].size).image
    stages = tuple(stage for stage in now.stages if stage.size in cascade.sizes)
    return Base(replace(now, count=1, stages=stages), image, image, {"origin": "image"})


def own_note(path: Any, model: Model) -> str:
    """What becomes of a visitor's file, and what to expect of it, or why it cannot be used."""
    if path is None:
        return ""
    try:
        done = open_own(Path(path), model.sizes[0]).done
    except UserError as error:
        return views.note(str(error), wrong=True)
    told = unlike(model.get()) if model.ready else ""
    used = f"{done}. This is enlarged, not the base picture above, until you remove it."
    return views.note(used) + (views.note(f"{told}.") if told else "")


def base(now: Request, cascade: Cascade, runs: Runs, key: Any, rule: Any) -> Base:
    """The base picture of ``key`` under ``rule``, with the later stages of ``now``, the controls' request.

    It has its picture if it is one of the session's; else the picture is still to be drawn.

    Raises:
        UserError: the session has no such picture, or not under this rule.
    """
    later = tuple(stage for stage in now.stages[1:] if stage.size in cascade.sizes)
    if key != NOW:
        picture = session.picture(runs, key, None if rule == KEPT else rule)
        request = replace(picture.request, stages=(*picture.request.stages, *later))
        return Base(request=request, image=picture.image, onward=picture.onward)
    first = replace(now, count=1, stages=now.stages[:1])
    if rule != KEPT:
        first = vary_base(first, {"threshold": rule})
    return Base(replace(first, stages=(*first.stages, *later)))


def with_picture(model: Model, start: Base, tell: Tell) -> Generator[Any, None, Base]:
    """A base with its picture, drawn if need be; yields what ``tell`` makes of each step."""
    if start.image is not None:
        return start
    last_update, request, drawn = 0.0, start.up_to(start.request.stages[0].size), start
    for event in model.in_turn(partial(generate, request), model.get(), request):
        if isinstance(event, StageResult):
            drawn = replace(start, image=event.image, onward=event.unmarked)
        elif time.monotonic() - last_update > STATUS_SECONDS:
            last_update = time.monotonic()
            size = request.stages[0].size
            yield tell(f"The {size} × {size} picture: step {event.index + 1} of {request.stages[0].steps}")
    return drawn


def shape(image: Any) -> str:
    """The size of a square picture [b, 3, s, s] in words."""
    return f"{image.shape[-1]} × {image.shape[-1]}"


def base_tile(image: Any) -> str:
    """The tile of the picture that the stages begin from."""
    return tiles.tile(image[0], shape(image), grid.sentence(picture_facts(image)))


def received(low_res: Any, config: StageConfig, cascade: Cascade) -> str:
    """The tile of what a super-resolution stage is conditioned on."""
    return tiles.tile(low_res[0], f"What SR {config.size} receives", views.level_facts(config, cascade), noisy=True)


def result(image: Any, facts: LevelFacts, marks: Sequence[str] = (), *, crop: bool = False) -> str:
    """The tile of a super-resolution stage's result [3, h, w], or of its data link."""
    size = "" if isinstance(image, str) else f"{image.shape[-1]} × {image.shape[-1]}, "
    line = f"consistency {facts.consistency:.1f} dB · sharpness {facts.sharpness:.4f}"
    return tiles.tile(image, f"{size}aug_level {facts.aug_level:g}", line, badges=marks, crop=crop)


def shipped_sweep() -> str:
    """The tiles of the sweep that comes with the page.

    Raises:
        UserError: this installation does not have it.
    """
    found = exhibits.load(EXHIBITS["sweep"])
    facts = [LevelFacts(**{**one.facts, "snr": one.facts["snr"] or math.inf}) for one in found.shown]
    size, columns = found.request.stages[-1].size, len(facts)
    results = [result(one.picture, fact, marks, crop=True)
               for one, fact, marks in zip(found.shown, facts, badges(facts))]  # fmt: skip
    inputs = [tiles.tile(one.received, f"What SR {size} receives", one.label) for one in found.shown]
    heading = views.note(f"Recorded: “{found.request.prompt}”, enlarged to {size} at {columns} levels. {SCORES}")
    return heading + tiles.row(results, columns) + tiles.row(inputs, columns)


def strip(pictures: Sequence[str]) -> str:
    """The tiles of an upscaling beside each other."""
    return tiles.row(pictures, 5 if len(pictures) > 3 else 3)


def kept(pictures: Sequence[tuple[Any, Request]], weights: str, own: Mapping[str, str]) -> Any:
    """Pictures as PNG files, named by their size, seed and aug_level; ``own`` as in :class:`Base`."""
    paths = []
    for image, request in pictures:
        path = Path(files(image, request, weights, **own)[0][0])
        level = f"{request.stages[-1].aug_level:g}"
        paths.append(str(path.rename(path.with_stem(f"{path.stem}-aug{level}"))))
    return gr.File(paths, visible=True)
