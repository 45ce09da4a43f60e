"""The Fréchet distance between two sets of features (Heusel et al. 2017).

On Inception's features it is the FID (judges.py). On our detector's features the numbers compare only with each other,
for the same world and detector, never with a FID.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set of features, float64."""

    mean: Float[Tensor, " f"]
    covariance: Float[Tensor, "f f"]


def gaussian(features: Float[Tensor, "n f"]) -> Gaussian:
    """The Gaussian with the features' mean and (unbiased) covariance; needs two pictures at least."""
    features = features.double()
    if len(features) < 2:
        raise ValueError("features: at least two pictures are needed for a covariance")
    return Gaussian(features.mean(0), features.T.cov())


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """``|m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` (Dowson & Landau 1982), never negative.

    The root has the same trace as the symmetric ``(S_a^(1/2) S_b S_a^(1/2))^(1/2)``, whose eigenvalues are real. Taking
    that root works for singular covariances too, that is with fewer pictures than features.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    means = (a.mean - b.mean).square().sum()
    return max(0.0, float(means + a.covariance.trace() + b.covariance.trace() - 2 * cross))


def frechet(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> float:
    """The distance between the Gaussians of two sets of features."""
    return frechet_distance(gaussian(a), gaussian(b))
