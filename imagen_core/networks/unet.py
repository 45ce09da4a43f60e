"""The Efficient U-Net (Saharia et al. 2022, App. B.1): the paper's super-resolution models, and here the base too.

Kept from the paper: parameters sit at low resolution; a down block begins with its stride-2 convolution
and an up block ends with its up-sampling; skips are scaled by 1/sqrt(2); text enters by a pooled vector
added to the time embedding and by attention; the 1024 stage has no self-attention and is trained on crops.

Our choice, for CPUs: the picture is first folded (``fold`` × ``fold`` pixels into channels), because
convolutions with few channels at full resolution run far below a processor's speed. Two small
convolutions at full resolution close the network, and they see the input again: unfolding alone leaves a grid.
A super-resolution network only corrects the best linear guess (:func:`from_low_res`), which it need not learn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..diffusion.augmentation import AUGMENTATIONS
from ..diffusion.schedules import LOG_SNR_MAX, alpha_sigma
from ..types import Image, TextEmbedding, UserError
from .layers import Attention, Fourier, KeysValues, ResBlock, TextLayer, TextLayout, TextMix, TextPool, modulate, zeroed


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net. ``channels``, ``blocks`` and ``attention`` have an entry a level, finest first.

    ``attention`` is "none", "text" (text only) or "self" (pixels and text in one softmax). ``low_res`` conditions the
    stage on a low-resolution image and its aug_level; ``residual``, in (0, 1], is then the root mean square of the
    detail that image lacks. ``fold`` is the side of the folded squares, ``detail`` the channels at full resolution,
    ``embed`` the width of the conditioning, ``text_width`` that of the encoder's hidden layers and ``text`` that of
    projected tokens. ``text_states`` counts the hidden layers that lie side by side in each of the encoder's tokens
    (:class:`~.layers.TextMix`). ``positions`` gives attention the place of each pixel. ``text_layers`` counts the
    trained transformer layers between the frozen language model and the attention (:class:`~.layers.TextLayer`).
    ``layout`` gives the coarsest level what the text alone says about each place (:class:`~.layers.TextLayout`). The
    network gets no log_snr below ``lowest``, since training had none; there z hides the picture anyway (docs/LOG.md).
    ``factor`` is how many times a super-resolution stage enlarges its input.
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
    residual: float = 0.05
    text_layers: int = 0
    layout: bool = False
    lowest: float = -LOG_SNR_MAX
    factor: int = 4
    text_states: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "blocks", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not len(self.channels) == len(self.blocks) == len(self.attention) > 0:
            raise UserError("unet: channels, blocks and attention must have one entry for each level")
        if not set(self.attention) <= {"none", "text", "self"}:
            raise UserError("unet: attention must be none, text or self at each level")
        if any(type(c) is not int or c % 32 or not 0 < c <= 4096 for c in self.channels):
            raise UserError("unet: channels must be multiples of 32 up to 4096")
        if len(self.channels) > 8 or any(type(n) is not int or not 0 < n <= 64 for n in self.blocks):
            raise UserError("unet: must have at most 8 levels, and between 1 and 64 blocks at each")
        for name in ("fold", "detail", "embed", "text_width", "text_states", "text"):
            value = getattr(self, name)
            if type(value) is not int or not 0 < value <= 4096:
                raise UserError(f"unet: {name} must be between 1 and 4096")
        if type(self.text_layers) is not int or not 0 <= self.text_layers <= 64:
            raise UserError("unet: text_layers must be between 0 and 64")
        if self.text % 32 and (self.text_layers or self.layout):
            raise UserError("unet: text must be a multiple of 32 where there are text_layers or a layout")
        if not -2 * LOG_SNR_MAX <= self.lowest <= 0:
            raise UserError(f"unet: lowest must be between {-2 * LOG_SNR_MAX} and 0")
        if type(self.factor) is not int or not 2 <= self.factor <= 8:
            raise UserError("unet: factor must be between 2 and 8")
        if not 0 < self.residual <= 1:
            raise UserError("unet: residual must be above 0 and at most 1")

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this."""
        return self.fold * 2 ** (len(self.channels) - 1)


_SR = UNetConfig((32, 64, 128), (1, 1, 2), ("none", "none", "self"), text=128, low_res=True)
# The shipped stages. Cost per evaluation at full size: `python -m imagen_core info`.
CONFIGS = {
    "base64": UNetConfig(
        (64, 128, 256), (1, 1, 4), ("none", "self", "self"), positions=True, text_layers=2, layout=True
    ),
    "sr256": replace(_SR, detail=16, residual=0.075, lowest=-10.0),
    "sr1024": replace(
        _SR, channels=(64, 64, 128), attention=("none", "none", "text"), fold=4, detail=12, residual=0.04, lowest=-4.0
    ),
}


@dataclass(frozen=True)
class TextContext:
    """What the network computes of a text: the pooled vector, each attention layer's keys and values, the layout."""

    pooled: Float[Tensor, "b e"]
    keys_values: tuple[KeysValues, ...]
    mask: Bool[Tensor, "b n"]
    layout: Float[Tensor, "b c 8 8"] | None


