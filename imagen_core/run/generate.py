"""The whole way from a request to pictures: the only place that knows all stages and their order.

Everything is a generator: progress bars, plots, recording and stopping belong to whoever drains it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import torch

from ..diffusion.augmentation import augment, resize
from ..diffusion.denoiser import Rules, build_denoiser
from ..diffusion.guidance import BY_CLASSIFIER, RENOISE_UNCOND
from ..diffusion.samplers import evaluations, sample, unit_noise
from ..diffusion.schedules import levels, levels_at
from ..models.cascade import Cascade, Finished, Stage
from ..settings import TRAINED, Request, StageConfig, with_stage
from ..types import Conditioning, Denoise, Event, Image, Level, StageResult, StepRecord, TextEmbedding, UserError


def check(request: Request, cascade: Cascade) -> None:
    """Refuse, before any work, what this cascade cannot do: a size or a classifier it lacks, a level it never saw."""
    for config in request.stages:
        if config.size not in cascade.sizes:
            offered = ", ".join(map(str, cascade.sizes))
            raise UserError(f"size: {config.size} is not offered by {cascade.name}; it has {offered}")
        spec = cascade.stage(config.size).spec
        path_of(spec.schedule, config)
        if (config.aug_level or 0.0) > spec.most_aug:
            most = f"{spec.most_aug:.3g} for {config.name} of {cascade.name}"
            raise UserError(f"aug_level: must be between 0 and {most}, got {config.aug_level:g}")
        if spec.latent_factor > 1 and config.threshold != "none":
            raise UserError(f"threshold: {config.name} of this model samples latents, which have no range; choose none")
        if config.guidance_rule in BY_CLASSIFIER:
            if cascade.classifier is None:
                raise UserError(f"guidance_rule: {cascade.name} has no classifier; choose another rule")
            cascade.classifier.labels(request.prompt)


def generate(
    request: Request, cascade: Cascade, *, image: Image | None = None, withheld: Sequence[bool] = ()
) -> Iterator[Event]:
    """Run a request; yields a StepRecord for every step and a StageResult after each stage.

    With ``image``, a picture of an earlier run at one of the cascade's sizes (its ``StageResult.unmarked``), the stages
    up to that size are skipped: this is how a base result is upscaled later, to the same pictures as in one go.
    ``withheld`` is then that result's.

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
    left = [config for config in request.stages if image is None or config.size > image.shape[-1]]
    # All texts first: a large encoder makes room for the networks.
    prompts = [request.prompt] * request.count
    texts = [(cascade.stage(config.size).encode or cascade.encode)(prompts) for config in left]
    for config, text in zip(left, texts):
        steer, stage = steering(request, config, cascade), cascade.stage(config.size)
        result = yield from run_stage(stage, config, text, request.seeds, image, steer=steer, withheld=withheld)
        image, withheld = result.unmarked, result.withheld


def run_stage(
    stage: Stage,
    config: StageConfig,
    text: TextEmbedding,
    seeds: Sequence[int],
    image: Image | None,
    *,
    steer: Callable[[Image, Level], Image] | None = None,
    past: StepRecord | None = None,
    z: Image | None = None,
    memory: Any = None,
    withheld: Sequence[bool] = (),
) -> Generator[Event, None, StageResult]:
    """One stage from noise to picture; the result is yielded last and also returned.

    The rows may be of different prompts: ``text`` and ``seeds`` have an entry for each. ``z``, with the record of the
    step before it (None at the first) and guidance's ``memory``, takes a run up where it was. ``withheld`` says which
    pictures an earlier stage has blackened.
    """
    began = time.perf_counter()
    spec, shape = stage.spec, stage.spec.shape
    low_res = None
    if image is not None and config.aug_level is not None:
        # Noised once, before the loop (sec. 2.4), from a stream of its own: sampling noise stays the same at any level.
        blank = unit_noise(seeds, f"{spec.name}/augmentation", (3, *shape[1:]))
        enlarged = resize(image.clamp(-1, 1), shape[-1], spec.augmentation)
        low_res = augment(enlarged, config.aug_level, blank, spec.augmentation)
    denoise = denoiser_of(stage, config, Conditioning(text, low_res, config.aug_level), steer=steer, memory=memory)
    path = path_of(spec.schedule, config)[0 if past is None else past.index + 1 :]

    def noise(index: int) -> Image:
        return unit_noise(seeds, f"{spec.name}/step {index}", shape)

    if z is None:
        z = unit_noise(seeds, spec.name, shape)
    # What whoever drains this does between two steps is not sampling time.
    seconds = 0.0
    for record in sample(config.rule("sampler"), denoise, z, path, noise, stage=spec.name, past=past):
        seconds += time.perf_counter() - began
        yield record
        began = time.perf_counter()
    picture = (stage.decode(record.out.x0_hat) if stage.decode else record.out.x0_hat).clamp(-1, 1)
    seconds += time.perf_counter() - began
    done = stage.finish(picture) if stage.finish else Finished(picture, picture, (False,) * len(picture))
    black = tuple(a or b for a, b in zip_longest(done.withheld, withheld, fillvalue=False))
    finished = StageResult(spec.name, config.size, done.image, low_res, seconds, done.unmarked, black)
    yield finished
    return finished


