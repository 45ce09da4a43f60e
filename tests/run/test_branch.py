"""Going back to a stored step: other rules on its estimates, another end from there, the same end with the same."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from imagen_core.diffusion.guidance import GUIDANCE
from imagen_core.diffusion.samplers import SAMPLERS
from imagen_core.diffusion.schedules import SCHEDULES, SPACINGS
from imagen_core.diffusion.w_schedules import W_SCHEDULES
from imagen_core.models.cascade import Cascade
from imagen_core.records import trace
from imagen_core.records.trace import Trace
from imagen_core.run.branch import branch, reapply
from imagen_core.run.generate import generate
from imagen_core.settings import Plan, Request, request, with_rule
from imagen_core.types import StageResult, StepRecord, UserError


def recorded(run: Request, cascade: Cascade, folder: Path) -> tuple[Trace, list[StepRecord], StageResult]:
    """A run through a file, as a user would have it, beside what it really was."""
    recorder = trace.Recorder(run, cascade)
    events = list(recorder.watch(generate(run, cascade)))
    trace.save(recorder.trace(), folder / "run.npz")
    records = [e for e in events if isinstance(e, StepRecord) and e.stage == "base64"]
    return trace.load(folder / "run.npz"), records, next(e for e in events if isinstance(e, StageResult))


def base(run: Request, **changes) -> Request:
    return replace(run, stages=(with_rule(run.stages[0], **changes), *run.stages[1:]))


@pytest.mark.parametrize("step", [0, 3, 5])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_settings_end_in_the_same_picture(sampler: str, step: int, tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", seed=3, count=2, steps=6, guidance=3.0, sampler=sampler)
    stored, records, result = recorded(run, tiny, tmp_path)
    again = list(branch(stored, step, run, tiny))
    assert [event.index for event in again[:-1]] == list(range(step, 6))
    assert torch.equal(again[0].z, records[step].z)
    assert torch.equal(again[-1].image, result.image)


@pytest.mark.parametrize("change", [{}, {"w_schedule": "interval", "options": {"low": -1.0, "high": 2.0}}])
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun", "ancestral"])
def test_guidance_with_a_memory_remembers(sampler: str, change: dict, tiny: Cascade, tmp_path: Path) -> None:
    """APG's memory comes from half-precision estimates, so the end agrees to that precision.

    Heun's method asks twice at a level, which is remembered once.
    """
    run = request(
        "a red ball", steps=6, guidance=4.0, guidance_rule="apg", threshold="static", sampler=sampler, **change
    )
    stored, _, result = recorded(run, tiny, tmp_path)
    *_, end = branch(stored, 3, run, tiny)
    assert_close(end.image, result.image, atol=2e-3, rtol=0)


def test_a_memory_is_that_of_the_branchs_own_weights(tiny: Cascade, tmp_path: Path) -> None:
    """Where the new weights are 1 the memory would not have moved, though the stored run has both estimates there."""
    apg = {"steps": 6, "guidance": 4.0, "guidance_rule": "apg", "threshold": "static"}
    stored, _, _ = recorded(request("a red ball", **apg, w_schedule="constant"), tiny, tmp_path)
    later = request("a red ball", **apg, w_schedule="interval", options={"low": 0.0, "high": 20.0})
    weights = Plan(later.stages[0], stored.stages["base64"].trained).weights
    first = next(i for i, w in enumerate(weights) if w != 1)
    assert 0 < first < 5
    # Nothing was remembered before the first guided level: its guidance is APG's without a memory.
    out = reapply(stored, first, later.stages[0])
    cond, uncond = (stored.stages["base64"].arrays[name][first].float() for name in ("x0_cond", "x0_uncond"))
    assert_close(out.x0_raw, GUIDANCE["apg"].fn(cond, uncond, w=4.0)[0])


def test_estimates_by_text_are_not_passed_off_as_a_classifiers(tiny: Cascade, tmp_path: Path) -> None:
    stored, _, _ = recorded(request("a red ball", steps=3), tiny, tmp_path)
    with pytest.raises(UserError, match="^guidance_rule: .*text, classifier or network"):
        reapply(stored, 1, request("a red ball", steps=3, guidance_rule="classifier").stages[0])


def test_a_classifier_at_the_base_says_nothing_of_later_stages(tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", size=256, steps=2)
    stored, *_ = recorded(run, tiny, tmp_path)
    by_classifier = replace(stored, request=base(run, guidance_rule="classifier"))
    config = run.stages[1]
    assert_close(reapply(by_classifier, 0, config).x0_hat, reapply(stored, 0, config).x0_hat, atol=0, rtol=0)
    with pytest.raises(UserError, match="^trace: has no steps of sr1024"):
        reapply(stored, 0, request("a red ball", size=1024).stages[2])


@pytest.mark.parametrize("change", [{"threshold": "none"}, {"guidance": 9.0}, {"prompt": "a blue cube on sand"}])
def test_every_setting_of_a_branch_counts(change: dict, tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", steps=4, guidance=3.0, w_schedule="constant")
    stored, records, _ = recorded(run, tiny, tmp_path)
    rules = {name: value for name, value in change.items() if name != "prompt"}
    changed = replace(base(run, **rules), prompt=change.get("prompt", run.prompt))
    first = next(branch(stored, 2, changed, tiny))
    assert torch.equal(first.z, records[2].z) and not torch.equal(first.out.x0_hat, records[2].out.x0_hat)
    # Another prompt is another conditional estimate; other rules are not.
    assert torch.equal(first.out.x0_cond, records[2].out.x0_cond) == ("prompt" not in change)


def test_a_branch_takes_other_settings_another_prompt_and_goes_on_to_256(tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", steps=4, guidance=3.0)
    stored, records, result = recorded(run, tiny, tmp_path)
    changed = replace(base(run, threshold="none", guidance=9.0), prompt="a blue cube on sand")
    larger = replace(changed, stages=(changed.stages[0], *request("x", size=256).stages[1:]))
    events = list(branch(stored, 2, larger, tiny))
    results = [event for event in events if isinstance(event, StageResult)]
    assert [r.size for r in results] == [64, 256]
    assert torch.equal(events[0].z, records[2].z) and not torch.equal(results[0].image, result.image)


def test_branches_that_make_no_sense_are_refused(tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", steps=4)
    stored, _, _ = recorded(run, tiny, tmp_path)
    for wrong, field in (
        (lambda: branch(stored, 4, run, tiny), "step: must be between 1 and 4, got 5"),
        (lambda: branch(stored, -1, run, tiny), "step: must be between 1 and 4, got 0"),
        (lambda: branch(stored, 1, request("a red ball", steps=5), tiny), "steps: "),
        (lambda: branch(stored, 1, base(run, spacing="quadratic"), tiny), "spacing: "),
        (lambda: branch(stored, 1, replace(run, seed=1), tiny), "seed: "),
        (lambda: branch(replace(stored, weights="0" * 64), 1, run, tiny), "trace: .*other weights"),
        (lambda: branch(replace(stored, stages={}), 1, run, tiny), "trace: has no steps of base64"),
        (lambda: branch(stored, 1, base(run, guidance_rule="classifier"), tiny), "guidance_rule: .*no classifier"),
    ):
        with pytest.raises(UserError, match=f"^{field}"):
            wrong()


@pytest.mark.parametrize("array", ["z", "x0_raw", "x0_cond", "x0_uncond", "s"])
def test_a_trace_of_no_numbers_is_refused(array: str, tiny: Cascade, tmp_path: Path) -> None:
    stored, _, _ = recorded(request("a red ball", steps=2), tiny, tmp_path)
    stored.stages["base64"].arrays[array].view(-1)[0] = float("nan")
    trace.save(stored, tmp_path / "nan.npz")
    with pytest.raises(UserError, match="^trace: base64 holds values that are not finite"):
        trace.load(tmp_path / "nan.npz")


def edited(path: Path, **changes) -> Path:
    """A trace's file with entries of its header replaced."""
    with np.load(path) as file:
        arrays = dict(file)
    header = {**json.loads(str(arrays.pop("header"))), **changes}
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    return path


