"""Samplers: one loop, many steps. A step reaches the network only through ``denoise(z, level) -> Denoised``.

A step is ``(denoise, z, now, next, noise, past) -> (z_next, Denoised)``. ``noise()`` is the step's fresh unit noise.
``past`` holds the records before this one, the latest last: as many as the sampler's ``history`` says, fewer at the
start. All arithmetic is float32 or better.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..types import Denoise, Denoised, Image, Level, StepRecord
from .parameterization import Scale, to_eps

Noise = Callable[[], Image]
# The largest sigma / alpha at which Heun's method is used: EDM starts there.
HEUN_FROM = 80.0
Step = Callable[..., tuple[Image, Denoised]]
Past = tuple[StepRecord, ...]


@dataclass(frozen=True)
class Sampler:
    """A sampler's step, what people are told about it, and what the engine must know of it.

    ``evaluations(now, next)`` counts a step's calls of the denoiser; those after the first are at the next level
    (``ahead=1``). ``history`` is how many records before a step it needs. ``renoises`` says that it uses
    Denoised.x0_renoise, ``deterministic`` that it adds no fresh noise at its default options.
    """

    fn: Step
    title: str
    paper: str
    help: str
    evaluations: Callable[[Level, Level], int] = lambda now, next: 1
    history: int = 0
    renoises: bool = False
    deterministic: bool = False


@dataclass(frozen=True)
class Start:
    """Where the loop begins: with ``z`` [b, c, h, w] at step ``index``, after the records of ``past``, the latest last.

    ``memory`` is what guidance remembers of the steps before (guidance.py).
    """

    z: Image
    index: int = 0
    past: Past = ()
    memory: Any = None


def ddim(
    denoise: Denoise,
    z: Image,
    now: Level,
    next: Level,
    noise: Noise,
    past: Past,
    *,
    eta: float = 0.0,
) -> tuple[Image, Denoised]:
    """DDIM: ``z_s = alpha_s x0_hat + sqrt(sigma_s^2 - fresh^2) eps_hat + fresh eps`` (Song, Meng, Ermon 2021, eq. 12).

    ``fresh = eta (sigma_s / sigma_t) sqrt(1 - alpha_t^2 / alpha_s^2)``: eta = 0 is deterministic, eta = 1 is DDPM with
    its small variance. eps_hat is recomputed from the thresholded x0_hat, so that the two agree with z.
    """
    out = denoise(z, now)
    eps = to_eps(out.x0_renoise, z, now.alpha, now.sigma)
    if eta == 0:
        return next.alpha * out.x0_hat + next.sigma * eps, out
    fresh = eta * (next.sigma / now.sigma) * math.sqrt(1 - (now.alpha / next.alpha) ** 2)
    # The difference is never negative, but rounding may make it so where alpha_t is almost 0.
    z_next = next.alpha * out.x0_hat + math.sqrt(max(0.0, next.sigma**2 - fresh**2)) * eps
    return (z_next + fresh * noise() if fresh > 0 else z_next), out


def ancestral(
    denoise: Denoise,
    z: Image,
    now: Level,
    next: Level,
    noise: Noise,
    past: Past,
    *,
    gamma: float = 0.3,
) -> tuple[Image, Denoised]:
    """The stochastic sampler of DDPM in continuous time (Saharia et al. 2022, App. A, eq. 6; Ho et al. 2020).

    ``z_s = mu + sqrt(var_small^(1 - gamma) var_large^gamma) eps``: gamma in [0, 1] interpolates the log of DDPM's two
    variances. The paper gives no value; 0.3 is our choice. A network that learned gamma, such as DeepFloyd IF, gives
    one for each pixel (Nichol & Dhariwal 2021, eq. 15), and the option has no effect.
    """
    out = denoise(z, now)
    # 1 - exp(log_snr_t - log_snr_s): the share of the noise at t that is not in z at s.
    fresh = -math.expm1(now.log_snr - next.log_snr)
    mean = (1 - fresh) * (next.alpha / now.alpha) * z + fresh * next.alpha * out.x0_hat
    if next.sigma == 0:
        return mean, out
    small, large = fresh * next.sigma**2, fresh * now.sigma**2
    if out.gamma is None:
        return mean + math.sqrt(small ** (1 - gamma) * large**gamma) * noise(), out
    log_variance = math.log(small) + out.gamma * math.log(large / small)
    return mean + (log_variance / 2).exp() * noise(), out


def dpmpp_2m(denoise: Denoise, z: Image, now: Level, next: Level, noise: Noise, past: Past) -> tuple[Image, Denoised]:
    """DPM-Solver++(2M): second order from the step before (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

    With half log-SNR ``lambda`` and ``h = lambda_s - lambda_t``:
    ``z_s = (sigma_s / sigma_t) z - alpha_s (exp(-h) - 1) D``, D extrapolated from the last two x0_hat.
    The step to the clean image is first order: its result is exactly x0_hat.
    """
    out = denoise(z, now)
    d = out.x0_hat
    if past and not next.clean:
        r = (now.log_snr - past[-1].now.log_snr) / (next.log_snr - now.log_snr)
        d = d + (d - past[-1].out.x0_hat) / (2 * r)
    shrink = expm1((now.log_snr - next.log_snr) / 2)
    # This step keeps the noise of z; a rule that re-noises from another estimate (CFG++) shifts that noise.
    z_next = (next.sigma / now.sigma) * (z + now.alpha * (out.x0_hat - out.x0_renoise)) - next.alpha * shrink * d
    return z_next, out


def dpmpp_2m_sde(
    denoise: Denoise, z: Image, now: Level, next: Level, noise: Noise, past: Past
) -> tuple[Image, Denoised]:
    """The stochastic form of DPM-Solver++(2M) (arXiv 2211.01095, sec. 5 and App. A; midpoint variant).

    With ``h`` as in :func:`dpmpp_2m`:
    ``z_s = (sigma_s / sigma_t) exp(-h) z + alpha_s (1 - exp(-2h)) D + sigma_s sqrt(1 - exp(-2h)) eps``.
    """
    out = denoise(z, now)
    d = out.x0_hat
    if next.sigma == 0:
        return d, out
    h = (next.log_snr - now.log_snr) / 2
    if past:
        d = d + (d - past[-1].out.x0_hat) * h / (now.log_snr - past[-1].now.log_snr)
    fresh = -math.expm1(-2 * h)
    kept = (next.sigma / now.sigma) * math.exp(-h)
    return kept * z + next.alpha * fresh * d + next.sigma * math.sqrt(fresh) * noise(), out


def heun(denoise: Denoise, z: Image, now: Level, next: Level, noise: Noise, past: Past) -> tuple[Image, Denoised]:
    """Heun's method, two evaluations a step (Karras et al. 2022, arXiv 2206.00364, algorithm 1).

    On ``y = z / alpha`` and ``r = sigma / alpha`` the flow is ``dy/dr = (y - x0_hat) / r``; its slopes at both ends are
    averaged. The step to the clean image is Euler's: its result is exactly x0_hat. Steps from above HEUN_FROM are
    Euler's too: the average would multiply an error of x0_hat by r / r_next.
    """
    out = denoise(z, now)
    if next.sigma == 0:
        return next.alpha * out.x0_hat, out
    y, r, r_next = z / now.alpha, now.sigma / now.alpha, next.sigma / next.alpha
    slope = (y - out.x0_hat) / r
    euler = y + (r_next - r) * slope
    if not averages(now, next):
        return next.alpha * euler, out
    slope_next = (euler - denoise(next.alpha * euler, next, ahead=1).x0_hat) / r_next
    return next.alpha * (y + (r_next - r) * (slope + slope_next) / 2), out


def expm1(x: Scale) -> Scale:
    """``exp(x) - 1`` of a number, or of a tensor where a step is exported as a graph (export/rules.py)."""
    return x.expm1() if isinstance(x, Tensor) else math.expm1(x)


def averages(now: Level, next: Level) -> bool:
    """Whether Heun's method evaluates at both ends of a step."""
    return next.sigma > 0 and now.sigma / now.alpha <= HEUN_FROM


SAMPLERS: dict[str, Sampler] = {
    "dpmpp_2m": Sampler(
        dpmpp_2m, "DPM-Solver++(2M)", "Lu et al. 2022, arXiv 2211.01095",
        "Second order from the step before; good pictures in 15 to 25 steps.",
        history=1, renoises=True, deterministic=True,
    ),
    "dpmpp_2m_sde": Sampler(
        dpmpp_2m_sde, "DPM-Solver++(2M) SDE", "Lu et al. 2022, arXiv 2211.01095",
        "DPM-Solver++(2M) with fresh noise at every step.",
        history=1,
    ),
    "heun": Sampler(
        heun, "Heun", "Karras et al. 2022, arXiv 2206.00364",
        "Second order from two evaluations a step, so a step takes twice as long.",
        evaluations=lambda now, next: 1 + averages(now, next), deterministic=True,
    ),
    "ddim": Sampler(
        ddim, "DDIM", "Song et al. 2021, arXiv 2010.02502",
        "First order; eta adds fresh noise.",
        renoises=True, deterministic=True,
    ),
    "ancestral": Sampler(
        ancestral, "Ancestral (DDPM)", "Ho et al. 2020, arXiv 2006.11239",
        "The paper's sampler: fresh noise at every step, so it needs many steps.",
    ),
}  # fmt: skip


def sample(
    sampler: Sampler,
    denoise: Denoise,
    start: Start,
    levels: Sequence[Level],
    noise: Callable[[int], Image],
    *,
    stage: str,
) -> Iterator[StepRecord]:
    """The one sampling loop: from ``start`` along the ``levels`` of the whole run, a record for each step.

    ``noise(i)`` is the fresh unit noise of step i. The last ``out.x0_hat`` is the picture.
    """
    z, past = start.z, deque(start.past, maxlen=sampler.history)
    for index, (now, next) in enumerate(pairwise(levels[start.index :]), start=start.index):
        z_next, out = sampler.fn(partial(denoise, step=index), z, now, next, partial(noise, index), tuple(past))
        record = StepRecord(stage, index, now, next, z, out)
        yield record
        past.append(record)
        z = z_next


def unit_noise(seeds: Sequence[int], stream: str, shape: tuple[int, ...]) -> Image:
    """Unit noise [b, *shape], with one generator for each image, seeded by (seed, stream) alone.

    A picture depends neither on its batch nor on earlier draws, so a run can resume at any step, and all devices draw
    the same noise.
    """
    generators = (torch.Generator().manual_seed(_seed(seed, stream)) for seed in seeds)
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def _seed(seed: int, stream: str) -> int:
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
