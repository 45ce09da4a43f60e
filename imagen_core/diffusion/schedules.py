"""Noise schedules: t in [0, 1] → log_snr, from (nearly) clean at 0 to (nearly) pure noise at 1.

``z_t = alpha x + sigma eps``, ``alpha^2 = sigmoid(log_snr)``, ``sigma^2 = sigmoid(-log_snr)`` (Kingma et al. 2021).
Imagen uses cosine for the base and 64 → 256, linear for 256 → 1024 (Saharia et al. 2022).
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..types import Choice, Level, UserError

# Our choice: beyond ±15 the picture, or the noise, is less than a tenth of one of 256 grey values (2 / 255).
LOG_SNR_MAX = 15.0


def cosine(t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """``-2 log tan(pi t / 2)``, with t squeezed so that log_snr runs from 15 to -15 (Ho & Salimans 2022, sec. 2)."""
    low = math.atan(math.exp(-LOG_SNR_MAX / 2))
    high = math.atan(math.exp(LOG_SNR_MAX / 2))
    return -2 * torch.log(torch.tan(low + t * (high - low)))


def linear(t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """DDPM's beta from 1e-4 to 0.02 over 1000 steps, in continuous time (Song et al., arXiv 2011.13456, eq. 32-33).

    ``alpha^2 = exp(-(beta_0 t + (beta_1 - beta_0) t^2 / 2))`` with beta_0 = 0.1, beta_1 = 20; clipped at 15.
    """
    exponent = 0.1 * t + 0.5 * (20 - 0.1) * t * t
    return -torch.log(torch.expm1(exponent).clamp_min(math.exp(-LOG_SNR_MAX)))


def shifted_cosine(t: Float[Tensor, "*b"], size: int) -> Float[Tensor, "*b"]:
    """Cosine moved to more noise for a larger picture: ``cosine(t) + 2 log(64 / size)``.

    Averaging neighbours removes noise but leaves the picture, so at a given log_snr a larger picture keeps more of its
    content. The shift gives every size the same log_snr after shrinking to 64 (Hoogeboom et al. 2023, arXiv 2301.11093,
    sec. 3.1).
    """
    return cosine(t) + 2 * math.log(64 / size)


TRAIN_STEPS = 1000


def _squaredcos_cap_v2() -> Float[Tensor, " n"]:
    """``alpha^2 = cos^2((t + s) / (1 + s) pi / 2)``, s = 0.008, beta at most 0.999 (Nichol & Dhariwal 2021, eq. 17)."""
    t = torch.arange(TRAIN_STEPS + 1, dtype=torch.float64) / TRAIN_STEPS
    alpha2 = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - alpha2[1:] / alpha2[:-1]).clamp_max(0.999)


def _scaled_linear() -> Float[Tensor, " n"]:
    """Square roots of beta in equal steps, from 1e-4 to 0.02 (the x4 upscaler of Stable Diffusion)."""
    return torch.linspace(1e-4**0.5, 0.02**0.5, TRAIN_STEPS, dtype=torch.float64) ** 2


def _table(betas: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
    """log_snr before the first and after each of DDPM's discrete steps, ``alpha^2 = prod(1 - beta)``."""
    log_alpha2 = torch.log1p(-betas).cumsum(0)
    return torch.cat([betas.new_tensor([LOG_SNR_MAX]), log_alpha2 - torch.log(-torch.expm1(log_alpha2))])


# Schedules of networks that know whole timesteps 0 to 999 only, by diffusers' names: timestep n is t = (n + 1) / 1000.
DISCRETE = {"squaredcos_cap_v2": _table(_squaredcos_cap_v2()), "scaled_linear": _table(_scaled_linear())}


