"""Bootstrap intervals (Efron 1979): how much a share would vary over other prompts of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """A share of right pictures, or a mean score, with its interval, over so many ``pictures``."""

    value: float
    low: float
    high: float
    pictures: int


def share(right: Sequence[float], groups: Sequence[str]) -> Share:
    """The mean of ``right`` (1 or 0, or any score) and its percentile interval over ``groups``, not over pictures.

    Pictures of one prompt tend to succeed or fail together. So the bootstrap draws prompts with replacement, each with
    all its pictures. If all pictures are right, or all wrong, the interval has no width.
    """
    if not right:
        raise ValueError("right: a share needs at least one picture")
    names = sorted(set(groups))
    number = {name: i for i, name in enumerate(names)}
    rights, counts = np.zeros(len(names)), np.zeros(len(names))
    for value, group in zip(right, groups):
        rights[number[group]] += value
        counts[number[group]] += 1
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    shares = (draws @ rights) / (draws @ counts)
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Share(float(np.mean(right)), float(low), float(high), len(right))
