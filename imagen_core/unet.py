"""The Efficient U-Net (Saharia et al. 2022, App. B.1), one class for all three stages.

Kept from the paper: parameters sit at low resolution; a down block begins with its stride-2 convolution
and an up block ends with its up-sampling; skips are scaled by 1/sqrt(2); text enters by a pooled vector
added to the time embedding and by attention; the 1024 stage has no self-attention and is trained on crops.

Our choice, for CPUs: the picture is first folded (``fold`` × ``fold`` pixels into channels), because
convolutions with few channels at full resolution run far below a processor's speed. Two small
convolutions at full resolution close the network, and they see the input again: unfolding alone leaves a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Attention, Fourier, KeysValues, ResBlock, TextPool, zeroed
from .types import TextEmbedding, UserError


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net. ``channels``, ``blocks`` and ``attention`` have an entry a level, finest first.

    ``attention`` is "none", "text" (text only) or "self" (pixels and text in one softmax). ``low_res``
    says whether the stage is conditioned on a low-resolution image and its aug_level.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[str, ...]
    fold: int = 2
    detail: int = 16
    embed: int = 256
    text_width: int = 384
    text: int = 192
    low_res: bool = False
    positions: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "blocks", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not len(self.channels) == len(self.blocks) == len(self.attention) > 0:
            raise UserError("unet: channels, blocks and attention must have one entry for each level")
        if not set(self.attention) <= {"none", "text", "self"}:
            raise UserError("unet: attention must be none, text or self at each level")
        if any(c % 32 or not 0 < c <= 4096 for c in self.channels) or any(not 0 < n <= 64 for n in self.blocks):
            raise UserError("unet: channels must be multiples of 32 up to 4096, blocks between 1 and 64")

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this."""
        return self.fold * 2 ** (len(self.channels) - 1)


# The shipped stages. Cost per evaluation at full size: `python -m imagen_core info`.
CONFIGS = {
    "base64": UNetConfig((64, 128, 256), (1, 1, 2), ("none", "self", "self"), positions=True),
    "sr256": UNetConfig((32, 64, 128), (1, 2, 2), ("none", "none", "self"), detail=8, text=128, low_res=True),
    "sr1024": UNetConfig((32, 64, 128), (1, 1, 2), ("none", "none", "text"), fold=4, detail=8, text=128, low_res=True),
}


@dataclass(frozen=True)
class TextContext:
    """What the network keeps of a text: the pooled vector and each attention layer's keys and values."""

    pooled: Float[Tensor, "b e"]
    keys_values: tuple[KeysValues, ...]
    mask: Bool[Tensor, "b n"]


class Level(nn.Module):
    """The blocks of one resolution on the way down or up, with attention after each."""

    def __init__(self, inner: int, width: int, blocks: int, attention: str, config: UNetConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(inner if i == 0 else width, width, config.embed) for i in range(blocks))
        self.attention = nn.ModuleList(
            Attention(width, config.text, own=attention == "self", positions=config.positions)
            for _ in range(blocks if attention != "none" else 0)
        )

    def forward(self, x: Tensor, embed: Tensor, keys_values: dict[nn.Module, KeysValues], mask: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x, embed)
            if self.attention:
                layer = self.attention[i]
                x = layer(x, keys_values[layer], mask)
        return x


class UNet(nn.Module):
    """``(z, log_snr, text, low_res, aug_level) -> prediction``, fully convolutional. See types.Network."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        c, n = config.channels, len(config.channels)
        seen = 6 if config.low_res else 3
        self.text_norm = nn.LayerNorm(config.text_width)
        self.text_in = nn.Linear(config.text_width, config.text)
        self.text_pool = TextPool(config.text_width, config.embed)
        self.time = Fourier(0.02, 4.0, config.embed)
        self.aug = Fourier(1.0, 60.0, config.embed) if config.low_res else None
        self.stem = nn.Conv2d(seen * config.fold**2, c[0], 3, padding=1)
        self.shrink = nn.ModuleList(nn.Conv2d(c[i], c[i + 1], 3, stride=2, padding=1) for i in range(n - 1))
        self.down = nn.ModuleList(Level(c[i], c[i], config.blocks[i], config.attention[i], config) for i in range(n))
        self.grow = nn.ModuleList(nn.Conv2d(c[i + 1], c[i], 1) for i in range(n - 1))
        self.up = nn.ModuleList(
            Level(2 * c[i], c[i], config.blocks[i], config.attention[i], config) for i in range(n - 1)
        )
        self.unfold = nn.Conv2d(c[0], config.detail * config.fold**2, 3, padding=1)
        self.detail = nn.Conv2d(config.detail + seen, config.detail, 3, padding=1)
        self.out = zeroed(nn.Conv2d(config.detail, 3, 3, padding=1))

    @property
    def _attention(self) -> list[Attention]:
        return [layer for layer in self.modules() if isinstance(layer, Attention)]

    def prepare(self, text: TextEmbedding) -> TextContext:
        """Everything that depends on the text alone (LayerNorm before attention and pooling, App. D.1)."""
        tokens = self.text_norm(text.tokens.to(self.text_in.weight.dtype))
        narrow = self.text_in(tokens)
        keys_values = tuple(layer.keys_values(narrow) for layer in self._attention)
        return TextContext(self.text_pool(tokens, text.mask), keys_values, text.mask)

    def forward(
        self,
        z: Float[Tensor, "b 3 h w"],
        log_snr: Float[Tensor, " b"],
        context: TextContext,
        low_res: Float[Tensor, "b 3 h w"] | None = None,
        aug_level: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b 3 h w"]:
        config = self.config
        embed = self.time(log_snr) + context.pooled
        if self.aug is not None:
            if low_res is None or aug_level is None:
                raise ValueError("low_res and aug_level: a super-resolution stage needs both")
            z = torch.cat([z, low_res], 1)
            embed = embed + self.aug(aug_level)
        embed = F.silu(embed)
        keys_values: dict[nn.Module, KeysValues] = dict(zip(self._attention, context.keys_values))

        # channels_last is up to four times faster for convolutions on a CPU.
        h = F.pixel_unshuffle(z, config.fold).contiguous(memory_format=torch.channels_last)
        h = self.stem(h)
        skips = []
        for i, level in enumerate(self.down):
            if i > 0:
                skips.append(h)
                h = self.shrink[i - 1](h)
            h = level(h, embed, keys_values, context.mask)
        for grow, level, skip in reversed(list(zip(self.grow, self.up, skips))):
            h = F.interpolate(grow(h), scale_factor=2, mode="nearest")
            h = level(torch.cat([h, skip * math.sqrt(0.5)], 1), embed, keys_values, context.mask)
        h = F.pixel_shuffle(F.silu(self.unfold(h)), config.fold)
        h = torch.cat([h, z], 1).contiguous(memory_format=torch.channels_last)
        return self.out(F.silu(self.detail(h)))
