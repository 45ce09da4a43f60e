"""A classifier of noisy pictures, for classifier guidance (Dhariwal & Nichol 2021, arXiv 2105.05233, sec. 4).

At any noise level it classifies the main thing in z: one softmax for each attribute, such as colour and shape. Its
gradient in z steers an unconditional sample. This is how guidance was done before classifier-free guidance. It needs a
second network, trained on noisy pictures, and can only steer towards that network's classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..diffusion.schedules import alpha_sigma
from ..types import Image, Level, UserError
from .layers import Fourier, ResBlock

Labels = dict[str, int]


@dataclass(frozen=True)
class ClassifierConfig:
    """``attributes``: name → class → the words that mean it. ``channels`` of each level, finest first."""

    attributes: dict[str, dict[str, list[str]]]
    channels: tuple[int, ...] = (32, 64, 96, 128)
    fold: int = 2
    embed: int = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if any(type(c) is not int or c % 32 or not 0 < c <= 1024 for c in self.channels):
            raise UserError("classifier: channels must be multiples of 32 up to 1024")
        if type(self.embed) is not int or not 0 < self.embed <= 1024:
            raise UserError("classifier: embed must be between 1 and 1024")
        # A picture of 64 × 64 is folded and then halved at each level.
        levels = len(self.channels)
        if type(self.fold) is not int or self.fold < 1 or not 1 <= levels <= 7 or 64 % (self.fold << (levels - 1)):
            raise UserError("classifier: fold and the number of channels must divide 64 pixels")
        named = [words for classes in self.attributes.values() for words in classes.values()]
        if not named or not all(words and all(isinstance(word, str) for word in words) for words in named):
            raise UserError("classifier: attributes must be classes with the words that mean them")


class Classifier(nn.Module):
    """``(z, log_snr) -> {attribute: logits}``."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.level = Fourier(0.02, 4.0, config.embed)
        self.stem = nn.Conv2d(3 * config.fold**2, c[0], 3, padding=1)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(c))
        self.blocks = nn.ModuleList(ResBlock(width, width, config.embed) for width in c)
        # Weights of the places in the picture: the main thing covers a part of it.
        self.where = nn.Conv2d(c[-1], 1, 1)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(c[-1], len(classes)) for name, classes in config.attributes.items()}
        )

    def forward(self, z: Image, log_snr: Float[Tensor, " b"]) -> dict[str, Float[Tensor, "b k"]]:
        """Logits times alpha: without signal all classes are equally likely and the gradient vanishes."""
        embed = F.silu(self.level(log_snr))
        h = self.stem(F.pixel_unshuffle(z, self.config.fold).contiguous(memory_format=torch.channels_last))
        for i, block in enumerate(self.blocks):
            h = block(self.shrink[i - 1](h) if i else h, embed)
        share = self.where(h).flatten(2).softmax(2)
        pooled = (F.silu(h).flatten(2) * share).sum(2)
        alpha, _ = alpha_sigma(log_snr)
        return {name: alpha[:, None] * head(pooled) for name, head in self.heads.items()}

    def labels(self, prompt: str) -> Labels:
        """The classes that a prompt names for its main thing: the first known noun and the adjectives before it.

        The last attribute is the noun's. A prompt need not name every attribute.

        Raises:
            UserError: it names none.
        """
        spoken = re.findall(r"[^\W\d_]+", prompt.lower())
        *_, noun = self.config.attributes
        named: Labels = {}
        for word in spoken:
            for name, classes in self.config.attributes.items():
                for index, words in enumerate(classes.values()):
                    if word in words:
                        named[name] = index
            if noun in named:
                break
        if not named:
            known = ", ".join(words[0] for classes in self.config.attributes.values() for words in classes.values())
            raise UserError(f"prompt: classifier guidance needs one of {known}")
        return named

    @torch.enable_grad()
    def gradient(self, z: Image, level: Level, *, labels: Labels) -> Image:
        """``grad_z log p(y | z)``, the attributes' log-probabilities summed, for the same labels in every row."""
        z = z.detach().requires_grad_()
        logits = self(z, z.new_full((len(z),), level.log_snr))
        log_p = sum(logits[name].log_softmax(1)[:, index].sum() for name, index in labels.items())
        assert isinstance(log_p, Tensor)
        (gradient,) = torch.autograd.grad(log_p, z)
        return gradient
