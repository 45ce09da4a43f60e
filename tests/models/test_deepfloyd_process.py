"""DeepFloyd IF's noise: schedules, timesteps and augmentation are those of diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from imagen_core.diffusion.augmentation import aug_timestep, augment, resize
from imagen_core.diffusion.schedules import DISCRETE, SCHEDULES, alpha_sigma, levels, timestep_of


@pytest.mark.parametrize("schedule", DISCRETE)
def test_schedules_and_timesteps_are_diffusers(schedule: str) -> None:
    from diffusers import DDPMScheduler

    peer = DDPMScheduler(1000, 1e-4, 0.02, beta_schedule=schedule)
    t = (torch.arange(1000).double() + 1) / 1000
    alpha, _ = alpha_sigma(SCHEDULES[schedule].fn(t))
    # The peer's last beta of 0.999 is rounded to float32, which moves 1 - beta by 5e-5 of itself.
    assert_close(alpha.float() ** 2, peer.alphas_cumprod, rtol=2e-5, atol=0)
    assert timestep_of(schedule, SCHEDULES[schedule].fn(t).float()).tolist() == list(range(1000))
    for spacing, theirs in (("leading", "leading"), ("trailing", "trailing")):
        peer = DDPMScheduler(1000, beta_schedule=schedule, timestep_spacing=theirs)
        for steps in (5, 20, 50, 7) if spacing == "leading" else (5, 20, 50):
            peer.set_timesteps(steps)
            told = torch.tensor([level.log_snr for level in levels(schedule, steps, spacing)[:-1]])
            assert timestep_of(schedule, told).tolist() == peer.timesteps.tolist()


def test_between_timesteps_the_network_is_told_a_fraction() -> None:
    between = SCHEDULES["squaredcos_cap_v2"].fn(torch.tensor([0.5004], dtype=torch.float64))
    assert_close(timestep_of("squaredcos_cap_v2", between), torch.tensor([499.4], dtype=torch.float64))
    # Beyond its ends, as with another schedule's levels, it is told the nearest it knows.
    assert timestep_of("squaredcos_cap_v2", torch.tensor([30.0, -40.0])).tolist() == [0, 999]


def test_augmentation_is_the_noising_schedulers() -> None:
    """One whole level, the same noise, and bilinear enlargement from corner to corner."""
    from diffusers import DDPMScheduler

    x, noise = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 16, 16)
    larger = torch.nn.functional.interpolate(x, (16, 16), mode="bilinear", align_corners=True)
    assert_close(resize(x, 16, "deepfloyd"), larger)
    peer = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    for level, whole in ((0.0, 0), (0.1, 100), (0.25, 250), (1.0, 999)):
        assert int(aug_timestep(torch.tensor(level))) == whole
        theirs = peer.add_noise(larger, noise, torch.tensor([whole, whole]))
        assert_close(augment(larger, level, noise, "deepfloyd"), theirs, atol=1e-5, rtol=1e-4)
