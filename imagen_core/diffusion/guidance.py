"""Guidance: how the conditional and the unconditional estimate of x are combined.

Imagen guides eps: ``eps~ = w eps(z, c) + (1 - w) eps(z)`` (Saharia et al. 2022, eq. 2). At a given z and level,
eps, v and x0 are affine in each other. An affine map commutes with any mix whose weights sum to 1, as w and 1 - w do:
guiding x0 is the same, before thresholding.

A rule is ``(cond, uncond, *, memory, w, ...options) -> (guided, memory)``; memory is None to begin with.
How w runs over a run is w_schedules.py's matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..types import Image


def cfg(cond: Image, uncond: Image, *, memory: Any = None, w: float = 5.0) -> tuple[Image, Any]:
    """Classifier-free guidance in the paper's form: w = 1 is off (Ho & Salimans 2022; Saharia et al. 2022, eq. 2)."""
    return uncond + w * (cond - uncond), memory


def rescale(cond: Image, uncond: Image, *, memory: Any = None, w: float = 5.0, phi: float = 0.7) -> tuple[Image, Any]:
    """Pull the guided spread back towards the conditional one's (Lin et al. 2023, arXiv 2305.08891, eq. 15-16).

    They rescale the network's output; unlike the mix, a spread depends on the parameterization, and here it is x0's.
    """
    guided, _ = cfg(cond, uncond, w=w)
    ratio = cond.flatten(1).std(1) / guided.flatten(1).std(1).clamp_min(1e-8)
    return guided * (phi * ratio + 1 - phi).reshape(-1, 1, 1, 1), memory


def apg(
    cond: Image,
    uncond: Image,
    *,
    memory: Tensor | None = None,
    w: float = 5.0,
    momentum: float = -0.5,
    radius: float = 0.1,
    parallel: float = 0.0,
) -> tuple[Image, Tensor]:
    """Adaptive projected guidance on x0: ``cond + (w - 1) (d_orthogonal + parallel d_parallel)``.

    The difference ``d = cond - uncond`` gets a (reverse) ``momentum``, at most ``radius`` of length, and only
    ``parallel`` times its part along cond, the part that saturates (Sadat et al. 2024, arXiv 2410.02416, alg. 1).
    Lengths are root mean squares, so that radius means the same at any size; 0.1 is our choice.
    """
    memory = cond - uncond if memory is None else cond - uncond + momentum * memory
    size = memory.square().mean((1, 2, 3), keepdim=True).sqrt()
    d = memory * (radius / size.clamp_min(1e-8)).clamp_max(1.0)
    share = (d * cond).sum((1, 2, 3), keepdim=True) / cond.square().sum((1, 2, 3), keepdim=True).clamp_min(1e-8)
    return cond + (w - 1) * (d + (parallel - 1) * share * cond), memory


def cfgpp(cond: Image, uncond: Image, *, memory: Any = None, w: float = 0.6) -> tuple[Image, Any]:
    """CFG++: ``uncond + w (cond - uncond)`` with w in [0, 1], their lambda (Chung et al. 2024, arXiv 2406.08070).

    The step then re-noises from the *unconditional* estimate (Denoised.x0_renoise), which keeps z on its manifold.
    """
    return cfg(cond, uncond, w=w)[0], memory


def classifier(cond: Image, uncond: Image, *, memory: Any = None, w: float = 5.0) -> tuple[Image, Any]:
    """Classifier guidance (Dhariwal & Nichol 2021, arXiv 2105.05233, sec. 4): :func:`cfg`'s mix, from another source.

    ``cond`` is Bayes' estimate from a classifier's gradient (denoiser.build_denoiser), so w is their gradient scale:
    w = 0 is off and w = 1 is Bayes' rule. The network never sees the text.
    """
    return cfg(cond, uncond, w=w)[0], memory


GUIDANCE: dict[str, Callable[..., tuple[Tensor, Any]]] = {
    "cfg": cfg,
    "rescale": rescale,
    "apg": apg,
    "cfgpp": cfgpp,
    "classifier": classifier,
}
# Rules that re-noise from the unconditional estimate, which they therefore need at any w.
RENOISE_UNCOND = frozenset({"cfgpp"})
# Rules whose conditional estimate comes from a classifier, not from the text.
BY_CLASSIFIER = frozenset({"classifier"})


def w_from_ho(w_prime: float) -> float:
    """Ho & Salimans write ``(1 + w') eps(z, c) - w' eps(z)``: their w' = 0 is off, ours is w = 1 + w'."""
    return 1.0 + w_prime


def is_off(w: float) -> bool:
    """Whether a weight asks for the conditional estimate alone, so that the unconditional one need not be made."""
    return math.isclose(w, 1.0, abs_tol=1e-9)
