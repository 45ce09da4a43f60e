"""How the guidance weight runs over a run: ``(w, levels, ...options)`` → one weight for each level of a step.

Guidance helps most while the layout of the picture forms, and can harm before and after. Wang et al. 2024 (arXiv
2404.13040) find that weights which grow during sampling are better than constant ones; Kynkäänniemi et al. 2024 (arXiv
2404.07724) find the same for guidance in a band of noise levels.

``levels`` are those of the steps, from noise to nearly clean. A weight of 1 is off (guidance.Guide.off_at). Rules that
are not off at 1 (cfgpp, classifier) take the constant schedule only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..types import Choice, Level

Weights = tuple[float, ...]


def constant(w: float, levels: Sequence[Level]) -> Weights:
    """The same weight at every step, as in Imagen (Saharia et al. 2022, sec. 2.2)."""
    return (w,) * len(levels)


def linear(w: float, levels: Sequence[Level]) -> Weights:
    """From off at t = 1 up to ``2 w - 1`` at t = 0: ``1 + 2 (1 - t) (w - 1)``, whose mean over t is w (2404.13040).

    The mean over few trailing steps is less: 4.8 for w = 5 in 25 of them, 4.0 in 4. Below w = 1/2 it ends negative.
    """
    return tuple(1 + 2 * (1 - level.t) * (w - 1) for level in levels)


def cosine(w: float, levels: Sequence[Level]) -> Weights:
    """As linear, but flat at both ends: ``1 + (1 + cos(pi t)) (w - 1)``, whose mean over t is w (2404.13040)."""
    return tuple(1 + (1 + math.cos(math.pi * level.t)) * (w - 1) for level in levels)


def interval(w: float, levels: Sequence[Level], *, low: float = -4.0, high: float = 4.0) -> Weights:
    """Guide only where ``low <= log_snr <= high``, elsewhere off (2404.07724; the band is our choice)."""
    return tuple(w if low <= level.log_snr <= high else 1.0 for level in levels)


def early(w: float, levels: Sequence[Level], *, until: float = -2.0) -> Weights:
    """Guide while ``log_snr <= until``, then stop: interval with its noisy end open (2404.07724).

    Colours, shapes and places are decided at high noise. At low noise guidance only sharpens what is there: it dents
    outlines and burns colours. The default is our choice, of three ends that were measured (docs/LOG.md).
    """
    return tuple(w if level.log_snr <= until else 1.0 for level in levels)


def oscillating(w: float, levels: Sequence[Level], *, hold: float = 0.2, rest: float = 1.0) -> Weights:
    """w for the first ``hold`` of the steps, then ``rest`` and w by turns (Imagen Video, Ho et al. 2022, 2210.02303).

    Imagen Video alternates a high and a low weight to keep the alignment of the high one without its saturation. The
    defaults here are our choice.
    """
    held = math.ceil(hold * len(levels))
    return tuple(w if i < held or (i - held) % 2 else rest for i in range(len(levels)))


W_SCHEDULES: dict[str, Choice] = {
    "constant": Choice(
        constant, "Constant", "Saharia et al. 2022, sec. 2.2", "The same weight at every step."
    ),
    "linear": Choice(
        linear, "Linear", "Wang et al. 2024, arXiv 2404.13040",
        "Grows in a straight line from off to about twice the weight; the mean over time is w.",
    ),
    "cosine": Choice(
        cosine, "Cosine", "Wang et al. 2024, arXiv 2404.13040",
        "Grows like linear, but slowly at both ends; the mean over time is w.",
    ),
    "interval": Choice(
        interval, "Interval", "Kynkäänniemi et al. 2024, arXiv 2404.07724",
        "Guides only while log_snr is between low and high; elsewhere guidance is off.",
    ),
    "early": Choice(
        early, "Early", "Kynkäänniemi et al. 2024, arXiv 2404.07724",
        "Guides in the first, noisy steps only. Then guidance is off.",
    ),
    "oscillating": Choice(
        oscillating, "Oscillating", "Ho et al. 2022, arXiv 2210.02303",
        "Holds w for the first steps, then switches between rest and w at every step.",
    ),
}  # fmt: skip
