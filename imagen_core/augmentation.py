"""Noise-conditioning augmentation of the low-resolution image (Saharia et al. 2022, sec. 2.5; Ho et al. 2022).

A super-resolution model is trained on, and told the level of, a corrupted input, so that it forgives the
artefacts of the stage before it. The corruption is variance preserving: ``alpha x + sigma eps`` with
``alpha = cos(pi a / 2)``, ``sigma = sin(pi a / 2)`` (our choice: exact at both ends, so level 0 is the identity).
The paper's best samples lie at aug_level 0.1 to 0.3.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def resize(x: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 s s"]:
    """A square picture at another size: by area going down, bilinear going up, in training and sampling alike."""
    if size == x.shape[-1]:
        return x
    if size < x.shape[-1]:
        return F.interpolate(x, size=(size, size), mode="area")
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def augment(
    x: Float[Tensor, "b 3 h w"], aug_level: float | Float[Tensor, " b"], noise: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Corrupt ``x`` at ``aug_level`` in [0, 1]: one level for all, or one for each example."""
    angle = torch.as_tensor(aug_level, dtype=torch.float64, device=x.device) * (math.pi / 2)
    alpha, sigma = (a.to(x.dtype).reshape(-1, 1, 1, 1) for a in (angle.cos(), angle.sin()))
    return alpha * x + sigma * noise


def aug_sigma(aug_level: float) -> float:
    """The standard deviation of the noise at a level: what the number on the slider really does."""
    return math.sin(math.pi * aug_level / 2)


def aug_snr(aug_level: float) -> float:
    """Signal-to-noise ratio ``alpha^2 / sigma^2`` at a level; infinite at 0."""
    # Below 1e-150 the ratio is beyond the largest float.
    return math.inf if aug_level < 1e-150 else math.tan(math.pi * aug_level / 2) ** -2
