"""KID: against the double sum that defines it, without bias, and from the true pictures themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from imagen_core.evaluation.kid import kid, squared_mmd


def features(n: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_it_is_the_double_sum_of_the_definition() -> None:
    """The sums over pairs of different pictures, written out (Bińkowski et al. 2018, sec. 4)."""
    a, b = features(7, 0).tolist(), features(5, 1, 0.5).tolist()

    def k(x: list[float], y: list[float]) -> float:
        return (sum(p * q for p, q in zip(x, y)) / len(x) + 1) ** 3

    def within(xs: list[list[float]]) -> float:
        pairs = [k(x, y) for i, x in enumerate(xs) for j, y in enumerate(xs) if i != j]
        return sum(pairs) / len(pairs)

    across = sum(k(x, y) for x in a for y in b) / (len(a) * len(b))
    expected = within(a) + within(b) - 2 * across
    assert squared_mmd(features(7, 0), features(5, 1, 0.5)) == pytest.approx(expected, rel=1e-10)
    assert kid(features(7, 0), features(5, 1, 0.5)) == pytest.approx(expected, rel=1e-10)


def test_equal_distributions_are_at_zero_on_average() -> None:
    """A Fréchet distance would be above it in each trial."""
    found = torch.tensor([kid(features(20, 2 * i), features(20, 2 * i + 1)) for i in range(300)])
    assert abs(float(found.mean())) < 3 * float(found.std()) / 300**0.5
    assert (found < 0).any() and (found > 0).any()


def test_subsets_average_to_the_whole_and_grow_with_the_difference() -> None:
    a, b, far = features(300, 0), features(250, 1, 0.3), features(250, 1, 1.0)
    assert kid(a, b, subsets=200, subset=100) == pytest.approx(squared_mmd(a, b), rel=0.15)
    assert kid(a, b, subsets=3, subset=50) == kid(a, b, subsets=3, subset=50)
    assert kid(a, far) > 3 * kid(a, b) > 0


def test_one_picture_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two pictures"):
        kid(features(1, 0), features(5, 1))
