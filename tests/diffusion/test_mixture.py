"""A second exact oracle: for a mixture of two Gaussians, denoiser, classifier and guided score are closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from imagen_core.diffusion.denoiser import Rules, Second, build_denoiser
from imagen_core.diffusion.guidance import GUIDANCE
from imagen_core.diffusion.parameterization import to_eps
from imagen_core.diffusion.samplers import SAMPLERS, Start, sample, unit_noise
from imagen_core.diffusion.schedules import levels
from imagen_core.diffusion.thresholding import THRESHOLDS
from imagen_core.types import Conditioning, Denoised, Level, StageSpec, TextEmbedding

MEANS, SHARES, SPREAD = torch.tensor([-0.6, 0.5]), torch.tensor([0.3, 0.7]), 0.1
SHAPE = (3, 96, 96)


def log_densities(z: torch.Tensor, level: Level) -> torch.Tensor:
    """log p(z, k) of each value for both components k, as a last dimension: N(alpha mean, alpha² spread² + sigma²)."""
    variance = level.alpha**2 * SPREAD**2 + level.sigma**2
    distance = z[..., None] - level.alpha * MEANS.to(z)
    return -(distance**2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance) + SHARES.to(z).log()


def estimates(z: torch.Tensor, level: Level) -> torch.Tensor:
    """E[x | z, k] of each value for both components, as a last dimension."""
    gain = level.alpha * SPREAD**2 / (level.alpha**2 * SPREAD**2 + level.sigma**2)
    return MEANS.to(z) + gain * (z[..., None] - level.alpha * MEANS.to(z))


def mixture(z: torch.Tensor, level: Level) -> torch.Tensor:
    """E[x | z]: both estimates, each by how likely its component is."""
    return (log_densities(z, level).softmax(-1) * estimates(z, level)).sum(-1)


@dataclass(frozen=True)
class Oracle:
    """The network that predicts x0 exactly: rows with a text know that x is of component 1, rows without do not."""

    def prepare(self, text: TextEmbedding) -> torch.Tensor:
        return (text.tokens * text.mask[..., None]).sum((1, 2)) > 0

    def __call__(self, z, log_snr, context, low_res=None, aug_level=None) -> torch.Tensor:
        level = Level(0.5, float(log_snr[0]))
        known = context.reshape(-1, 1, 1, 1)
        return torch.where(known, estimates(z, level)[..., 1], mixture(z, level))


SPEC = StageSpec("base64", 64, None, "cosine", "x0")
TEXT = TextEmbedding(torch.ones(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))
PLAIN = Rules(GUIDANCE["cfg"], THRESHOLDS["none"])


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_mixtures_shares_means_and_spread(name: str) -> None:
    def denoise(z: torch.Tensor, level: Level, **_: int) -> Denoised:
        x0 = mixture(z, level)
        return Denoised(x0, x0, x0, x0, None, torch.ones(len(z)))

    def noise(index: int) -> torch.Tensor:
        return unit_noise((0,), f"step {index}", SHAPE)

    path = levels("cosine", 100)
    *_, last = sample(SAMPLERS[name], denoise, Start(unit_noise((0,), "z", SHAPE)), path, noise, stage="test")
    x = last.out.x0_hat
    upper = x > 0
    assert_close(upper.float().mean().item(), float(SHARES[1]), atol=0.02, rtol=0)
    for k, part in enumerate((x[~upper], x[upper])):
        assert_close(part.mean().item(), float(MEANS[k]), atol=0.01, rtol=0)
        assert_close(part.std().item(), SPREAD, atol=0.02, rtol=0)


@pytest.mark.parametrize("log_snr", [-6.0, -1.0, 2.0, 5.0])
@pytest.mark.parametrize("w", [0.0, 1.0, 3.0, 8.0])
def test_the_guided_score_is_its_closed_form(w: float, log_snr: float) -> None:
    """eps~ = -sigma grad log [p(z | c)^w p(z)^(1 - w)], the paper's eq. 2 in terms of densities."""
    level = Level(0.5, log_snr)
    z = torch.randn(1, 3, 8, 8, dtype=torch.float64).requires_grad_()
    log_p = log_densities(z, level)
    # The share of component 1 is a constant factor of p(z | c): no matter to the gradient.
    log_tilted = w * log_p[..., 1] + (1 - w) * log_p.logsumexp(-1)
    (score,) = torch.autograd.grad(log_tilted.sum(), z)
    z = z.detach()
    out = build_denoiser(Oracle(), Conditioning(TEXT), SPEC, PLAIN, (w,))(z, level)
    assert_close(to_eps(out.x0_raw.double(), z, level.alpha, level.sigma), -level.sigma * score, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("log_snr", [-6.0, -1.0, 2.0])
@pytest.mark.parametrize("w", [0.0, 1.0, 4.0])
def test_guidance_by_an_exact_classifier_is_classifier_free_guidance(w: float, log_snr: float) -> None:
    """grad log p(c | z) = grad log p(z | c) - grad log p(z): both guidances follow the same score."""
    level = Level(0.5, log_snr)
    z = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def steer(z: torch.Tensor, level: Level) -> torch.Tensor:
        z = z.requires_grad_()
        (gradient,) = torch.autograd.grad(log_densities(z, level).log_softmax(-1)[..., 1].sum(), z)
        return gradient

    by_classifier = Rules(GUIDANCE["classifier"], THRESHOLDS["none"])
    second = Second(steer=steer)
    ours = build_denoiser(Oracle(), Conditioning(TEXT), SPEC, by_classifier, (w,), second=second)(z.clone(), level)
    free = build_denoiser(Oracle(), Conditioning(TEXT), SPEC, PLAIN, (w,))(z, level)
    assert_close(ours.x0_raw.detach(), free.x0_raw, rtol=1e-3, atol=1e-4)
