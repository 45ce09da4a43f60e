"""Noise-conditioning augmentation of the low-resolution image (Saharia et al. 2022, sec. 2.4; Ho et al. 2022).

A super-resolution model is trained on a corrupted input and is given the level of the corruption. It then tolerates
the artefacts of the stage before it. The corruption is variance preserving: ``alpha x + sigma eps``. The paper's best
samples have an aug_level of 0.1 to 0.3; the same number means different noise in different models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from .schedules import SCHEDULES, TRAIN_STEPS, alpha_sigma

Scales = tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]


def aug_timestep(aug_level: Float[Tensor, "*b"]) -> Int[Tensor, "*b"]:
    """The timestep, 0 to 999, of an aug_level in models of discrete timesteps."""
    return (aug_level.double() * (TRAIN_STEPS - 1)).round().long()


def _cosine(aug_level: Float[Tensor, "*b"]) -> Scales:
    """``alpha = cos(pi a / 2)``, ``sigma = sin(pi a / 2)``: our choice, exact at both ends: level 0 is the identity."""
    angle = aug_level * (math.pi / 2)
    return angle.cos(), angle.sin()


def _discrete(schedule: str, aug_level: Float[Tensor, "*b"]) -> Scales:
    """The scales of a discrete schedule at its nearest timestep; level 0 has a little noise too."""
    return alpha_sigma(SCHEDULES[schedule].fn((aug_timestep(aug_level).double() + 1) / TRAIN_STEPS))


@dataclass(frozen=True)
class Augmentation:
    """How a stage's low-resolution image was prepared in training: noised by ``scales(aug_level) -> (alpha, sigma)``.

    ``corners`` says whether bilinear enlargement keeps the centres of the corner pixels in place.
    """

    scales: Callable[[Tensor], Scales]
    corners: bool = False


# By name, as StageSpec.augmentation says it.
AUGMENTATIONS = {
    "cosine": Augmentation(_cosine),
    "deepfloyd": Augmentation(partial(_discrete, "squaredcos_cap_v2"), corners=True),
    "upscaler": Augmentation(partial(_discrete, "scaled_linear")),
}


def resize(x: Float[Tensor, "b 3 h w"], size: int, kind: str = "cosine") -> Float[Tensor, "b 3 s s"]:
    """A square picture at another size: averaged by area when smaller, bilinear when larger."""
    if size == x.shape[-1]:
        return x
    if size < x.shape[-1]:
        return F.interpolate(x, size=(size, size), mode="area")
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=AUGMENTATIONS[kind].corners)


def augment(
    x: Float[Tensor, "b 3 h w"],
    aug_level: float | Float[Tensor, " b"],
    noise: Float[Tensor, "b 3 h w"],
    kind: str = "cosine",
) -> Float[Tensor, "b 3 h w"]:
    """Corrupt ``x`` at ``aug_level`` in [0, 1]: one level for all, or one for each example."""
    level = torch.as_tensor(aug_level, dtype=torch.float64, device=x.device)
    alpha, sigma = (a.to(x.dtype).reshape(-1, 1, 1, 1) for a in AUGMENTATIONS[kind].scales(level))
    return alpha * x + sigma * noise


def aug_sigma(aug_level: float, kind: str = "cosine") -> float:
    """The standard deviation of the noise at a level."""
    return float(AUGMENTATIONS[kind].scales(torch.tensor(aug_level, dtype=torch.float64))[1])


def aug_snr(aug_level: float, kind: str = "cosine") -> float:
    """Signal-to-noise ratio ``alpha^2 / sigma^2`` at a level; infinite where there is no noise."""
    alpha, sigma = (float(a) for a in AUGMENTATIONS[kind].scales(torch.tensor(aug_level, dtype=torch.float64)))
    # Below 1e-150 the ratio is beyond the largest float.
    return math.inf if sigma < 1e-150 else (alpha / sigma) ** 2


def bicubic(x: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Enlarged to ``size`` without a model, within [-1, 1]: the baseline of super-resolution."""
    return F.interpolate(x, size=(size, size), mode="bicubic").clamp(-1, 1)
