"""Schedules, parameterizations, augmentation: the identities the rest stands on."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from imagen_core.diffusion.augmentation import aug_sigma, aug_snr, augment, resize
from imagen_core.diffusion.parameterization import PREDICTIONS, to_eps
from imagen_core.diffusion.schedules import (
    LOG_SNR_MAX,
    SCHEDULES,
    SPACINGS,
    alpha_sigma,
    level_at,
    levels,
    levels_at,
    time_of,
)
from imagen_core.types import Level, UserError

times = st.floats(0, 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(t=times)
def test_scales_are_variance_preserving(schedule: str, t: float) -> None:
    level = level_at(schedule, t)
    assert math.isclose(level.alpha**2 + level.sigma**2, 1, rel_tol=1e-12)
    alpha, sigma = alpha_sigma(SCHEDULES[schedule].fn(torch.tensor([t], dtype=torch.float64)))
    assert_close(alpha.item(), level.alpha)
    assert_close(sigma.item(), level.sigma)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_log_snr_falls_and_is_bounded(schedule: str) -> None:
    log_snr = SCHEDULES[schedule].fn(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert (log_snr.diff() <= 0).all() and (log_snr[5:].diff() < 0).all()
    assert log_snr[0] <= LOG_SNR_MAX + 1e-9 and log_snr[-1] < -7


@pytest.mark.parametrize("size", [256, 1024])
def test_a_shifted_cosine_has_the_cosines_log_snr_when_shrunk_to_64(size: int) -> None:
    """Averaging n × n pixels divides the noise's variance by n²: alpha² / (sigma² / n²) at 64 is the base's SNR."""
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    alpha, sigma = alpha_sigma(SCHEDULES[f"cosine_for_{size}"].fn(t))
    shrunk = torch.log(alpha**2 / (sigma / (size // 64)) ** 2)
    assert_close(shrunk, SCHEDULES["cosine"].fn(t))


def test_cosine_is_the_cosine() -> None:
    """Away from its squeezed ends, alpha is cos(pi t / 2)."""
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    alpha, sigma = alpha_sigma(SCHEDULES["cosine"].fn(t))
    assert_close(alpha, torch.cos(math.pi * t / 2), atol=1e-3, rtol=0)
    assert_close(sigma, torch.sin(math.pi * t / 2), atol=1e-3, rtol=0)


def test_linear_agrees_with_diffusers() -> None:
    """The continuous form runs through DDPM's discrete alpha-bar."""
    from diffusers import DDPMScheduler

    peer = DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    t = (torch.arange(100, 1000, 50) + 1) / 1000
    alpha, _ = alpha_sigma(SCHEDULES["linear"].fn(t.double()))
    assert_close(alpha.float() ** 2, peer.alphas_cumprod[100::50], rtol=0.07, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 7, 250])
def test_levels_go_from_noise_to_clean(schedule: str, spacing: str, steps: int) -> None:
    path = levels(schedule, steps, spacing)
    assert len(path) == steps + 1
    assert (path[0].t == 1 or spacing == "leading") and path[-1].sigma == 0 and path[-1].alpha == 1
    assert all(a.log_snr < b.log_snr for a, b in itertools.pairwise(path))


