"""How the weight runs over a run: means, ends, and where the unconditional network is left alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from imagen_core.diffusion.schedules import levels, levels_at
from imagen_core.diffusion.w_schedules import W_SCHEDULES
from imagen_core.models.cascade import Cascade
from imagen_core.run.generate import generate
from imagen_core.settings import Plan, request
from imagen_core.types import StepRecord

PATH = levels("cosine", 20)[:-1]


@pytest.mark.parametrize("name", W_SCHEDULES)
def test_one_weight_for_each_level_and_off_stays_off(name: str) -> None:
    assert W_SCHEDULES[name].fn(1.0, PATH) == (1.0,) * len(PATH)
    assert len(W_SCHEDULES[name].fn(6.0, PATH)) == len(PATH)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
@given(w=st.floats(0, 30))
def test_the_mean_over_time_is_w(name: str, w: float) -> None:
    path = levels_at("cosine", tuple(1 - (i + 0.5) / 500 for i in range(500)))[:-1]
    weights = W_SCHEDULES[name].fn(w, path)
    assert_close(sum(weights) / len(weights), w, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_growing_weights_begin_off_and_end_at_twice_the_excess(name: str) -> None:
    first, *_, last = W_SCHEDULES[name].fn(5.0, levels_at("cosine", (1.0, 0.7, 0.4, 1e-6))[:-1])
    assert_close(first, 1.0)
    assert_close(last, 9.0, atol=1e-4, rtol=0)


def test_interval_guides_only_inside() -> None:
    weights = W_SCHEDULES["interval"].fn(6.0, PATH, low=-1.0, high=2.0)
    assert all((w == 6.0) == (-1 <= level.log_snr <= 2) for w, level in zip(weights, PATH))
    assert set(weights) == {1.0, 6.0}


def test_early_is_an_interval_open_on_the_noisy_side() -> None:
    assert W_SCHEDULES["early"].fn(6.0, PATH, until=1.0) == W_SCHEDULES["interval"].fn(6.0, PATH, low=-20, high=1.0)
    assert W_SCHEDULES["early"].fn(6.0, PATH)[0] == 6.0 and W_SCHEDULES["early"].fn(6.0, PATH)[-1] == 1.0


def test_oscillating_holds_and_then_alternates() -> None:
    assert W_SCHEDULES["oscillating"].fn(9.0, PATH[:8], hold=0.25, rest=2.0) == (9, 9, 2, 9, 2, 9, 2, 9)


def test_where_the_weight_is_1_the_unconditional_network_is_not_asked(tiny: Cascade) -> None:
    run = request("a red ball", steps=8, guidance=4.0, w_schedule="interval", options={"low": -1.0, "high": 2.0})
    records = [event for event in generate(run, tiny) if isinstance(event, StepRecord)]
    for record in records:
        inside = -1 <= record.now.log_snr <= 2
        assert (record.out.x0_uncond is not None) == inside
        if inside:
            assert not torch.equal(record.out.x0_raw, record.out.x0_cond)


def test_weights_follow_the_stages_own_levels(tiny: Cascade) -> None:
    config = request("x", steps=5, w_schedule="linear", times=(1.0, 0.9, 0.5, 0.3, 0.1)).stages[0]
    assert list(Plan(config, "cosine").weights) == [1 + 2 * (1 - t) * 4 for t in config.times]
