"""Going back to a step of a recorded run: other rules on its estimates, or another end from there.

:func:`reapply` asks no network: guidance and threshold only combine the two estimates that the step had.
:func:`branch` continues from the step's z. With the settings it was recorded with, a run ends in the same picture:
bit for bit, but for guidance with a memory (APG). What that remembers is made again from the stored estimates, which
are of half precision, so its picture is the same to that precision only (2e-3 of [-1, 1] in tests).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..diffusion.guidance import BY_CLASSIFIER
from ..models.cascade import Cascade
from ..records.trace import StageTrace, Trace
from ..settings import Request, StageConfig
from ..types import Conditioning, Denoised, Event, Image, Level, StepRecord, UserError
from .generate import check, denoiser_of, generate, path_of, rules_of, run_stage, steering, weights_of

# Settings that place a run's levels, which are there already.
OF_THE_LEVELS = ("steps", "spacing", "schedule", "times")


def reapply(run: Trace, index: int, config: StageConfig) -> Denoised:
    """What ``config``'s guidance and threshold make of the estimates of its stage's step ``index``.

    ``index`` counts from 0, as StepRecord's does; messages count steps from 1, as people do. The estimates are the
    trace's, of half precision. Guidance with a memory sees the steps before, as it would have.

    Raises:
        UserError: no such stage or step, other levels, a classifier's estimates instead of the text's or the reverse,
            or a weight that asks for an unconditional estimate that was not made.
    """
    recorded = _recorded(run, index, config)
    if not _same_source(_before(run, config), config):
        raise UserError("guidance_rule: the run's conditional estimate came from elsewhere (text or classifier)")
    rules, weights = rules_of(config), weights_of(config, recorded.levels)
    w = weights[recorded.levels[index]]
    cond, uncond = _estimates(recorded, index)
    if not rules.needs_uncond(w):
        uncond = None
    elif uncond is None:
        raise UserError(f"step: {index + 1} was recorded at w = 1, without the estimate that guidance needs")
    return rules.apply(cond, uncond, w, _memory(recorded, index, config, weights))[0]


def branch(run: Trace, index: int, request: Request, cascade: Cascade) -> Iterator[Event]:
    """Continue the base stage of ``run`` from step ``index`` (from 0) as ``request`` says, then its later stages.

    What lies before the step stays as it was; everything but the seeds and the levels may change. Yields what
    cascade.generate would from there on. The memory of APG is restored to half precision only, see above.

    Raises:
        UserError: other weights made the run, there is no such step, or the request has other levels or seeds.
    """
    check(request, cascade)
    if run.weights != cascade.digest:
        raise UserError(f"trace: was recorded with other weights than {cascade.name} has now")
    recorded = _recorded(run, index, request.stages[0])
    if path_of(cascade.stages[0].spec.schedule, request.stages[0]) != recorded.levels:
        raise UserError(f"trace: its levels are of another schedule than that of {cascade.name}")
    if request.seeds != run.request.seeds:
        raise UserError("seed: a branch keeps the seeds of its run")
    return _branch(run, recorded, index, request, cascade)


@torch.no_grad()
def _branch(run: Trace, recorded: StageTrace, index: int, request: Request, cascade: Cascade) -> Iterator[Event]:
    stage, config = cascade.stages[0], request.stages[0]
    past = _past(run, recorded, index, cascade) if index else None
    weights = weights_of(config, path_of(stage.spec.schedule, config))
    memory = _memory(recorded, index, config, weights) if _same_source(_before(run, config), config) else None
    result = yield from run_stage(
        stage,
        config,
        cascade.encode([request.prompt] * request.count),
        request.seeds,
        None,
        steer=steering(request, config, cascade),
        past=past,
        z=recorded.arrays["z"][index],
        memory=memory,
    )
    if len(request.stages) > 1:
        yield from generate(request, cascade, image=result.unmarked, withheld=result.withheld)


def _past(run: Trace, recorded: StageTrace, index: int, cascade: Cascade) -> StepRecord:
    """The record before step ``index`` in full precision, which multistep samplers look back to: evaluated again."""
    stage, config = cascade.stages[0], run.request.stages[0]
    text = cascade.encode([run.request.prompt] * run.request.count)
    weights = weights_of(config, path_of(stage.spec.schedule, config))
    denoise = denoiser_of(
        stage,
        config,
        Conditioning(text),
        steer=steering(run.request, config, cascade),
        memory=_memory(recorded, index - 1, config, weights),
    )
    z, now, next = recorded.arrays["z"][index - 1], *recorded.levels[index - 1 : index + 1]
    return StepRecord(stage.spec.name, index - 1, now, next, z, denoise(z, now))


def _memory(recorded: StageTrace, index: int, config: StageConfig, weights: Mapping[Level, float]) -> Any:
    """What guidance would remember at step ``index``, had it been ``config``'s from the start, to half precision."""
    rules, memory = rules_of(config), None
    for before in range(index):
        cond, uncond = _estimates(recorded, before)
        w = weights[recorded.levels[before]]
        if uncond is not None and rules.needs_uncond(w):
            _, memory = rules.guide(cond, uncond, w=w, memory=memory)
    return memory


def _same_source(before: StageConfig, config: StageConfig) -> bool:
    """Whether the conditional estimates of a stage come from where they came from before: text, or a classifier."""
    return (before.guidance_rule in BY_CLASSIFIER) == (config.guidance_rule in BY_CLASSIFIER)


def _before(run: Trace, config: StageConfig) -> StageConfig:
    """How a run had the stage that ``config`` is for.

    Raises:
        UserError: it had no such stage.
    """
    for stage in run.request.stages:
        if stage.name == config.name:
            return stage
    raise UserError(f"trace: has no steps of {config.name}")


def _estimates(recorded: StageTrace, index: int) -> tuple[Image, Image | None]:
    cond = recorded.arrays["x0_cond"][index].float()
    if "x0_uncond" not in recorded.arrays:
        return cond, None
    uncond = recorded.arrays["x0_uncond"][index].float()
    return cond, None if bool(uncond.isnan().all()) else uncond


def _recorded(run: Trace, index: int, config: StageConfig) -> StageTrace:
    """The stage of a run that ``config`` is for, once it is known to have that step and those levels."""
    before = _before(run, config)
    if config.name not in run.stages:
        raise UserError(f"trace: has no steps of {config.name}")
    for name in OF_THE_LEVELS:
        if getattr(config, name) != getattr(before, name):
            raise UserError(f"{name}: must stay as recorded; the levels of a run are there already")
    recorded = run.stages[config.name]
    if not 0 <= index < recorded.steps:
        # People count from 1: page, files and command line do.
        raise UserError(f"step: must be between 1 and {recorded.steps}, got {index + 1}")
    return recorded
