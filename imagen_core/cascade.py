"""The whole way from a request to pictures: the only place that knows all stages and their order.

Everything is a generator: progress bars, plots, recording and stopping belong to whoever drains it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from .augmentation import augment, resize
from .checkpoints import Cascade, Finish, Finished, Stage
from .denoiser import build_denoiser
from .guidance import GUIDANCE
from .samplers import SAMPLERS, noise_source, sample
from .schedules import levels
from .settings import Request, StageConfig
from .thresholding import THRESHOLDS
from .types import Conditioning, Image, StepRecord, TextEmbedding, UserError


@dataclass(frozen=True)
class StageResult:
    """A finished stage: its pictures in [-1, 1], and the seconds that sampling took.

    ``low_res`` is what a super-resolution stage was really given: resized and noised; None for the base. ``image`` is
    for people: a cascade with a safety checker and a watermark has applied both to it. ``unmarked`` is for the next
    stage: checked, without the watermark; the same tensor for all other cascades. Both are black where ``withheld``.
    """

    stage: str
    size: int
    image: Image
    low_res: Image | None
    seconds: float
    unmarked: Image
    withheld: tuple[bool, ...]


Event = StepRecord | StageResult


def check(request: Request, cascade: Cascade) -> None:
    """Refuse, before any work, a request for a size that this cascade does not have."""
    for config in request.stages:
        if config.size not in cascade.sizes:
            offered = ", ".join(map(str, cascade.sizes))
            raise UserError(f"size: {config.size} is not offered by {cascade.name}; it has {offered}")


def generate(request: Request, cascade: Cascade, *, image: Image | None = None) -> Iterator[Event]:
    """Run a request; yields a StepRecord for every step and a StageResult after each stage.

    With ``image``, a picture of an earlier run at one of the cascade's sizes (its ``StageResult.unmarked``), the stages
    up to that size are skipped: this is how a base result is upscaled later, to the same pictures as in one go.

    Raises:
        UserError: the cascade lacks a stage, or the image does not fit the request.
    """
    check(request, cascade)
    if image is not None:
        smaller = tuple(size for size in cascade.sizes if size < request.stages[-1].size)
        if image.shape[-1] not in smaller or len(image) != request.count:
            raise UserError(f"image: must be {request.count} pictures of a size in {smaller}")
    return _generate(request, cascade, image)


@torch.no_grad()
def _generate(request: Request, cascade: Cascade, image: Image | None) -> Iterator[Event]:
    stages = {stage.spec.size: stage for stage in cascade.stages}
    left = [config for config in request.stages if image is None or config.size > image.shape[-1]]
    # All texts first: a large encoder makes room for the networks.
    texts = [(stages[config.size].encode or cascade.encode)([request.prompt] * request.count) for config in left]
    for config, text in zip(left, texts):
        result = yield from run_stage(stages[config.size], config, text, request.seeds, image, cascade.finish)
        image = result.unmarked


def run_stage(
    stage: Stage,
    config: StageConfig,
    text: TextEmbedding,
    seeds: Sequence[int],
    image: Image | None,
    finish: Finish | None = None,
) -> Generator[Event, None, StageResult]:
    """One stage from noise to picture; the result is yielded last and also returned."""
    began = time.perf_counter()
    spec, shape = stage.spec, stage.spec.shape
    low_res = None
    if image is not None and config.aug_level is not None:
        # Noised once, before the loop (sec. 2.5), from a stream of its own: sampling noise stays the same at any level.
        blank = noise_source(seeds, f"{spec.name}/augmentation", (3, *shape[1:]))()
        enlarged = resize(image.clamp(-1, 1), shape[-1], spec.augmentation)
        low_res = augment(enlarged, config.aug_level, blank, spec.augmentation)
    denoise = build_denoiser(
        stage.network,
        Conditioning(text, low_res, config.aug_level),
        spec,
        guidance=config.guidance_rule,
        guidance_options=config.options_of(GUIDANCE[config.guidance_rule]),
        threshold=config.threshold,
        threshold_options=config.options_of(THRESHOLDS[config.threshold]),
    )
    step = SAMPLERS[config.sampler]
    noise = noise_source(seeds, spec.name, shape)
    path = levels(spec.schedule, config.steps, config.spacing)
    for record in sample(partial(step, **config.options_of(step)), denoise, noise(), path, noise, stage=spec.name):
        yield record
    picture = stage.decode(record.out.x0_hat) if stage.decode else record.out.x0_hat
    seconds = time.perf_counter() - began
    picture = picture.clamp(-1, 1)
    done = finish(picture) if finish else Finished(picture, picture, (False,) * len(picture))
    finished = StageResult(spec.name, config.size, done.image, low_res, seconds, done.unmarked, done.withheld)
    yield finished
    return finished


def compare(requests: Sequence[Request], cascade: Cascade) -> Iterator[tuple[Event, ...]]:
    """Several requests in lockstep, one event of each at a time.

    The same request with another threshold, or another guidance weight, starts from the same noise: what then
    differs is the rule alone.

    Raises:
        UserError: the requests do not have the same stages and steps.
    """
    shapes = {tuple((stage.size, stage.steps) for stage in request.stages) for request in requests}
    if len(shapes) != 1:
        raise UserError("steps: runs that are compared side by side must have the same stages and steps")
    return zip(*(generate(request, cascade) for request in requests))
