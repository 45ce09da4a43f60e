"""The loss: one network, one random level per example, mean squared error in v or in a network's own units.

The error in v is the error in x weighted by SNR + 1 (Salimans & Ho 2022, sec. 4), so every level counts. A
super-resolution network corrects a linear guess. Its error is divided by the size of that correction (Karras et al.
2022, sec. 5), which is small at high noise. Levels are spread evenly over a batch, which lowers the variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..diffusion.augmentation import augment, resize
from ..diffusion.parameterization import PREDICTIONS
from ..diffusion.schedules import SCHEDULES, alpha_sigma
from ..networks.unet import UNet, from_low_res
from ..types import StageSpec, TextEmbedding
from .data import Batch

# The paper drops the text from one example in ten, in all three stages (sec. 4.1).
TEXT_DROPPED = 0.1


@dataclass(frozen=True)
class Example:
    """Everything random about a training step, drawn for the whole batch before processes divide it."""

    x: Float[Tensor, "b 3 h w"]
    text: TextEmbedding
    t: Float[Tensor, " b"]
    eps: Float[Tensor, "b 3 h w"]
    low_res: Float[Tensor, "b 3 h w"] | None
    aug_level: Float[Tensor, " b"] | None


def spread(b: int, random: torch.Generator) -> Float[Tensor, " b"]:
    """``b`` times in [0, 1) at equal distances, the first one random (Kingma et al. 2021, App. I.1)."""
    return (torch.rand((), generator=random) + torch.arange(b) / b) % 1


def make_example(batch: Batch, spec: StageSpec, size: int, random: torch.Generator) -> Example:
    """Draw level, noise, dropped texts and, for a super-resolution stage, the crop and its augmentation.

    ``size`` is the side to train at, in pixels. Below the picture's side, a base's picture is shrunk and a
    super-resolution stage's is cropped. ``random`` is on the CPU, so that every device gets the same draws.
    """
    x, b, device = batch.images, len(batch.images), batch.images.device
    low_res = aug_level = None
    if spec.low_res_size is None:
        x = resize(x, size)
    else:
        factor = spec.size // spec.low_res_size
        top, left = (
            int(torch.randint((x.shape[-1] - size) // factor + 1, (), generator=random)) * factor for _ in "yx"
        )
        x = x[..., top : top + size, left : left + size]
        # The paper draws from U(0, 1). Squaring is our choice: 45 % are then below 0.2, where stages are sampled.
        aug_level = torch.rand(b, generator=random).square().to(device)
        noise = torch.randn(x.shape, generator=random).to(device)
        low_res = augment(resize(resize(x, size // factor), size), aug_level, noise)
    t = spread(b, random)[torch.randperm(b, generator=random)]
    eps = torch.randn(x.shape, generator=random)
    dropped = torch.rand(b, generator=random) < TEXT_DROPPED
    text = drop(batch.text, dropped.to(device))
    return Example(x, text, t.to(device), eps.to(device), low_res, aug_level)


def drop(text: TextEmbedding, dropped: Bool[Tensor, " b"]) -> TextEmbedding:
    """Replace the chosen rows by the null text, as TextEmbedding.null does for all rows."""
    only_first = torch.arange(text.mask.shape[1], device=text.mask.device) == 0
    tokens = text.tokens.masked_fill(dropped[:, None, None], 0)
    return TextEmbedding(tokens, torch.where(dropped[:, None], only_first, text.mask))


class Objective(nn.Module):
    """The loss as one module, so that a distributed wrapper sees every parameter used in its forward.

    ``shift`` is subtracted from log_snr, which moves the levels of training. A base gains from more noise: there it
    learns what goes where. A super-resolution stage gains from less noise, as small as the detail its input lacks.
    """

    def __init__(self, unet: UNet, spec: StageSpec, shift: float = 0.0) -> None:
        super().__init__()
        self.unet, self.spec, self.shift = unet, spec, shift

    def forward(self, example: Example) -> Float[Tensor, ""]:
        log_snr = SCHEDULES[self.spec.schedule].fn(example.t) - self.shift
        alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(log_snr))
        z = alpha * example.x + sigma * example.eps
        context = self.unet.prepare(example.text)
        predicted = self.unet(z, log_snr, context, example.low_res, example.aug_level)
        target = PREDICTIONS[self.spec.prediction].target(example.x, example.eps, alpha, sigma)
        error = predicted.float() - target
        if example.low_res is not None and example.aug_level is not None:
            *_, factor = from_low_res(z, log_snr, example.low_res, example.aug_level, self.unet.config)
            error = error / factor
        return error.square().mean()
