"""Samplers: one loop, many steps. A step sees the network only through ``denoise(z, level) -> Denoised``.

A step is ``(denoise, z, now, next, noise, past) -> (z_next, Denoised)``: ``noise()`` draws fresh unit noise and
``past`` is the record before this one, None at the start. All arithmetic is float32 or better.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch

from .parameterization import to_eps
from .types import Denoise, Denoised, Image, Level, StepRecord

Noise = Callable[[], Image]
Step = Callable[..., tuple[Image, Denoised]]


def ddim(
    denoise: Denoise, z: Image, now: Level, next: Level, noise: Noise, past: StepRecord | None
) -> tuple[Image, Denoised]:
    """Deterministic DDIM: ``z_s = alpha_s x0_hat + sigma_s eps_hat`` (Song et al. 2021, eq. 12 with eta = 0).

    eps_hat is recomputed from the thresholded x0_hat, so that both belong to the same z.
    """
    out = denoise(z, now)
    eps = to_eps(out.x0_renoise, z, now.alpha, now.sigma)
    return next.alpha * out.x0_hat + next.sigma * eps, out


def ancestral(
    denoise: Denoise,
    z: Image,
    now: Level,
    next: Level,
    noise: Noise,
    past: StepRecord | None,
    *,
    gamma: float = 0.3,
) -> tuple[Image, Denoised]:
    """The stochastic sampler of DDPM in continuous time (Saharia et al. 2022, App. B, eq. 4-5; Ho et al. 2020).

    ``z_s = mu + sqrt(var_small^(1 - gamma) var_large^gamma) eps``: gamma in [0, 1] interpolates the log of DDPM's
    two variances. The default 0.3 is our choice; the paper tunes it per experiment.
    """
    out = denoise(z, now)
    # 1 - exp(log_snr_t - log_snr_s): how much of the noise at t is not yet there at s.
    fresh = -math.expm1(now.log_snr - next.log_snr)
    mean = (1 - fresh) * (next.alpha / now.alpha) * z + fresh * next.alpha * out.x0_hat
    if next.sigma == 0:
        return mean, out
    small, large = fresh * next.sigma**2, fresh * now.sigma**2
    return mean + math.sqrt(small ** (1 - gamma) * large**gamma) * noise(), out


def dpmpp_2m(
    denoise: Denoise, z: Image, now: Level, next: Level, noise: Noise, past: StepRecord | None
) -> tuple[Image, Denoised]:
    """DPM-Solver++(2M): second order from the step before (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

    With half log-SNR ``lambda`` and ``h = lambda_s - lambda_t``:
    ``z_s = (sigma_s / sigma_t) z - alpha_s (exp(-h) - 1) D``, D extrapolated from the last two x0_hat.
    The step to the clean image is first order, where it is exactly x0_hat.
    """
    out = denoise(z, now)
    d = out.x0_hat
    if past is not None and math.isfinite(next.log_snr):
        r = (now.log_snr - past.now.log_snr) / (next.log_snr - now.log_snr)
        d = d + (d - past.out.x0_hat) / (2 * r)
    shrink = math.expm1((now.log_snr - next.log_snr) / 2)
    # Re-noising comes from z itself; a rule that re-noises from elsewhere (CFG++) moves z's share of the noise.
    z_next = (next.sigma / now.sigma) * (z + now.alpha * (out.x0_hat - out.x0_renoise)) - next.alpha * shrink * d
    return z_next, out


SAMPLERS: dict[str, Step] = {"dpmpp_2m": dpmpp_2m, "ddim": ddim, "ancestral": ancestral}


def sample(
    step: Step,
    denoise: Denoise,
    z: Image,
    levels: Sequence[Level],
    noise: Noise,
    *,
    stage: str,
    past: StepRecord | None = None,
) -> Iterator[StepRecord]:
    """The one sampling loop: from ``z`` at ``levels[0]`` to the last level, a record for each step.

    ``past``, the record of the step before ``levels[0]``, resumes a run. The last ``out.x0_hat`` is the picture.
    """
    index = 0 if past is None else past.index + 1
    for offset, (now, next) in enumerate(pairwise(levels)):
        z_next, out = step(denoise, z, now, next, noise, past)
        past = StepRecord(stage, index + offset, now, next, z, out)
        yield past
        z = z_next


def noise_source(
    seeds: Sequence[int], stream: str, shape: tuple[int, ...], device: str | torch.device = "cpu"
) -> Noise:
    """Unit noise [b, *shape] from one generator per image, seeded by (seed, stream) alone.

    A picture then depends neither on its batch nor on what other stages draw, and devices see the same noise.
    """
    generators = [torch.Generator().manual_seed(_seed(seed, stream)) for seed in seeds]

    def noise() -> Image:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)

    return noise


def _seed(seed: int, stream: str) -> int:
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
