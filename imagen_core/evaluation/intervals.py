"""Intervals by bootstrap and jackknife: how much a score would vary over other prompts of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95
# Groups of a jackknife, and the normal quantile of LEVEL.
GROUPS = 20
NORMAL = 1.96


@dataclass(frozen=True)
class Share:
    """A share of right pictures, or a mean score, with its interval, over so many ``pictures``."""

    value: float
    low: float
    high: float
    pictures: int


def share(right: Sequence[float], groups: Sequence[str]) -> Share:
    """The mean of ``right`` (1 or 0, or any score) and its percentile interval over ``groups``, not over pictures.

    Pictures of one prompt tend to succeed or fail together. So the bootstrap (Efron 1979) draws prompts with
    replacement, each with all its pictures. If all pictures are right, or all wrong, the interval has no width.
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


def jackknife(value_of: Callable[[np.ndarray], float], count: int) -> Share:
    """A value of ``count`` pictures and its interval by the delete-a-group jackknife (Kott 2001).

    ``value_of`` gets the numbers of the pictures that count. For a Fréchet distance, which the repeated pictures of a
    bootstrap would enlarge.
    """
    groups = np.arange(count) % GROUPS
    whole = value_of(np.arange(count))
    parts = np.array([value_of(np.flatnonzero(groups != group)) for group in range(GROUPS)])
    error = np.sqrt((GROUPS - 1) / GROUPS * np.square(parts - parts.mean()).sum())
    return Share(whole, whole - NORMAL * error, whole + NORMAL * error, count)
