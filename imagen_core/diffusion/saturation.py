"""Statistics of x0_hat: how far it overshoots, its saturation and its contrast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .augmentation import resize

PerImage = Float[Tensor, " b"]
# A value this close to the edge of the range, or beyond it, is burnt. Our choice.
BURNT = 0.99


@dataclass(frozen=True)
class Saturation:
    """Statistics of a batch of estimates, one number an image.

    ``outside`` share of values with |x| > 1; ``burnt`` share with |x| > BURNT;
    ``largest`` max |x|; ``colourfulness`` mean HSV saturation in [0, 1] and ``contrast`` the standard deviation
    of Rec. 709 luma, both of the picture clipped to [-1, 1], as a screen shows it.
    """

    outside: PerImage
    burnt: PerImage
    largest: PerImage
    colourfulness: PerImage
    contrast: PerImage


def measure(x0: Float[Tensor, "b 3 h w"]) -> Saturation:
    """The statistics of each image of a batch."""
    size = x0.abs()
    pixels = (x0.clamp(-1, 1) + 1) / 2
    most, least = pixels.amax(1), pixels.amin(1)
    return Saturation(
        outside=(size > 1).float().mean((1, 2, 3)),
        burnt=(size > BURNT).float().mean((1, 2, 3)),
        largest=size.amax((1, 2, 3)),
        colourfulness=((most - least) / most.clamp_min(1e-6)).mean((1, 2)),
        contrast=_luma(pixels).std((1, 2)),
    )


def consistency(image: Float[Tensor, "b 3 h w"], low_res: Float[Tensor, "b 3 s s"]) -> PerImage:
    """How well a super-resolved picture, shrunk by area, agrees with its clean input: PSNR in dB, range 2."""
    # Exact agreement gives 106 dB, because JSON has no infinity.
    error = (resize(image, low_res.shape[-1]) - low_res).square().mean((1, 2, 3)).clamp_min(1e-10)
    return 10 * torch.log10(4 / error)


def sharpness(image: Float[Tensor, "b 3 h w"]) -> PerImage:
    """Root mean square difference of neighbouring luma: edges and texture raise it, and so does noise."""
    luma = _luma(image)
    down, across = luma.diff(dim=1).square().mean((1, 2)), luma.diff(dim=2).square().mean((1, 2))
    return ((down + across) / 2).sqrt()


def _luma(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
    """Rec. 709 luma."""
    return (image * image.new_tensor([0.2126, 0.7152, 0.0722]).reshape(1, 3, 1, 1)).sum(1)
