"""What a network predicts (eps, v or x0), and how x0 follows from it.

All three are linear in each other at a given z and level: ``z = alpha x + sigma eps``, ``v = alpha eps - sigma x``
(Ho et al. 2020; Salimans & Ho 2022, App. D). Scales are floats or tensors that broadcast against the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Scale = float | Tensor


@dataclass(frozen=True)
class Prediction:
    """``to_x0(prediction, z, alpha, sigma)`` and the training ``target(x, eps, alpha, sigma)``."""

    to_x0: Callable[[Tensor, Tensor, Scale, Scale], Tensor]
    target: Callable[[Tensor, Tensor, Scale, Scale], Tensor]


PREDICTIONS = {
    "eps": Prediction(lambda eps, z, alpha, sigma: (z - sigma * eps) / alpha, lambda x, eps, alpha, sigma: eps),
    "v": Prediction(
        lambda v, z, alpha, sigma: alpha * z - sigma * v,
        lambda x, eps, alpha, sigma: alpha * eps - sigma * x,
    ),
    "x0": Prediction(lambda x0, z, alpha, sigma: x0, lambda x, eps, alpha, sigma: x),
}


def to_eps(x0: Tensor, z: Tensor, alpha: Scale, sigma: Scale) -> Tensor:
    """The noise that an estimate of x implies: ``(z - alpha x0) / sigma``; sigma must not be 0."""
    return (z - alpha * x0) / sigma
