"""How well an upscaled picture keeps to the one it was made from, and how much sharper it is than plain enlargement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .augmentation import resize
from .saturation import PerImage, luma


@dataclass(frozen=True)
class Fidelity:
    """Scores of a batch of upscaled pictures, one number an image.

    ``consistency`` is the PSNR in dB between the picture shrunk by area and the small one it was made from;
    ``sharpness`` the root mean square luma gradient as a multiple of that of the bilinear enlargement: 1 is
    no sharper than enlarging. Noise and grain count as gradient too, so look before you trust the larger number.
    """

    consistency: PerImage
    sharpness: PerImage


def fidelity(image: Float[Tensor, "b 3 h w"], small: Float[Tensor, "b 3 s s"]) -> Fidelity:
    """Scores of ``image`` [b, 3, h, w] in [-1, 1], made from the un-noised ``small`` [b, 3, s, s], s < h."""
    shown, small = image.clamp(-1, 1), small.clamp(-1, 1)
    error = (resize(shown, small.shape[-1]) - small).square().mean((1, 2, 3))
    plain = gradient(resize(small, image.shape[-1]))
    # The range is 2 wide; 1e-10 is 106 dB, finer than float32 could tell.
    return Fidelity(10 * torch.log10(4 / error.clamp_min(1e-10)), gradient(shown) / plain.clamp_min(1e-6))


def gradient(x: Float[Tensor, "b 3 h w"]) -> PerImage:
    """Root mean square of the luma's differences between neighbouring pixels, luma in [0, 1]."""
    y = luma((x + 1) / 2)
    return ((y.diff(dim=-1).square().mean((1, 2)) + y.diff(dim=-2).square().mean((1, 2))) / 2).sqrt()