def test_a_trace_that_lies_is_refused_when_it_is_read(tiny: Cascade, tmp_path: Path) -> None:
    """Before any rule is applied to it again or any network asked: no cascade could have made these."""
    stored, _, _ = recorded(request("a red ball", steps=3), tiny, tmp_path)
    stage, path = stored.stages["base64"], tmp_path / "lie.npz"
    small = {name: x if name == "s" else x[..., :32, :32] for name, x in stage.arrays.items()}
    for lie, says in (
        (replace(stage, arrays=small), "base64/z is not of the kind and shape"),
        (replace(stage, arrays={**stage.arrays, "s": -stage.arrays["s"]}), "base64 was divided by a scale s"),
    ):
        trace.save(replace(stored, stages={"base64": lie}), path)
        with pytest.raises(UserError, match=f"^trace: {says}"):
            trace.load(path)
    levels = [[level.t, None if math.isinf(level.log_snr) else level.log_snr] for level in stage.levels]
    for wrong in (
        [*levels[:1], [0.4, 0.4], *levels[2:]],
        levels[::-1],
        levels[1:],
        [*levels, [0.0, None]],
        [[1e300, 0.0], [-1e300, 0.0], [0.5, 1e308], [7.0, 7.0]],
    ):
        trace.save(stored, path)
        with pytest.raises(UserError, match="^trace: the levels of base64 are not those of its settings"):
            trace.load(edited(path, stages={"base64": wrong}))
    for change in ({"weights": ["x"]}, {"weights": None}, {"stages": {"base64": levels, "sr256": levels}}):
        trace.save(stored, path)
        with pytest.raises(UserError, match="^trace: .* names no weights, or a stage that its settings lack"):
            trace.load(edited(path, **change))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_levels_of_every_schedule_come_back(schedule: str, spacing: str, tiny: Cascade, tmp_path: Path) -> None:
    """A cascade trained with any schedule, and levels whose last digit another machine rounds otherwise."""
    stage = tiny.stages[0]
    cascade = replace(tiny, stages=(replace(stage, spec=replace(stage.spec, schedule=schedule)), *tiny.stages[1:]))
    run = request("a red ball", steps=3, spacing=spacing)
    stored, _, _ = recorded(run, cascade, tmp_path)
    levels = stored.stages["base64"].levels
    off = [[level.t, None if math.isinf(level.log_snr) else math.nextafter(level.log_snr, 99)] for level in levels]
    assert trace.load(edited(tmp_path / "run.npz", stages={"base64": off})).stages["base64"].levels == levels
    next(branch(stored, 2, run, cascade))


