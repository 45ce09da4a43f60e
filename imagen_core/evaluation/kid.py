"""The kernel inception distance between two sets of features (KID, Bińkowski et al. 2018, arXiv 1801.01401).

A Fréchet distance is too large with few pictures, by an amount that depends on the model. KID has no such bias: between
samples of equal distributions it is zero on average, so it may be slightly negative.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# How many subsets are averaged, and pictures in each, as torchmetrics has them.
SUBSETS, SUBSET = 100, 1000


def kernel(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> Float[Tensor, "n m"]:
    """``(x y / f + 1)^3`` of every pair (sec. 4)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def squared_mmd(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> float:
    """The unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3); needs two pictures in each set.

    Pairs of a picture with itself are left out.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("features: at least two pictures are needed in each set")

    def within(x: Tensor) -> Tensor:
        pairs = kernel(x, x)
        return (pairs.sum() - pairs.trace()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def kid(
    a: Float[Tensor, "n f"], b: Float[Tensor, "m f"], *, subsets: int = SUBSETS, subset: int = SUBSET, seed: int = 0
) -> float:
    """The mean squared MMD of random subsets of two sets of features; of the whole sets where both are that small."""
    a, b = a.double(), b.double()
    if max(len(a), len(b)) <= subset:
        return squared_mmd(a, b)
    random = torch.Generator().manual_seed(seed)

    def part(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=random)[:subset]]

    return sum(squared_mmd(part(a), part(b)) for _ in range(subsets)) / subsets
