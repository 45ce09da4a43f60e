"""Building blocks of the Efficient U-Net."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Float[Tensor, "b n c"], Float[Tensor, "b n c"]]


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """The layer with weights and bias at zero: a residual block then starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def modulate(x: Float[Tensor, "b c h w"], scale: Float[Tensor, "b c"], shift: Float[Tensor, "b c"]) -> Tensor:
    """``scale x + shift`` for each channel, in channels_last.

    As rows of whole lines: with few channels one pixel alone does not fill a processor's vectors (docs/LOG.md).
    """
    scale, shift = (each.repeat(1, x.shape[3])[:, None] for each in (scale, shift))
    rows = torch.addcmul(shift, x.permute(0, 2, 3, 1).flatten(2), scale)
    return rows.unflatten(2, (x.shape[3], x.shape[1])).permute(0, 3, 1, 2)


class Fourier(nn.Module):
    """A scalar → cosines and sines at frequencies spaced evenly in log, then two linear layers."""

    def __init__(self, slowest: float, fastest: float, width: int, features: int = 32) -> None:
        super().__init__()
        self.range = math.log(slowest), math.log(fastest), features
        self.mlp = nn.Sequential(nn.Linear(2 * features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Float[Tensor, " b"]) -> Float[Tensor, "b w"]:
        # Angles in float32: half precision would lose the fast ones.
        angles = x.float()[:, None] * torch.linspace(*self.range, device=x.device).exp()
        waves = torch.cat([angles.cos(), angles.sin()], 1)
        return self.mlp(waves.to(next(self.mlp.parameters()).dtype))


class TextMix(nn.Module):
    """Hidden layers that lie side by side → their mean with trained weights (Peters et al. 2018, eq. 1)."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(states))

    def forward(self, tokens: Float[Tensor, "b n sd"]) -> Float[Tensor, "b n d"]:
        return self.score.softmax(0) @ tokens.unflatten(-1, (len(self.score), -1))


class TextPool(nn.Module):
    """Attention pooling: one learned query looks at all tokens (Saharia et al. 2022, App. F.1)."""

    def __init__(self, text: int, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(text, 1)
        self.mlp = nn.Sequential(nn.Linear(text, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b w"]:
        score = self.score(tokens).squeeze(-1).masked_fill(~mask, -torch.inf)
        return self.mlp((score.softmax(1).unsqueeze(1) @ tokens).squeeze(1))


class TextLayer(nn.Module):
    """A transformer layer over the tokens, trained with the U-Net; it starts as the identity.

    A small frozen language model says which words occur, but hardly which word belongs to which. Without these layers
    the base did not learn left from right (docs/LOG.md).
    """

    def __init__(self, width: int, head: int = 32) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, width // head, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        zeroed(self.layer.self_attn.out_proj)
        zeroed(self.layer.linear2)

    def forward(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.layer(tokens, src_key_padding_mask=~mask)


class TextLayout(nn.Module):
    """What the text alone says about each place of the picture: places attend to the tokens.

    At nearly pure noise a network cannot know more. It is computed once a text, so a sampling step costs no more.
    """

    SIDE = 8

    def __init__(self, text: int, width: int, head: int = 32) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(16, text), nn.SiLU(), nn.Linear(text, text))
        self.attention = nn.MultiheadAttention(text, text // head, batch_first=True)
        self.norm, self.inner = nn.LayerNorm(text), nn.Linear(text, 2 * text)
        self.out = zeroed(nn.Linear(2 * text, width))

    def features(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b p e"]:
        """The layer before the last, which training/text_layers.py reads."""
        places = self.query(_coordinates(self.SIDE, self.SIDE, tokens)).expand(len(tokens), -1, -1)
        attended, _ = self.attention(places, tokens, tokens, key_padding_mask=~mask, need_weights=False)
        return F.gelu(self.inner(self.norm(places + attended)))

    def forward(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b w 8 8"]:
        return self.out(self.features(tokens, mask)).transpose(1, 2).unflatten(2, (self.SIDE, self.SIDE))


class ResBlock(nn.Module):
    """Two 3 × 3 convolutions; between them the conditioning scales and shifts the channels."""

    def __init__(self, inner: int, outer: int, embed: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inner), nn.Conv2d(inner, outer, 3, padding=1)
        self.film = nn.Linear(embed, 2 * outer)
        self.norm2, self.conv2 = nn.GroupNorm(8, outer), zeroed(nn.Conv2d(outer, outer, 3, padding=1))
        self.skip = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: Float[Tensor, "b i h w"], embed: Float[Tensor, "b e"]) -> Float[Tensor, "b o h w"]:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(embed)[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), 1 + scale)))
        return self.skip(x) + h


class Attention(nn.Module):
    """Pixels attend to text and, with ``own``, to each other in the same softmax.

    The text's keys and values are concatenated to the pixels' (Saharia et al. 2022, App. D.3.1). They depend on the
    text alone, so :meth:`keys_values` computes them once a stage.
    """

    def __init__(self, width: int, text: int, *, own: bool, positions: bool, head: int = 32) -> None:
        super().__init__()
        self.heads = width // head
        self.norm = nn.GroupNorm(8, width)
        self.query = nn.Linear(width, width)
        self.own = nn.Linear(width, 2 * width) if own else None
        self.positions = nn.Linear(16, width) if positions else None
        self.text = nn.Linear(text, 2 * width)
        self.out = zeroed(nn.Linear(width, width))

    def keys_values(self, tokens: Float[Tensor, "b n d"]) -> KeysValues:
        keys, values = self.text(tokens).chunk(2, -1)
        return keys, values

    def forward(
        self, x: Float[Tensor, "b c h w"], text: KeysValues, mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b c h w"]:
        b, _c, height, width = x.shape
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        if self.positions is not None:
            pixels = pixels + self.positions(_coordinates(height, width, x))
        keys, values = text
        if self.own is not None:
            own_keys, own_values = self.own(pixels).chunk(2, -1)
            keys, values = torch.cat([own_keys, keys], 1), torch.cat([own_values, values], 1)
            mask = torch.cat([mask.new_ones(b, height * width), mask], 1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.query(pixels), keys, values))
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        h = self.out(h.transpose(1, 2).flatten(2))
        return x + h.transpose(1, 2).unflatten(2, (height, width))


def _coordinates(height: int, width: int, like: Tensor) -> Float[Tensor, "p 16"]:
    """The place of each pixel as waves across the whole picture, the same for every picture size."""
    y, x = torch.meshgrid(*((torch.arange(n, device=like.device) + 0.5) / n for n in (height, width)), indexing="ij")
    frequency = math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0], device=like.device)
    angles = torch.cat([y.reshape(-1, 1) * frequency, x.reshape(-1, 1) * frequency], 1)
    return torch.cat([angles.sin(), angles.cos()], 1).to(like.dtype)