# Root mean square of pictures in [-1, 1], as in EDM.
SPREAD = 0.5
# The blur that the mean over an enlarged pixel adds, in residuals (docs/LOG.md).
BLUR = 0.3


def kept_noise(factor: int) -> float:
    """What the mean over squares of ``factor`` pixels, enlarged again, keeps of white noise's standard deviation.

    That is ``1 / factor`` times the mean square of bilinear weights, ``(4 factor^2 - 1) / (6 factor^2)``.
    """
    return (4 * factor**2 - 1) / (6 * factor**3)


def from_low_res(
    z: Image, log_snr: Tensor, low_res: Image, aug_level: Tensor, config: UNetConfig
) -> tuple[Float[Tensor, "b 9 h w"], Image, Tensor]:
    """The best linear guess of v: the U-Net sees what is new in z, and corrects the guess.

    Preconditioning as in EDM (Karras et al. 2022, arXiv 2206.00364, sec. 5), around the low-resolution image
    ``low_res = c y + s n``, whose clean part y was enlarged and so varies slowly. Two looks at it are joined: the
    mean over ``factor`` x ``factor`` pixels, which keeps little of the noise but is blurred, and the pixel itself. They
    give y the mean ``mu`` and the variance ``V``; x has ``residual^2`` more. With ``u = z - alpha mu``, of variance
    ``D = alpha^2 V + sigma^2``, ``v = alpha sigma (1 - V) u / D - sigma mu - sqrt(V / D) F``, where F of unit variance
    is left to the network.

    Returns:
        The network's input (u, low_res and its mean, all of unit variance), the guess of v, and F's factor sqrt(V / D).
    """
    residual, kept = config.residual, kept_noise(config.factor)
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(log_snr))
    c, s = AUGMENTATIONS["cosine"].scales(aug_level[:, None, None, None])
    pooled = F.avg_pool2d(low_res, config.factor)
    mean = F.interpolate(pooled, scale_factor=config.factor, mode="bilinear", align_corners=False)
    of_mean = (SPREAD * c).square() + (kept * s).square()
    mu = c * SPREAD**2 / of_mean * mean
    variance = (SPREAD * kept * s).square() / of_mean + (BLUR * residual) ** 2
    of_both = s.square() + c.square() * variance
    mu = (s.square() * mu + c * variance * low_res) / of_both
    variance = s.square() * variance / of_both + residual**2
    u, d = z - alpha * mu, alpha.square() * variance + sigma.square()
    guess = alpha * sigma * (1 - variance) / d * u - sigma * mu
    of_pixel = (SPREAD * c).square() + s.square()
    return (
        torch.cat([u * d.rsqrt(), low_res * of_pixel.rsqrt(), mean * of_mean.rsqrt()], 1),
        guess,
        (variance / d).sqrt(),
    )


class Resolution(nn.Module):
    """The blocks of one resolution on the way down or up, with attention after each.

    With ``recompute`` what a block would keep for the backward pass is computed there again (Chen et al. 2016).
    """

    recompute = False

    def __init__(self, inner: int, width: int, blocks: int, attention: str, config: UNetConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(inner if i == 0 else width, width, config.embed) for i in range(blocks))
        self.attention = nn.ModuleList(
            Attention(width, config.text, own=attention == "self", positions=config.positions)
            for _ in range(blocks if attention != "none" else 0)
        )

    def forward(self, x: Tensor, embed: Tensor, keys_values: dict[nn.Module, KeysValues], mask: Tensor) -> Tensor:
        def step(i: int, x: Tensor) -> Tensor:
            x = self.blocks[i](x, embed)
            if not self.attention:
                return x
            layer = self.attention[i]
            return layer(x, keys_values[layer], mask)

        again = self.recompute and torch.is_grad_enabled()
        for i in range(len(self.blocks)):
            x = checkpoint(step, i, x, use_reentrant=False) if again else step(i, x)
        return x