def _discrete(table: Float[Tensor, " m"], t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The table's log_snr at t, linear between timesteps."""
    place = t.double() * TRAIN_STEPS
    below = place.floor().clamp(0, TRAIN_STEPS - 1).long()
    values = table.to(t.device)
    return torch.lerp(values[below], values[below + 1], place - below).to(t.dtype)


def timestep_of(schedule: str, log_snr: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The timestep at ``log_snr``, for networks of a discrete schedule; a fraction between two timesteps."""
    table, places = DISCRETE[schedule].flip(0).numpy(), np.arange(TRAIN_STEPS - 1, -2, -1)
    n = torch.from_numpy(np.interp(log_snr.double().cpu().numpy(), table, places))
    # log_snr is float32: round back to whole timesteps.
    return torch.where((n - n.round()).abs() < 1e-3, n.round(), n).clamp_min(0).to(log_snr)


SCHEDULES: dict[str, Choice] = {
    "cosine": Choice(cosine, "Cosine", "Nichol & Dhariwal 2021, arXiv 2102.09672", "Noise grows as a cosine of time."),
    "linear": Choice(
        linear, "Linear", "Ho et al. 2020, arXiv 2006.11239", "DDPM's schedule: noise comes earlier than in the cosine."
    ),
    "cosine_for_256": Choice(
        partial(shifted_cosine, size=256), "Cosine for 256", "Hoogeboom et al. 2023, arXiv 2301.11093",
        "The cosine with more noise, so that 256 pixels lose as much as 64 do.",
    ),
    "cosine_for_1024": Choice(
        partial(shifted_cosine, size=1024), "Cosine for 1024", "Hoogeboom et al. 2023, arXiv 2301.11093",
        "The cosine with more noise, so that 1024 pixels lose as much as 64 do.",
    ),
    "squaredcos_cap_v2": Choice(
        partial(_discrete, DISCRETE["squaredcos_cap_v2"]), "Cosine of DeepFloyd IF",
        "Nichol & Dhariwal 2021, arXiv 2102.09672", "The cosine in 1000 whole timesteps, as diffusers has it.",
    ),
    "scaled_linear": Choice(
        partial(_discrete, DISCRETE["scaled_linear"]), "Scaled linear", "Rombach et al. 2022, arXiv 2112.10752",
        "The schedule of Stable Diffusion, in 1000 whole timesteps.",
    ),
}  # fmt: skip


def alpha_sigma(log_snr: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Signal and noise scale of a log_snr; their squares sum to one."""
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def level_at(schedule: str, t: float) -> Level:
    """The level of a time in [0, 1], computed in float64."""
    return Level(t, float(SCHEDULES[schedule].fn(torch.tensor(t, dtype=torch.float64))))


def time_of(schedule: str, log_snr: float) -> float:
    """The time at which a schedule reaches ``log_snr``: bisection, since every schedule falls monotonically."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if level_at(schedule, middle).log_snr > log_snr:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _trailing(schedule: str, steps: int) -> list[float]:
    """Equal steps in t, the last of which ends at the clean picture: ``t = 1 - i / n``.

    "Trailing" in diffusers' words: pure noise is always among the levels (Lin et al. 2023, arXiv 2305.08891, sec. 3.3).
    """
    return [1 - i / steps for i in range(steps)]


def _uniform(schedule: str, steps: int) -> list[float]:
    """Levels at equal distances from t = 1 to t = 0.001, both among them: "linspace" in diffusers' words.

    0.001 is the cleanest of DDPM's 1000 levels; from there to the clean picture is one more, very small, step.
    """
    return [1 - 0.999 * i / max(1, steps - 1) for i in range(steps)]


def _log_snr(schedule: str, steps: int) -> list[float]:
    """Equal steps in log_snr, from t = 1 to the cleanest level a picture of 8 bits can tell from clean.

    The last level before the clean one is at log_snr 10 where the schedule reaches it: sigma = 0.0067, less than one of
    256 grey values.
    """
    return _equal(schedule, steps, level_at(schedule, 1.0).log_snr, min(10.0, level_at(schedule, 1e-4).log_snr))


# The detail that a super-resolution stage adds has a root mean square of 0.04 to 0.08; it shows above log_snr 0.
LATE = 0.0, 7.0


def _late(schedule: str, steps: int) -> list[float]:
    """Pure noise, then equal steps in log_snr above 0, to 7: for super-resolution, our choice.

    The low-resolution image gives the coarse picture at every level. At noisier levels the detail that it lacks is
    hidden, so steps there add nothing (docs/LOG.md).
    """
    return _equal(schedule, steps, *LATE)


def _equal(schedule: str, steps: int, first: float, last: float) -> list[float]:
    """t = 1 in place of ``first``, which is not visited, then what follows in equal steps of log_snr to ``last``."""
    return [1.0, *(time_of(schedule, first + (last - first) * i / max(1, steps - 1)) for i in range(1, steps))]


def _quadratic(schedule: str, steps: int) -> list[float]:
    """Steps that shrink towards the clean end, t = (1 - i / n)^2 (Song, Meng, Ermon 2021, App. D.2)."""
    return [(1 - i / steps) ** 2 for i in range(steps)]


def _leading(schedule: str, steps: int) -> list[float]:
    """Every k-th of DDPM's 1000 timesteps, counted from 0: what diffusers and DeepFloyd IF do by default.

    Its first level is cleaner than t = 1, and much cleaner where steps does not divide 1000.
    """
    return [((steps - 1 - i) * (TRAIN_STEPS // steps) + 1) / TRAIN_STEPS for i in range(steps)]


SPACINGS: dict[str, Choice] = {
    "trailing": Choice(
        _trailing, "Trailing", "Lin et al. 2023, arXiv 2305.08891", "Equal steps in time, from pure noise to clean."
    ),
    "uniform": Choice(
        _uniform, "Uniform", "", "Equal steps in time from pure noise to almost clean, then one very small step."
    ),
    "log_snr": Choice(_log_snr, "Log-SNR", "", "Equal steps in log_snr, from pure noise to almost clean."),
    "quadratic": Choice(
        _quadratic, "Quadratic", "Song et al. 2021, arXiv 2010.02502", "Steps become smaller towards the clean end."
    ),
    "late": Choice(
        _late, "Late", "", "One step from pure noise, then equal steps in log_snr above 0; for super-resolution."
    ),
    "leading": Choice(
        _leading, "Leading", "", "Every k-th of 1000 timesteps, as in DeepFloyd IF; starts below pure noise."
    ),
}  # fmt: skip


@lru_cache(maxsize=256)
def levels(schedule: str, steps: int, spacing: str = "trailing") -> tuple[Level, ...]:
    """The ``steps + 1`` levels a sampler visits: from t = 1 down to exactly clean (sigma = 0).

    Only "leading" begins below t = 1, although z is pure noise there too.
    On a discrete schedule "leading" visits whole timesteps, and "trailing" where ``steps`` divides 1000.

    Raises:
        UserError: unknown schedule or spacing, or fewer than one step.
    """
    if schedule not in SCHEDULES:
        raise UserError(f"schedule: {schedule!r} is not one of {', '.join(SCHEDULES)}")
    if spacing not in SPACINGS:
        raise UserError(f"spacing: {spacing!r} is not one of {', '.join(SPACINGS)}")
    if steps < 1:
        raise UserError(f"steps: must be at least 1, got {steps}")
    return levels_at(schedule, tuple(SPACINGS[spacing].fn(schedule, steps)))


@lru_cache(maxsize=256)
def levels_at(schedule: str, times: tuple[float, ...]) -> tuple[Level, ...]:
    """The levels at ``times``, and the clean one after them.

    Raises:
        UserError: as for :func:`check_times`, or times that the schedule cannot tell apart.
    """
    check_times(times)
    path = [level_at(schedule, t) for t in times]
    # Schedules are clipped, and float64 is finite: no sampler can step between two equal levels.
    if any(a.log_snr >= b.log_snr for a, b in pairwise(path)):
        raise UserError(f"times: are so near each other that {schedule} has the same noise at two of them")
    return (*path, Level(0.0, math.inf))


def check_times(times: tuple[float, ...]) -> None:
    """Refuse times that no schedule can visit.

    Raises:
        UserError: there are none, they do not fall, or one is not in (0, 1].
    """
    if not times or not all(0 < t <= 1 for t in times) or any(a <= b for a, b in pairwise(times)):
        raise UserError("times: must fall from at most 1, and stay above 0")
