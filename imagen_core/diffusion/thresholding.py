"""Thresholding of x0_hat: what keeps large guidance weights from burning the picture.

Training data lie in [-1, 1]; guidance pushes x0_hat outside. The network is applied to its own output, so a small
excess grows from step to step (Saharia et al. 2022, sec. 2.3).

A rule is ``(x0, ...options) -> (x0, s)``; s [b] is the scale that each image was divided by, 1 if the rule has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..types import Image

Thresholded = tuple[Image, Float[Tensor, " b"]]
# Of dynamic thresholding: Saharia et al. 2022, Fig. A.10.
PERCENTILE = 99.5


@dataclass(frozen=True)
class Threshold:
    """A threshold rule and what people are told about it.

    ``played`` says that the player in the browser knows the rule's arithmetic; of other rules it is sent the result.
    """

    fn: Callable[..., Thresholded]
    title: str
    paper: str
    help: str
    played: bool = False


def none(x0: Image) -> Thresholded:
    """Leave x0_hat as it is."""
    return x0, x0.new_ones(len(x0))


def static(x0: Image) -> Thresholded:
    """Clip to [-1, 1] (Saharia et al. 2022, sec. 2.3): stable, but every excess value becomes fully saturated."""
    return x0.clamp(-1, 1), x0.new_ones(len(x0))


def dynamic(x0: Image, *, percentile: float = PERCENTILE, cap: float = math.inf) -> Thresholded:
    """Clip to [-s, s] and divide by s, with s the ``percentile`` of each image's |x0|, at least 1, at most ``cap``.

    Saharia et al. 2022, sec. 2.3 and Fig. A.10, without a cap. Where the percentile is at most 1 this
    *is* static. DeepFloyd IF caps s at 1.5; a cap of 1, the default of diffusers, turns dynamic into static.
    """
    s = _scale(x0.abs().flatten(1), percentile / 100).clamp(max=cap)
    scale = s.reshape(-1, 1, 1, 1)
    return x0.clamp(-scale, scale) / scale, s


def channelwise(x0: Image, *, percentile: float = PERCENTILE, cap: float = math.inf) -> Thresholded:
    """Dynamic thresholding of each colour channel by itself; s is the largest of the three.

    Not from the paper: a channel that overshoots alone does not dim the others, but hues shift.
    """
    s = _scale(x0.abs().flatten(2).flatten(0, 1), percentile / 100).clamp(max=cap).reshape(-1, 3)
    scale = s[..., None, None]
    return x0.clamp(-scale, scale) / scale, s.amax(1)


def squash(x0: Image, *, knee: float = 0.8) -> Thresholded:
    """Keep |x0| up to ``knee`` and bend larger values below 1 with a tanh; our own, for comparison.

    Unlike static it keeps the order of values beyond 1; unlike dynamic it does not change the rest of the picture.
    """
    size, room = x0.abs(), 1 - knee
    bent = knee + room * torch.tanh((size - knee) / room)
    return torch.where(size <= knee, x0, x0.sign() * bent), x0.new_ones(len(x0))


THRESHOLDS: dict[str, Threshold] = {
    "none": Threshold(none, "None", "", "Leaves values outside [-1, 1] as they are.", played=True),
    "static": Threshold(
        static, "Static", "Saharia et al. 2022, sec. 2.3", "Cuts values off at -1 and 1.", played=True
    ),
    "dynamic": Threshold(
        dynamic, "Dynamic", "Saharia et al. 2022, sec. 2.3",
        "Divides the whole estimate by s, a high percentile of its values, so that shades survive.", played=True,
    ),
    "channelwise": Threshold(
        channelwise, "Channel by channel", "", "Dynamic thresholding of red, green and blue, each by its own s."
    ),
    "squash": Threshold(squash, "Squash", "", "Bends values above the knee softly towards 1 instead of cutting them."),
}  # fmt: skip


# The thresholds of other projects, by name: the rule and its options.
PRESETS: dict[str, tuple[str, dict[str, float]]] = {
    # Saharia et al. 2022, Fig. A.10.
    "paper": ("dynamic", {"percentile": PERCENTILE}),
    # lucidrains' imagen-pytorch, dynamic_thresholding_percentile = 0.95.
    "imagen-pytorch": ("dynamic", {"percentile": 95.0}),
    # DeepFloyd IF, scheduler/scheduler_config.json of stage I and II.
    "if-1": ("dynamic", {"percentile": 95.0, "cap": 1.5}),
    "if-2": ("dynamic", {"percentile": 95.0, "cap": 1.0}),
}


def _scale(size: Float[Tensor, "b n"], q: float) -> Float[Tensor, " b"]:
    """The q-quantile of each row, at least 1."""
    n = size.shape[1]
    # If too few values exceed 1, the quantile is at most 1; counting them is ten times faster than ranking.
    if not torch.compiler.is_exporting() and int((size > 1).sum(1).max()) <= n - 2 - math.floor(q * (n - 1)):
        return size.new_ones(len(size))
    return quantile(size, q).clamp_min(1.0)


def quantile(values: Float[Tensor, "b n"], q: float) -> Float[Tensor, " b"]:
    """Linearly interpolated quantile of each row, q in [0, 1].

    torch.quantile sorts all values and refuses more than 2^24; an upper quantile needs only the few largest.
    """
    n = values.shape[1]
    place = q * (n - 1)
    below = math.floor(place)
    top = values.topk(n - below, dim=1, sorted=True).values
    # At q = 1 there is one value, which is both.
    upper, lower = top[:, -2:][:, 0], top[:, -1]
    return torch.lerp(lower, upper, place - below)