def test_a_trace_of_another_schedule_than_the_cascades_is_refused(tiny: Cascade, tmp_path: Path) -> None:
    stage, run = tiny.stages[0], request("a red ball", steps=3)
    other = replace(tiny, stages=(replace(stage, spec=replace(stage.spec, schedule="linear")),))
    stored, _, _ = recorded(run, other, tmp_path)
    with pytest.raises(UserError, match="^trace: its levels are of another schedule than that of tiny"):
        branch(stored, 1, run, tiny)


def test_rules_on_a_stored_step_are_what_they_would_have_been(tiny: Cascade, tmp_path: Path) -> None:
    """From one step's estimates, to half precision, without a network: the recorded rule and any other."""
    run = request("a red ball", steps=4, guidance=6.0)
    stored, records, _ = recorded(run, tiny, tmp_path)
    for threshold in ("none", "static", "dynamic"):
        for w in (1.0, 6.0, 12.0):
            config = base(run, threshold=threshold, guidance=w).stages[0]
            # The first step's z depends on no rule, so a whole run with other rules has the same first step.
            first = next(iter(generate(replace(run, stages=(config,)), tiny)))
            ours = reapply(stored, 0, config)
            # Half precision rounds by up to 2^-12 of the value; guidance multiplies that by at most w + |w - 1|.
            error = 2**-12 * (w + abs(w - 1)) * float(first.out.x0_cond.abs().max()) + 1e-6
            assert_close(ours.x0_raw, first.out.x0_raw, atol=2 * error, rtol=0)
            assert_close(ours.s, first.out.s, atol=2 * error, rtol=0)
            assert_close(ours.x0_hat, first.out.x0_hat, atol=4 * error, rtol=0)
    later = reapply(stored, 2, run.stages[0])
    assert_close(later.x0_hat, records[2].out.x0_hat, atol=0.02, rtol=0)


def test_a_step_recorded_without_guidance_cannot_be_guided(tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", steps=3, guidance=1.0, w_schedule="constant")
    stored, _, _ = recorded(run, tiny, tmp_path)
    plain = reapply(stored, 1, base(run, threshold="static").stages[0])
    assert plain.x0_uncond is None
    with pytest.raises(UserError, match="^step: 2 was recorded at w = 1"):
        reapply(stored, 1, base(run, guidance=2.0).stages[0])


def test_steps_outside_an_interval_are_kept_apart(tiny: Cascade, tmp_path: Path) -> None:
    run = request("a red ball", steps=6, guidance=5.0, w_schedule="interval", options={"low": -1.0, "high": 2.0})
    stored, records, result = recorded(run, tiny, tmp_path)
    unguided = [record.out.x0_uncond is None for record in records]
    assert any(unguided) and not all(unguided)
    nan = stored.stages["base64"].arrays["x0_uncond"].isnan().flatten(1)
    assert nan.all(1).tolist() == unguided and nan.any(1).tolist() == unguided
    *_, end = branch(stored, 3, run, tiny)
    assert torch.equal(end.image, result.image)


@pytest.mark.parametrize("w_schedule", W_SCHEDULES)
def test_a_stopped_run_keeps_the_weights_of_the_whole(w_schedule: str, tiny: Cascade, tmp_path: Path) -> None:
    """Oscillating weights depend on how many steps there were to be; what is reapplied is what was drawn."""
    run = request("a red ball", steps=8, guidance=4.0, w_schedule=w_schedule)
    recorder = trace.Recorder(run, tiny)
    steps = list(itertools.islice(recorder.watch(generate(run, tiny)), 3))
    trace.save(recorder.trace(), tmp_path / "run.npz")
    for stored in (recorder.trace(), trace.load(tmp_path / "run.npz")):
        assert stored.stages["base64"].steps == 3
        for index, step in enumerate(steps):
            out = reapply(stored, index, run.stages[0])
            assert_close(out.x0_raw, step.out.x0_raw, atol=1e-2, rtol=0)
        with pytest.raises(UserError, match="^step: must be between 1 and 3, "):
            reapply(stored, 3, run.stages[0])
