"""From a request to pictures: the only place that knows all stages and their order.

Everything is a generator. Whoever drains it shows progress, records steps, or stops.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

import torch

from ..diffusion.augmentation import augment, resize
from ..diffusion.denoiser import Second, build_denoiser
from ..diffusion.guidance import GUIDANCE
from ..diffusion.samplers import Start, sample, unit_noise
from ..models.cascade import Cascade, Finished, Stage
from ..settings import Plan, Request, StageConfig
from ..types import Conditioning, Event, Image, Level, StageResult, StageSpec, TextEmbedding, UserError


def check(request: Request, cascade: Cascade) -> None:
    """Refuse what this cascade cannot do, before any work starts.

    Raises:
        UserError: a size, an order of sizes, a schedule, aug_level or rule that the cascade does not have.
    """
    if missing := [size for size in request.sizes if size not in cascade.sizes]:
        offered = ", ".join(map(str, cascade.sizes))
        raise UserError(f"size: {missing[0]} is not offered by {cascade.name}; it has {offered}")
    _check_places(request, cascade)
    for config in request.stages:
        spec, plan = cascade.stage(config.size).spec, plan_of(config, cascade)
        if (config.aug_level or 0.0) > spec.most_aug:
            most = f"{spec.most_aug:.3g} for {config.name} of {cascade.name}"
            raise UserError(f"aug_level: must be between 0 and {most}, got {config.aug_level:g}")
        if spec.latent_factor > 1 and config.threshold != "none":
            raise UserError(f"threshold: {config.name} of this model samples latents, which have no range; choose none")
        if plan.rules.guide.source == "classifier":
            if cascade.classifier is None:
                raise UserError(f"guidance_rule: {cascade.name} has no classifier; choose another rule")
            cascade.classifier.labels(request.prompt)
        if plan.rules.guide.source == "network" and cascade.stage(config.size).weaker is None:
            raise UserError(
                f"guidance_rule: {config.guidance_rule} needs a weaker version of the network, and {config.name} of "
                f"{cascade.name} has none; choose another rule"
            )


def _check_places(request: Request, cascade: Cascade) -> None:
    """Refuse stages of another cascade that has some of the same sizes."""
    first, sizes = cascade.stages[0].spec, cascade.sizes
    if not first.is_base or request.sizes != sizes[: len(request.sizes)]:
        own = " → ".join(map(str, sizes if first.low_res_size is None else (first.low_res_size, *sizes)))
        asked = " → ".join(map(str, request.sizes))
        raise UserError(f"size: {cascade.name} draws {own}, each stage from the one before, not {asked}")


def plan_of(config: StageConfig, cascade: Cascade) -> Plan:
    """The plan of a cascade's stage under these settings; KeyError where the cascade has no such stage.

    Raises:
        UserError: the settings give times that the stage's own schedule cannot tell apart.
    """
    return Plan(config, cascade.stage(config.size).spec.schedule)


def generate(
    request: Request, cascade: Cascade, *, image: Image | None = None, withheld: Sequence[bool] = ()
) -> Iterator[Event]:
    """Run a request; yields a StepRecord for every step and a StageResult after each stage.

    ``image`` [count, 3, h, w] skips the stages up to its size, to upscale the result of an earlier run: its
    ``StageResult.unmarked``, with its ``withheld``. The pictures are the same as in one run.

    Raises:
        UserError: the cascade lacks a stage, or the image does not fit the request.
    """
    check(request, cascade)
    if image is not None:
        smaller = tuple(size for size in cascade.sizes if size < request.stages[-1].size)
        if image.shape[-1] not in smaller or len(image) != request.count:
            raise UserError(f"image: must be {request.count} pictures of a size in {smaller}")
    return _generate(request, cascade, image, withheld)


@torch.no_grad()
def _generate(request: Request, cascade: Cascade, image: Image | None, withheld: Sequence[bool]) -> Iterator[Event]:
    remaining = [config for config in request.stages if image is None or config.size > image.shape[-1]]
    # All texts first, so that a large encoder can be unloaded before the networks run.
    prompts = [request.prompt] * request.count
    texts = [(cascade.stage(config.size).encode or cascade.encode)(prompts) for config in remaining]
    for config, text in zip(remaining, texts):
        inputs = Inputs(text, request.seeds, image, withheld, steering(request, config, cascade))
        result = yield from run_stage(cascade.stage(config.size), plan_of(config, cascade), inputs)
        image, withheld = result.unmarked, result.withheld


@dataclass(frozen=True)
class Inputs:
    """What one stage is given. ``text`` and ``seeds`` have one entry a picture; prompts may differ.

    ``image`` [b, 3, h, w] is the picture of the stage before, None for the base. ``withheld`` says which pictures an
    earlier stage has blackened. ``steer`` is the gradient that classifier guidance follows.
    """

    text: TextEmbedding
    seeds: Sequence[int]
    image: Image | None = None
    withheld: Sequence[bool] = ()
    steer: Callable[[Image, Level], Image] | None = None


def run_stage(
    stage: Stage, plan: Plan, inputs: Inputs, start: Start | None = None
) -> Generator[Event, None, StageResult]:
    """Run one stage from noise to picture, or resume it at ``start``; the result is yielded last and also returned."""
    began = time.perf_counter()
    spec, shape, seeds = stage.spec, stage.spec.shape, inputs.seeds
    low_res = _low_res(spec, plan.config.aug_level, inputs)
    start = start or Start(unit_noise(seeds, spec.name, shape))
    denoise = build_denoiser(
        stage.network,
        Conditioning(inputs.text, low_res, plan.config.aug_level),
        spec,
        plan.rules,
        plan.weights,
        second=Second(inputs.steer, stage.weaker),
        memory=start.memory,
    )

    def noise(index: int) -> Image:
        return unit_noise(seeds, f"{spec.name}/step {index}", shape)

    # Time that the consumer takes between two steps is not counted.
    seconds = 0.0
    with _enough_memory(spec.name):
        for record in sample(plan.sampler, denoise, start, plan.levels, noise, stage=spec.name):
            seconds += time.perf_counter() - began
            yield record
            began = time.perf_counter()
        picture = (stage.decode(record.out.x0_hat) if stage.decode else record.out.x0_hat).clamp(-1, 1)
    seconds += time.perf_counter() - began
    done = stage.finish(picture) if stage.finish else Finished(picture, picture, (False,) * len(picture))
    black = tuple(a or b for a, b in zip_longest(done.withheld, inputs.withheld, fillvalue=False))
    result = StageResult(
        stage=spec.name,
        size=plan.config.size,
        image=done.image,
        low_res=low_res,
        seconds=seconds,
        unmarked=done.unmarked,
        withheld=black,
    )
    yield result
    return result


@contextmanager
def _enough_memory(stage: str) -> Iterator[None]:
    """Turn running out of memory into one line that names the stage.

    Raises:
        UserError: the memory is too small.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has a type for a card's memory alone.
        if isinstance(error, RuntimeError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        raise UserError(f"memory: too little for {stage}; choose fewer pictures or a smaller size") from error


def _low_res(spec: StageSpec, aug_level: float | None, inputs: Inputs) -> Image | None:
    """The picture of the stage before, enlarged and noised; None for a base."""
    if inputs.image is None or aug_level is None:
        return None
    # Noised once, before the loop (sec. 2.4). A stream of its own keeps the sampling noise the same at any aug_level.
    side = spec.shape[-1]
    noise = unit_noise(inputs.seeds, f"{spec.name}/augmentation", (3, side, side))
    return augment(resize(inputs.image.clamp(-1, 1), side, spec.augmentation), aug_level, noise, spec.augmentation)


def steering(request: Request, config: StageConfig, cascade: Cascade) -> Callable[[Image, Level], Image] | None:
    """The gradient that classifier guidance follows; None for other rules."""
    if GUIDANCE[config.guidance_rule].source != "classifier" or cascade.classifier is None:
        return None
    return partial(cascade.classifier.gradient, labels=cascade.classifier.labels(request.prompt))