def path_of(trained: str, config: StageConfig) -> tuple[Level, ...]:
    """The levels that a stage visits, from noise to clean; ``trained`` is the schedule that it was trained with."""
    schedule = trained if config.schedule == TRAINED else config.schedule
    return levels_at(schedule, config.times) if config.times else levels(schedule, config.steps, config.spacing)


def rules_of(config: StageConfig) -> Rules:
    """What a stage does with its network's predictions."""
    return Rules(config.rule("guidance_rule"), config.rule("threshold"), config.guidance_rule in RENOISE_UNCOND)


def weights_of(config: StageConfig, path: Sequence[Level]) -> dict[Level, float]:
    """The guidance weight at each level where the network is asked, all but the clean one."""
    asked = path[:-1]
    return dict(zip(asked, config.rule("w_schedule")(config.guidance, asked)))


def rows_of(config: StageConfig, path: Sequence[Level]) -> list[int]:
    """How many rows one picture takes through a stage's network at each step: two an evaluation where it is guided.

    A step's second evaluation (Heun's) is at the next level, by the weight there.
    """
    rules, weights = rules_of(config), weights_of(config, path).values()
    both = [config.guidance_rule not in BY_CLASSIFIER and rules.needs_uncond(w) for w in weights]
    return [
        sum(1 + guided for guided in both[i : i + often]) for i, often in enumerate(evaluations(config.sampler, path))
    ]


def denoiser_of(
    stage: Stage,
    config: StageConfig,
    conditioning: Conditioning,
    *,
    steer: Callable[[Image, Level], Image] | None = None,
    memory: Any = None,
) -> Denoise:
    """The guided, thresholded denoiser that a stage samples with."""
    w = weights_of(config, path_of(stage.spec.schedule, config)).__getitem__
    return build_denoiser(stage.network, conditioning, stage.spec, rules_of(config), w, steer=steer, memory=memory)


def steering(request: Request, config: StageConfig, cascade: Cascade) -> Callable[[Image, Level], Image] | None:
    """The gradient that classifier guidance follows, for the rules that do."""
    if config.guidance_rule not in BY_CLASSIFIER or cascade.classifier is None:
        return None
    return partial(cascade.classifier.gradient, labels=cascade.classifier.labels(request.prompt))


def compare(
    requests: Sequence[Request], cascade: Cascade, *, image: Image | None = None
) -> Iterator[tuple[Event, ...]]:
    """Several requests in lockstep, one event of each at a time, all from ``image`` where it is given.

    The same request with another threshold, or another guidance weight, starts from the same noise: what then
    differs is the rule alone.

    Raises:
        UserError: there are no requests, or they do not have the same stages and steps.
    """
    if not requests:
        raise UserError("runs: there must be one at least to compare")
    shapes = {tuple((stage.size, stage.steps) for stage in request.stages) for request in requests}
    if len(shapes) != 1:
        raise UserError("steps: runs that are compared side by side must have the same stages and steps")
    return zip(*(generate(request, cascade, image=image) for request in requests))


def at_levels(request: Request, cascade: Cascade, aug_levels: Sequence[float]) -> list[Request]:
    """The request with its last stage at each level, all of them checked before anything is drawn for a sweep.

    Raises:
        UserError: there is no level, one is out of range, or the cascade cannot do it (:func:`check`).
    """
    if not aug_levels:
        raise UserError("aug_levels: there must be one at least")
    variants = [with_stage(request, request.stages[-1].size, aug_level=level) for level in aug_levels]
    for variant in variants:
        check(variant, cascade)
    return variants


def sweep(
    request: Request, cascade: Cascade, aug_levels: Sequence[float], *, image: Image
) -> Iterator[tuple[Event, ...]]:
    """The request's last stage from one ``image`` at several ``aug_levels`` in lockstep, with the same noise.

    The paper chooses aug_level by such a sweep (Saharia et al. 2022, App. D.2, Fig. A.11).

    Raises:
        UserError: a level is out of range, or the image is not of the size before the last stage's.
    """
    if len(request.stages) < 2 or image.shape[-1] != request.stages[-2].size:
        raise UserError("image: must be of the size before the last stage's, which must be a super-resolution stage")
    return compare(at_levels(request, cascade, aug_levels), cascade, image=image)
