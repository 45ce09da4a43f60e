"""A sweep: one super-resolution stage at several aug_levels, from one picture and the same noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...diffusion.saturation import consistency, sharpness
from ...models.cascade import Cascade, Stage
from ...records import png
from ...settings import DEFAULT_SIZES, DEFAULTS, Request, StageConfig, with_stage
from ...types import Event, Image, StageResult, UserError
from ..generate import check, generate
from .grids import check_different, values_in
from .lockstep import Turn, Work, at_once, compare

# From 0 to 1 in tenths. At 1024 × 1024 each is a picture of 2 MB.
MOST_LEVELS = 11
# Far enough apart to be told from each other: none, the default, blurred, another scene.
SUGGESTED_LEVELS = "0, 0.1, 0.4, 0.8"


@dataclass(frozen=True)
class Sweep:
    """The last stage of ``start``, a super-resolution stage, at several aug_levels; one request for each level."""

    start: Request
    requests: tuple[Request, ...]

    @property
    def before(self) -> Request:
        """The run that draws what the swept stage is given."""
        return replace(self.start, stages=self.start.stages[:-1])


@dataclass(frozen=True)
class LevelFacts:
    """What an aug_level puts on a stage's input, and how the result compares with that input before the noise.

    ``sigma`` and ``snr`` are of the noise (``snr`` is infinite without any); ``consistency`` in dB and ``sharpness``
    as in saturation.py.
    """

    aug_level: float
    sigma: float
    snr: float
    consistency: float
    sharpness: float

    def rounded(self) -> dict[str, float | None]:
        """The facts by name, as every face reports them; JSON has no infinity, so that is None."""
        return {name: round(value, 4) if math.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class SweptLevel:
    """A finished level of a sweep. ``withheld`` says whether a safety checker withheld it or the picture before it."""

    request: Request
    result: StageResult
    facts: LevelFacts
    withheld: bool


def make_sweep(request: Request, aug_levels: Sequence[float]) -> Sweep:
    """The sweep of ``request``'s last stage, its first picture alone.

    Raises:
        UserError: the last stage has no aug_level; no level, too many, one twice, or one out of range.
    """
    if len(request.stages) < 2:
        raise UserError("size: must be that of a later stage; the base stage has no aug_level to sweep")
    if not aug_levels:
        raise UserError("aug_levels: there must be one at least")
    if len(aug_levels) > MOST_LEVELS:
        raise UserError(f"aug_levels: at most {MOST_LEVELS}, got {len(aug_levels)}")
    check_different("aug_level", aug_levels)
    start = replace(request, count=1)
    size = request.stages[-1].size
    return Sweep(start, tuple(with_stage(start, size, aug_level=level) for level in aug_levels))


def levels_in(text: Any) -> list[float]:
    """The aug_levels in a text with commas between them.

    Raises:
        UserError: as for :func:`make_sweep`.
    """
    levels = values_in("aug_level", text, most=MOST_LEVELS, what="aug_levels")
    make_sweep(Request("any", stages=tuple(DEFAULTS[size] for size in DEFAULT_SIZES[:2])), levels)
    return levels


def sweep(
    sweep: Sweep, cascade: Cascade, turn: Turn = at_once, *, image: Image | None = None
) -> Iterator[Event | tuple[Event, ...] | SweptLevel]:
    """Draw what the swept stage is given, then that stage at all levels in lockstep, from the same noise.

    ``image``, a picture of an earlier stage (its ``StageResult.unmarked``), saves the stages up to its size. Yields
    the events of the stages before, then those of all levels as tuples, and a SweptLevel for each level at the end.
    The paper chooses aug_level by such a sweep (Saharia et al. 2022, App. D.2, Fig. A.11).

    Raises:
        UserError: the cascade cannot do one of the levels, or the image is of another size; nothing is drawn then.
    """
    for request in sweep.requests:
        check(request, cascade)
    if image is None or image.shape[-1] != sweep.before.stages[-1].size:
        before = partial(generate, sweep.before, image=image)
    else:
        before = None
    return _sweep(sweep, cascade, turn, before, image)


def _sweep(
    sweep: Sweep, cascade: Cascade, turn: Turn, before: Work | None, image: Any
) -> Iterator[Event | tuple[Event, ...] | SweptLevel]:
    black = False
    if before is not None:
        for event in turn(before, cascade, sweep.before):
            yield event
        image, black = event.unmarked, event.withheld[0]
    for row in turn(partial(compare, sweep.requests, image=image), cascade, *sweep.requests):
        yield row
    stage = cascade.stage(sweep.start.stages[-1].size)
    for request, result in zip(sweep.requests, row):
        facts = level_facts(stage, request.stages[-1], result.image, image)
        yield SweptLevel(request, result, facts, black or result.withheld[0])


def level_facts(stage: Stage, config: StageConfig, image: Image, small: Image) -> LevelFacts:
    """The facts of the first picture of ``image`` [b, 3, h, w], which ``stage`` made from ``small`` [b, 3, s, s]."""
    level = config.aug_level or 0.0
    scores = float(consistency(image, small)[0]), float(sharpness(image)[0])
    return LevelFacts(level, stage.aug_sigma(level), stage.aug_snr(level), *scores)


def level_label(stage: Stage, aug_level: float) -> str:
    """What an aug_level puts on a stage's input: σ and SNR of its noise, which differ from model to model."""
    snr = stage.aug_snr(aug_level)
    ratio = "∞ (untouched)" if math.isinf(snr) else f"{snr:.3g}"
    return f"aug_level {aug_level:g} · σ = {stage.aug_sigma(aug_level):.3f} · SNR = {ratio}"


def save_sweep(sweep: Sweep, levels: Sequence[SweptLevel], file: Path, cascade: Cascade) -> None:
    """Write the pictures of a sweep side by side as one PNG, which carries the run that they vary."""
    stage = cascade.stage(sweep.start.stages[-1].size)
    labels = [level_label(stage, level.facts.aug_level) for level in levels]
    images = [level.result.image[0] for level in levels]
    facts = {"weights": cascade.digest, "cells": "; ".join(labels), "origin": "grid"}
    png.save_grid(images, labels, len(labels), file, sweep.start, **facts)
