"""Going back to a step of a recorded run: apply other rules to its estimates, or sample on from it.

:func:`reapply` needs no network: guidance and threshold only combine the two estimates of the step.
:func:`branch` samples on from the step's z. With unchanged settings a run ends in the same picture, bit for bit. The
exception is guidance with a memory (APG): its memory is computed again from the stored estimates, which have half
precision, and the picture is the same to that precision (2e-3 of [-1, 1] in tests).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..diffusion.denoiser import Second, build_denoiser
from ..diffusion.guidance import GUIDANCE, Moment
from ..diffusion.samplers import Past, Start
from ..models.cascade import Cascade
from ..records.trace import StageTrace, Trace
from ..settings import Plan, Request, StageConfig
from ..types import Conditioning, Denoised, Event, Image, StepRecord, UserError
from .generate import Inputs, check, generate, plan_of, run_stage, steering

# Settings that decide the levels of a run. Its steps were taken at these levels, so they cannot change.
OF_THE_LEVELS = ("steps", "spacing", "schedule", "times")


def reapply(run: Trace, index: int, config: StageConfig) -> Denoised:
    """Apply the guidance and threshold of ``config`` to the stored estimates of step ``index`` of its stage.

    ``index`` counts from 0, as in StepRecord; messages count steps from 1. The estimates have half precision. Guidance
    with a memory sees the steps before.

    Raises:
        UserError: no such stage or step; other levels; estimates that differ in something else than the rule's
            (Guide.source); a missing unconditional estimate; a rule that needs the network.
    """
    recorded = _recorded(run, index, config)
    if not _same_source(_before(run, config), config):
        raise UserError("guidance_rule: the run's two estimates differ in something else (text, classifier or network)")
    plan = Plan(config, recorded.trained)
    rules, w = plan.rules, plan.weights[index]
    _check_needs_no_network(plan)
    cond, uncond = _estimates(recorded, index)
    if not rules.guide.needs_uncond(w):
        uncond = None
    elif uncond is None:
        raise UserError(f"step: {index + 1} was recorded at w = 1, without the estimate that guidance needs")
    memory, z = _memory(recorded, index, plan), recorded.arrays["z"][index]
    moment = Moment(w, memory=memory, level=recorded.levels[index], z=z)
    return rules.apply(cond, uncond, moment)[0]


def branch(run: Trace, index: int, request: Request, cascade: Cascade) -> Iterator[Event]:
    """Sample the base stage of ``run`` again from step ``index`` (from 0) with the settings of ``request``.

    Yields what `generate` yields from that step on, later stages included. Everything but the seeds and the levels may
    change. The memory of APG is restored to half precision.

    Raises:
        UserError: the run was made with other weights, has no such step, or the request has other levels or seeds.
    """
    check(request, cascade)
    if run.weights != cascade.digest:
        raise UserError(f"trace: was recorded with other weights than {cascade.name} has now")
    recorded = _recorded(run, index, request.stages[0])
    plan = plan_of(request.stages[0], cascade)
    if plan.levels != recorded.levels:
        raise UserError(f"trace: its levels are of another schedule than that of {cascade.name}")
    if request.seeds != run.request.seeds:
        raise UserError("seed: a branch keeps the seeds of its run")
    for each in (plan, plan_of(run.request.stages[0], cascade)):
        if "memory" in each.rules.guide.asks:
            _check_needs_no_network(each)
    return _branch(run, recorded, index, request, cascade)


@torch.no_grad()
def _branch(run: Trace, recorded: StageTrace, index: int, request: Request, cascade: Cascade) -> Iterator[Event]:
    plan = plan_of(request.stages[0], cascade)
    past = _past(run, recorded, index, cascade, plan.sampler.history)
    same_source = _same_source(_before(run, plan.config), plan.config)
    memory = _memory(recorded, index, plan) if same_source else None
    text = cascade.encode([request.prompt] * request.count)
    inputs = Inputs(text, request.seeds, steer=steering(request, plan.config, cascade))
    start = Start(recorded.arrays["z"][index], index, past, memory)
    result = yield from run_stage(cascade.stages[0], plan, inputs, start)
    if len(request.stages) > 1:
        yield from generate(request, cascade, image=result.unmarked, withheld=result.withheld)


def _past(run: Trace, recorded: StageTrace, index: int, cascade: Cascade, history: int) -> Past:
    """The ``history`` records before step ``index``, fewer at the start; evaluated again, in full precision."""
    first, stage, plan = max(0, index - history), cascade.stages[0], plan_of(run.request.stages[0], cascade)
    if first == index:
        return ()
    denoise = build_denoiser(
        stage.network,
        Conditioning(cascade.encode([run.request.prompt] * run.request.count)),
        stage.spec,
        plan.rules,
        plan.weights,
        second=Second(steering(run.request, plan.config, cascade), stage.weaker),
        memory=_memory(recorded, first, plan),
    )
    records = []
    for step in range(first, index):
        z, now, next = recorded.arrays["z"][step], *recorded.levels[step : step + 2]
        records.append(StepRecord(stage.spec.name, step, now, next, z, denoise(z, now, step=step)))
    return tuple(records)


def _memory(recorded: StageTrace, index: int, plan: Plan) -> Any:
    """What the plan's guidance would remember at step ``index``, to half precision."""
    guide, memory = plan.rules.guide, None
    if "memory" not in guide.asks:
        return None
    for before in range(index):
        cond, uncond = _estimates(recorded, before)
        w = plan.weights[before]
        if uncond is not None and guide.needs_uncond(w):
            level, z = recorded.levels[before], recorded.arrays["z"][before]
            _, memory = guide(cond, uncond, Moment(w, memory=memory, level=level, z=z))
    return memory


def _check_needs_no_network(plan: Plan) -> None:
    """Refuse a guidance rule that needs more than the stored estimates."""
    if {"text", "estimate"} & set(plan.rules.guide.asks):
        rule = plan.config.guidance_rule
        raise UserError(f"guidance_rule: {rule} asks the network again, and a recorded step has no network")


def _same_source(before: StageConfig, config: StageConfig) -> bool:
    """Whether the two estimates of both differ in the same: text, classifier or network."""
    return GUIDANCE[before.guidance_rule].source == GUIDANCE[config.guidance_rule].source


def _before(run: Trace, config: StageConfig) -> StageConfig:
    """The settings that a run had for the stage of ``config``.

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
    """The recorded stage of ``config``.

    Raises:
        UserError: it lacks the step, or ``config`` would change its levels.
    """
    before = _before(run, config)
    if config.name not in run.stages:
        own = run.stages and config.name == run.request.stages[0].name
        why = "; it began from a picture of somebody's own" if own else ""
        raise UserError(f"trace: has no steps of {config.name}{why}")
    for name in OF_THE_LEVELS:
        if getattr(config, name) != getattr(before, name):
            raise UserError(f"{name}: must stay as recorded; the levels of a run are there already")
    recorded = run.stages[config.name]
    if not 0 <= index < recorded.steps:
        # Messages count steps from 1, like the page and the command line.
        raise UserError(f"step: must be between 1 and {recorded.steps}, got {index + 1}")
    return recorded
