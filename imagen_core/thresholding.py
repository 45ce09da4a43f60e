"""Thresholding of x0_hat: what keeps large guidance weights from burning the picture.

Training data lie in [-1, 1]; guidance pushes x0_hat outside, and since the network is applied to its own output,
a small excess grows from step to step (Saharia et al. 2022, sec. 2.3).

A rule is ``(x0, ...options) -> (x0, s)``, with s [b] the scale it divided each image by.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .types import Image

Thresholded = tuple[Image, Float[Tensor, " b"]]


def none(x0: Image) -> Thresholded:
    """Leave x0_hat as it is."""
    return x0, x0.new_ones(len(x0))


def static(x0: Image) -> Thresholded:
    """Clip to [-1, 1] (Saharia et al. 2022, sec. 2.3): stable, but every excess value becomes fully saturated."""
    return x0.clamp(-1, 1), x0.new_ones(len(x0))


def dynamic(x0: Image, *, percentile: float = 99.5) -> Thresholded:
    """Clip to [-s, s] and divide by s, with s the ``percentile`` of each image's |x0|, at least 1.

    Saharia et al. 2022, sec. 2.3 and App. A.10; p = 99.5 there. Where the percentile is at most 1 this *is* static.
    """
    s = quantile(x0.abs().flatten(1), percentile / 100).clamp_min(1.0)
    scale = s.reshape(-1, 1, 1, 1)
    return x0.clamp(-scale, scale) / scale, s


THRESHOLDS: dict[str, Callable[..., Thresholded]] = {"none": none, "static": static, "dynamic": dynamic}


def quantile(values: Float[Tensor, "b n"], q: float) -> Float[Tensor, " b"]:
    """Linearly interpolated quantile of each row, q in [0, 1].

    torch.quantile sorts everything and refuses more than 2^24 elements; an upper quantile needs only the few
    largest values.
    """
    n = values.shape[1]
    place = q * (n - 1)
    below = math.floor(place)
    top = values.topk(n - below, dim=1, sorted=True).values
    lower = top[:, -1]
    upper = top[:, -2] if below + 1 < n else lower
    return torch.lerp(lower, upper, place - below)