class UNet(nn.Module):
    """``(z, log_snr, text, low_res, aug_level) -> prediction``, fully convolutional. See types.Network."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        c, n = config.channels, len(config.channels)
        inputs = 9 if config.low_res else 3
        self.text_mix = TextMix(config.text_states) if config.text_states > 1 else nn.Identity()
        self.text_norm = nn.LayerNorm(config.text_width)
        self.text_in = nn.Linear(config.text_width, config.text)
        self.text_layers = nn.ModuleList(TextLayer(config.text) for _ in range(config.text_layers))
        self.text_layout = TextLayout(config.text, c[-1]) if config.layout else None
        self.text_pool = TextPool(config.text_width, config.embed)
        self.time = Fourier(0.02, 4.0, config.embed)
        self.aug = Fourier(1.0, 60.0, config.embed) if config.low_res else None
        self.stem = nn.Conv2d(inputs * config.fold**2, c[0], 3, padding=1)
        self.shrink = nn.ModuleList(nn.Conv2d(c[i], c[i + 1], 3, stride=2, padding=1) for i in range(n - 1))
        self.down = nn.ModuleList(
            Resolution(c[i], c[i], config.blocks[i], config.attention[i], config) for i in range(n)
        )
        self.grow = nn.ModuleList(nn.Conv2d(c[i + 1], c[i], 1) for i in range(n - 1))
        self.up = nn.ModuleList(
            Resolution(2 * c[i], c[i], config.blocks[i], config.attention[i], config) for i in range(n - 1)
        )
        self.unfold = nn.Conv2d(c[0], config.detail * config.fold**2, 3, padding=1)
        self.detail = nn.Conv2d(config.detail + inputs, config.detail, 3, padding=1)
        # How much of the input to believe depends on the noise level, pixel by pixel: without this a
        # super-resolution stage took three times as long to lose its noise (docs/LOG.md).
        self.film = zeroed(nn.Linear(config.embed, 2 * config.detail))
        self.out = zeroed(nn.Conv2d(config.detail, 3, 3, padding=1))

    def set_recompute(self, recompute: bool) -> None:
        """Whether training takes less memory and more time (:class:`Resolution`)."""
        for level in (*self.down, *self.up):
            level.recompute = recompute  # type: ignore[assignment]

    @property
    def _attention(self) -> list[Attention]:
        return [layer for layer in self.modules() if isinstance(layer, Attention)]

    def read(self, text: TextEmbedding) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n t"]]:
        """The tokens normed (LayerNorm before attention and pooling, sec. 2.5), and as the text layers read them."""
        tokens = self.text_norm(self.text_mix(text.tokens.to(self.text_in.weight.dtype)))
        narrow = self.text_in(tokens)
        for layer in self.text_layers:
            narrow = layer(narrow, text.mask)
        return tokens, narrow

    def prepare(self, text: TextEmbedding) -> TextContext:
        """Everything that depends on the text alone."""
        tokens, narrow = self.read(text)
        keys_values = tuple(layer.keys_values(narrow) for layer in self._attention)
        layout = self.text_layout(narrow, text.mask) if self.text_layout else None
        return TextContext(self.text_pool(tokens, text.mask), keys_values, text.mask, layout)

    def forward(
        self,
        z: Image,
        log_snr: Float[Tensor, " b"],
        context: TextContext,
        low_res: Image | None = None,
        aug_level: Float[Tensor, " b"] | None = None,
    ) -> Image:
        """The prediction of v; z and low_res as in types.Network, height and width multiples of config.multiple.

        Raises:
            ValueError: a super-resolution stage without low_res or aug_level.
        """
        embed = self.time(log_snr.clamp_min(self.config.lowest)) + context.pooled
        if self.aug is None:
            return self._network(z, embed, context)
        if low_res is None or aug_level is None:
            raise ValueError("low_res and aug_level: a super-resolution stage needs both")
        seen, guess, factor = from_low_res(z, log_snr, low_res, aug_level, self.config)
        return guess - factor * self._network(seen, embed + self.aug(aug_level), context)

    def _network(self, x: Tensor, embed: Float[Tensor, "b e"], context: TextContext) -> Image:
        config = self.config
        # In bfloat16 the weights were cast once, when they were read; what comes in and goes out is float32.
        # channels_last is up to four times faster for convolutions on a CPU, and what follows keeps it.
        x = x.to(self.stem.weight.dtype, memory_format=torch.channels_last)
        embed = F.silu(embed)
        keys_values: dict[nn.Module, KeysValues] = dict(zip(self._attention, context.keys_values))

        h = self.stem(F.pixel_unshuffle(x, config.fold))
        skips = []
        for i, level in enumerate(self.down):
            if i > 0:
                skips.append(h)
                h = self.shrink[i - 1](h)
            if context.layout is not None and i == len(self.down) - 1:
                h = h + F.interpolate(context.layout, size=h.shape[-2:], mode="bilinear", align_corners=False)
            h = level(h, embed, keys_values, context.mask)
        for grow, level, skip in reversed(list(zip(self.grow, self.up, skips))):
            h = F.interpolate(grow(h), scale_factor=2, mode="nearest")
            h = level(torch.cat([h, skip * math.sqrt(0.5)], 1), embed, keys_values, context.mask)
        h = F.pixel_shuffle(F.silu(self.unfold(h)), config.fold)
        h = self.detail(torch.cat([h, x], 1))
        scale, shift = self.film(embed).chunk(2, 1)
        h = modulate(h, 1 + scale, shift)
        return self.out(F.silu(h)).float()


# A typical prompt's length in tokens.
TOKENS = 20


def gflop(config: UNetConfig, size: int) -> float:
    """Cost of one evaluation of one picture at ``size``, in 10^9 operations (a multiply and an add are two)."""
    from torch.utils.flop_counter import FlopCounterMode

    # Shapes are enough to count with, so nothing is computed and nothing allocated.
    with torch.device("meta"):
        network = UNet(config)
        z, one = torch.empty(1, 3, size, size), torch.empty(1)
        text = TextEmbedding(
            torch.empty(1, TOKENS, config.text_states * config.text_width), torch.ones(1, TOKENS, dtype=torch.bool)
        )
        context = network.prepare(text)
        extra = (z, one) if config.low_res else ()
        with FlopCounterMode(display=False) as counter:
            network(z, one, context, *extra)
    return counter.get_total_flops() / 1e9
