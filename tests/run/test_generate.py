"""The whole way: same seed, same picture, whatever the batch and the other stages do; and traces of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_tiny
from torch.testing import assert_close

from imagen_core.diffusion.augmentation import resize
from imagen_core.diffusion.samplers import SAMPLERS
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.records import trace
from imagen_core.run.experiments import compare, make_sweep
from imagen_core.run.generate import check, generate
from imagen_core.settings import DEFAULTS, Request, defaults_at, request, with_stage
from imagen_core.types import StageResult, StepRecord, UserError

QUICK = tuple(replace(config, steps=3) for config in DEFAULTS.values())
BASE = Request("a red ball", 5, 1, QUICK[:1])
TO_256 = Request("a red ball", 5, 1, QUICK[:2])


def results(asked: Request, cascade: Cascade, **kwargs) -> list[StageResult]:
    return [event for event in generate(asked, cascade, **kwargs) if isinstance(event, StageResult)]


def test_events_come_in_order(tiny: Cascade) -> None:
    events = list(generate(TO_256, tiny))
    assert [type(event) for event in events] == [*[StepRecord] * 3, StageResult] * 2
    assert [event.stage for event in events] == ["base64"] * 4 + ["sr256"] * 4
    assert events[3].image.shape == (1, 3, 64, 64) and events[7].image.shape == (1, 3, 256, 256)
    assert events[7].low_res.shape == (1, 3, 256, 256) and events[3].low_res is None
    assert all(float(event.image.abs().max()) <= 1 for event in (events[3], events[7]))


def test_all_three_sizes(tiny: Cascade) -> None:
    small = tuple(replace(config, steps=1) for config in QUICK)
    assert [r.size for r in results(Request("a red ball", 5, 1, small), tiny)] == [64, 256, 1024]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_does_not_depend_on_its_batch(tiny: Cascade, sampler: str) -> None:
    asked = with_stage(TO_256, 64, sampler=sampler)
    together = results(replace(asked, count=2), tiny)
    alone = results(replace(asked, seed=6), tiny)
    for both, one in zip(together, alone):
        # With torch 2.8 one value in 12,288 differs by 1.5e-4 under Heun.
        assert_close(both.image[1:], one.image, atol=2e-4, rtol=0)


def test_a_stage_does_not_depend_on_the_others_draws(tiny: Cascade) -> None:
    """More ancestral noise in the base leaves all noise of the super-resolution stage as it was."""
    found = []
    for steps in (2, 5):
        asked = with_stage(with_stage(TO_256, 64, sampler="ancestral", steps=steps), 256, aug_level=0.3)
        events = list(generate(asked, tiny))
        base, later = (event for event in events if isinstance(event, StageResult))
        sigma = tiny.stage(256).aug_sigma(0.3)
        start = next(event.z for event in events if isinstance(event, StepRecord) and event.stage == "sr256")
        found.append((start, (later.low_res - math.sqrt(1 - sigma**2) * resize(base.image, 256)) / sigma))
        # Nor are the two of the same stream.
        assert abs(float((start * found[-1][1]).mean())) < 0.1
    assert torch.equal(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1], atol=1e-4, rtol=0)


def test_upscaling_later_is_upscaling_at_once(tiny: Cascade) -> None:
    at_once = results(TO_256, tiny)
    later = results(TO_256, tiny, image=results(BASE, tiny)[0].image)
    assert len(later) == 1 and torch.equal(later[0].image, at_once[1].image)


def test_aug_level_zero_gives_the_clean_input(tiny: Cascade) -> None:
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    clean = results(with_stage(TO_256, 256, aug_level=0.0), tiny, image=image)[0]
    assert torch.equal(clean.low_res, resize(image, 256))
    noisy = [results(with_stage(TO_256, 256, aug_level=a), tiny, image=image)[0].low_res for a in (0.1, 0.3)]
    distance = [float((low_res - clean.low_res).std()) for low_res in noisy]
    assert 0 < distance[0] < distance[1]


def test_rules_side_by_side_start_from_the_same_noise(tiny: Cascade) -> None:
    rows = list(compare([with_stage(BASE, 64, threshold=rule) for rule in ("none", "dynamic")], tiny))
    first = rows[0]
    assert torch.equal(first[0].z, first[1].z) and torch.equal(first[0].out.x0_raw, first[1].out.x0_raw)
    assert isinstance(rows[-1][0], StageResult) and len(rows) == 4
    with pytest.raises(UserError, match="^steps: "):
        compare([BASE, with_stage(BASE, 64, steps=4)], tiny)
    with pytest.raises(UserError, match="^runs: there must be one at least"):
        compare([], tiny)
    with pytest.raises(UserError, match="^aug_levels: there must be one at least"):
        make_sweep(request("a ball", size=256), [])


def test_what_a_cascade_lacks_is_refused_before_any_work(tmp_path: Path) -> None:
    small = load_cascade(write_tiny(tmp_path, ("base",)))
    with pytest.raises(UserError, match=r"^size: 256 is not offered by tiny; it has 64"):
        generate(TO_256, small)
    with pytest.raises(UserError, match=r"^image: "):
        generate(BASE, small, image=torch.zeros(1, 3, 48, 48))


def test_times_that_another_schedule_cannot_tell_apart_are_traced(tiny: Cascade) -> None:
    stage, run = tiny.stages[0], request("a ball", times=(1.0, 0.5, 2e-6, 1e-6))
    other = replace(tiny, stages=(replace(stage, spec=replace(stage.spec, schedule="cosine_for_256")),))
    recorder = trace.Recorder(run, other)
    steps = [e for e in recorder.watch(generate(run, other)) if not isinstance(e, StageResult)]
    assert recorder.trace().stages["base64"].levels[2] == steps[2].now


def test_times_too_near_for_a_stages_own_schedule_are_refused_before_any_work(tiny: Cascade) -> None:
    """Settings know no cascade: that the trained schedule has one level for two times shows only here."""
    stage = tiny.stages[0]
    linear = replace(tiny, stages=(replace(stage, spec=replace(stage.spec, schedule="linear")),))
    with pytest.raises(UserError, match="^times: "):
        generate(request("a ball", times=(1.0, 0.5, 2e-6, 1e-6)), linear)


def test_closing_the_generator_stops_the_run(tiny: Cascade) -> None:
    run = generate(BASE, tiny)
    next(run)
    run.close()
    assert torch.is_grad_enabled()
    assert list(run) == []


def test_a_trace_comes_back(tiny: Cascade, tmp_path: Path) -> None:
    recorder = trace.Recorder(TO_256, tiny)
    events = list(recorder.watch(generate(TO_256, tiny)))
    trace.save(recorder.trace(), tmp_path / "run.npz")
    back = trace.load(tmp_path / "run.npz")
    assert back.request == TO_256 and back.weights == tiny.digest and set(back.stages) == {"base64", "sr256"}
    base = back.stages["base64"]
    assert [level.log_snr for level in base.levels] == [e.now.log_snr for e in events[:3]] + [float("inf")]
    for i in range(3):
        assert torch.equal(base.arrays["z"][i], events[i].z)
        assert_close(base.arrays["x0_raw"][i].float(), events[i].out.x0_raw, atol=1e-2, rtol=1e-2)
        assert torch.equal(base.arrays["s"][i], events[i].out.s)


def test_a_stopped_run_is_a_shorter_trace(tiny: Cascade, tmp_path: Path) -> None:
    recorder = trace.Recorder(BASE, tiny)
    events = recorder.watch(generate(BASE, tiny))
    next(events)
    events.close()
    assert len(recorder.trace().stages["base64"].arrays["z"]) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all"])
def test_what_is_no_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"^trace: .*not a readable trace"):
        trace.load(tmp_path / "x.npz")


def test_a_damaged_trace_is_read_or_refused(tiny: Cascade, tmp_path: Path) -> None:
    recorder = trace.Recorder(BASE, tiny)
    for _ in recorder.watch(generate(BASE, tiny)):
        pass
    path = tmp_path / "run.npz"
    trace.save(recorder.trace(), path)
    whole = path.read_bytes()
    random, refused = np.random.default_rng(0), 0
    for place in [*range(60), *random.integers(0, len(whole), 150), *range(len(whole) - 400, len(whole), 5)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            trace.load(path)
        except UserError:
            refused += 1
    assert refused > 20


def test_arrays_that_do_not_fit_together_are_refused(tiny: Cascade, tmp_path: Path) -> None:
    recorder = trace.Recorder(BASE, tiny)
    for _ in recorder.watch(generate(BASE, tiny)):
        pass
    made = recorder.trace()
    arrays = made.stages["base64"].arrays
    for wrong in ({"z": arrays["z"][..., :8]}, {"s": arrays["s"][:, :0]}, {"x0_raw": arrays["x0_raw"][:, :, :2]}):
        broken = replace(made.stages["base64"], arrays={**arrays, **wrong})
        trace.save(replace(made, stages={"base64": broken}), tmp_path / "x.npz")
        with pytest.raises(UserError, match="^trace: "):
            trace.load(tmp_path / "x.npz")


def test_a_pickle_in_a_trace_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(UserError, match="^trace: "):
        trace.load(tmp_path / "x.npz")


def test_defaults() -> None:
    """The one table of defaults: steps, weights, rule, percentile and aug_level of each stage."""
    asked = request("x", size=1024)
    assert [(s.size, s.steps, s.guidance, s.threshold, s.percentile, s.aug_level) for s in asked.stages] == [
        (64, 25, 5.0, "dynamic", 99.5, None),
        (256, 8, 1.0, "dynamic", 99.5, 0.1),
        (1024, 6, 1.0, "dynamic", 99.5, 0.1),
    ]


def test_stages_of_another_cascade_with_some_of_its_sizes_are_refused(tmp_path: Path) -> None:
    """64 is this one's first super-resolution stage; 16 → 128 would leave a stage out; a base may be missing."""
    own = load_cascade(write_tiny(tmp_path / "own", sizes=(16, 64, 128)))
    skipping = request("a cube", size=128, defaults=defaults_at((16, 128)))
    for asked in (request("a cube"), skipping):
        with pytest.raises(UserError, match="^size: tiny draws 16 → 64 → 128, each stage from the one before, not"):
            check(asked, own)
    check(request("a cube", size=128, defaults=own.defaults), own)
    begun = load_cascade(write_tiny(tmp_path / "begun", ("sr256",), (16, 64)))
    with pytest.raises(UserError, match="^size: tiny draws 16 → 64, each stage from the one before, not 64"):
        check(request("a cube"), begun)