@pytest.mark.parametrize(("spacing", "peer"), [("trailing", "trailing"), ("uniform", "linspace")])
def test_spacings_agree_with_diffusers(spacing: str, peer: str) -> None:
    """Its timestep k, of 0 to 999, is our t = (k + 1) / 1000."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(1000, timestep_spacing=peer)
    scheduler.set_timesteps(20)
    ours = torch.tensor([level.t for level in levels("cosine", 20, spacing)[:-1]])
    assert_close(ours, (scheduler.timesteps + 1) / 1000, atol=6e-4, rtol=0)


def test_levels_may_be_given_outright() -> None:
    path = levels_at("cosine", (1.0, 0.5, 0.1))
    assert [level.t for level in path] == [1.0, 0.5, 0.1, 0.0] and path[-1].sigma == 0
    assert math.isclose(path[1].log_snr, 0.0, abs_tol=1e-9)
    for wrong in ((), (0.5, 0.6), (0.5, 0.5), (1.1, 0.5), (0.5, 0.0), (math.nan,)):
        with pytest.raises(UserError, match="^times: "):
            levels_at("cosine", wrong)
    # Times that fall, but where the schedule is clipped, or ends in float64: a sampler would divide by nothing.
    for schedule, near in (("linear", (1.0, 0.5, 2e-6, 1e-6)), ("cosine", (1.0, 0.5, 1e-21, 1e-22))):
        with pytest.raises(UserError, match=f"^times: .* {schedule} has the same noise"):
            levels_at(schedule, near)


def test_log_snr_spacing_is_uniform_in_log_snr() -> None:
    path = levels("cosine", 9, "log_snr")
    steps = torch.tensor([level.log_snr for level in path[:-1]]).diff()
    assert_close(steps, torch.full((8,), steps.mean().item()), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_late_spacing_begins_with_noise_and_goes_on_where_detail_shows(schedule: str) -> None:
    path = levels(schedule, 6, "late")
    assert path[0].t == 1
    assert_close([level.log_snr for level in path[1:-1]], [1.4, 2.8, 4.2, 5.6, 7.0], atol=1e-6, rtol=0)


@given(log_snr=st.floats(-9, 9))
def test_time_of_inverts_the_schedule(log_snr: float) -> None:
    assert math.isclose(level_at("cosine", time_of("cosine", log_snr)).log_snr, log_snr, abs_tol=1e-6)


def test_level_survives_the_extremes() -> None:
    assert Level(0.0, math.inf).alpha == 1 and Level(0.0, math.inf).sigma == 0
    assert Level(1.0, -2000.0).alpha == 0 and Level(1.0, -2000.0).sigma == 1


@pytest.mark.parametrize("wrong", [("sine", 5, "trailing"), ("cosine", 0, "trailing"), ("cosine", 5, "odd")])
def test_levels_refuse_nonsense(wrong: tuple) -> None:
    with pytest.raises(UserError, match=r"^(schedule|steps|spacing): "):
        levels(*wrong)


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize("log_snr", [-8.0, -1.0, 0.0, 3.0, 8.0])
def test_predicting_the_target_gives_x_back(name: str, log_snr: float) -> None:
    x, eps = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64)
    level = Level(0.5, log_snr)
    z = level.alpha * x + level.sigma * eps
    rule = PREDICTIONS[name]
    x0 = rule.to_x0(rule.target(x, eps, level.alpha, level.sigma), z, level.alpha, level.sigma)
    assert_close(x0, x)
    assert_close(to_eps(x0, z, level.alpha, level.sigma), eps)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_guiding_any_prediction_is_guiding_x0(name: str) -> None:
    """Mixing with weights w and 1 - w commutes with the change of parameterization (before thresholding)."""
    cond, uncond, z = torch.randn(3, 2, 3, 4, 4, dtype=torch.float64)
    level, w = Level(0.5, -1.3), 7.0
    to_x0 = PREDICTIONS[name].to_x0
    mixed = to_x0(w * cond + (1 - w) * uncond, z, level.alpha, level.sigma)
    a, b = (to_x0(p, z, level.alpha, level.sigma) for p in (cond, uncond))
    assert_close(mixed, w * a + (1 - w) * b)


def test_augmentation_is_exact_at_both_ends() -> None:
    x, noise = torch.randn(2, 2, 3, 8, 8)
    assert torch.equal(augment(x, 0.0, noise), x)
    assert_close(augment(x, 1.0, noise), noise, atol=1e-6, rtol=0)
    assert aug_sigma(0) == 0 and aug_snr(0) == math.inf


@given(a=st.floats(1e-3, 1))
def test_augmentation_preserves_variance(a: float) -> None:
    one, zero = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    alpha, sigma = augment(one, a, zero).mean().item(), augment(zero, a, one).mean().item()
    assert math.isclose(alpha**2 + sigma**2, 1, abs_tol=1e-6)
    assert math.isclose(sigma, aug_sigma(a), abs_tol=1e-6)
    assert math.isclose(alpha**2, aug_snr(a) * sigma**2, abs_tol=1e-5)


def test_augmentation_takes_a_level_for_each_example() -> None:
    x, noise = torch.randn(2, 3, 3, 8, 8)
    together = augment(x, torch.tensor([0.0, 0.3, 1.0]), noise)
    for i, a in enumerate((0.0, 0.3, 1.0)):
        assert_close(together[i : i + 1], augment(x[i : i + 1], a, noise[i : i + 1]))


def test_resize_keeps_the_mean_and_undoes_a_repeat() -> None:
    x = torch.randn(1, 3, 16, 16)
    assert_close(resize(x, 4).mean(), x.mean())
    assert torch.equal(resize(x, 16), x)
    assert_close(resize(x.repeat_interleave(4, 2).repeat_interleave(4, 3), 16), x)
    assert resize(x, 64).shape == (1, 3, 64, 64)
