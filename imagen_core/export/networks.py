"""A stage as graphs: what depends on its text alone, its network, and the noised picture that it enlarges."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..diffusion.augmentation import augment, resize
from ..diffusion.denoiser import join
from ..diffusion.parameterization import PREDICTIONS
from ..diffusion.schedules import alpha_sigma
from ..models.cascade import Stage
from ..models.checkpoints import unet_of
from ..networks.unet import TextContext, UNet
from ..types import StageSpec, TextEmbedding
from .tracing import Inputs, Traced


class Context(nn.Module):
    """tokens [1, n, d] → what the network computes of [text, no text], two rows of everything."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        text = TextEmbedding(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))
        made = self.network.prepare(join(text, text.null()))
        keys, values = zip(*made.keys_values)
        return (made.pooled, made.mask, *keys, *values, *(() if made.layout is None else (made.layout,)))


class Network(nn.Module):
    """z [b, 3, h, w] at one log_snr (float32: cards have no float64), a context of as many rows → x0 [b, 3, h, w]."""

    def __init__(self, network: UNet, prediction: str) -> None:
        super().__init__()
        self.network, self.to_x0 = network, PREDICTIONS[prediction].to_x0

    def forward(
        self,
        z: Tensor,
        log_snr: Tensor,
        pooled: Tensor,
        mask: Tensor,
        keys: list[Tensor],
        values: list[Tensor],
        layout: Tensor | None = None,
        low_res: Tensor | None = None,
        aug_level: Tensor | None = None,
    ) -> tuple[Tensor]:
        context = TextContext(pooled, tuple(zip(keys, values)), mask, layout)
        rows = z.shape[:1]
        levels = None if aug_level is None else aug_level.expand(rows)
        predicted = self.network(z, log_snr.expand(rows), context, low_res, levels)
        return (self.to_x0(predicted, z, *alpha_sigma(log_snr)),)


class LowRes(nn.Module):
    """The picture of the stage before, enlarged and noised (run/generate.py): image [b, 3, s, s] → [b, 3, h, w]."""

    def __init__(self, spec: StageSpec) -> None:
        super().__init__()
        self.side, self.kind = spec.shape[-1], spec.augmentation

    def forward(self, image: Tensor, aug_level: Tensor, noise: Tensor) -> tuple[Tensor]:
        return (augment(resize(image.clamp(-1, 1), self.side, self.kind), aug_level, noise, self.kind),)


def context(stage: Stage, width: int) -> Traced:
    """The graph of what depends on the text alone, for tokens ``width`` wide."""
    network = unet_of(stage)
    module = Context(network)
    count = len(
        network.prepare(TextEmbedding(torch.zeros(1, 1, width), torch.ones(1, 1, dtype=torch.bool))).keys_values
    )
    names = ["pooled", "mask", *(f"{kind}_{i}" for kind in ("keys", "values") for i in range(count))]
    names += ["layout"] if network.text_layout is not None else []
    made = torch.Generator().manual_seed(0)
    few, many = (torch.randn(1, n, width, generator=made) for n in (9, 40))
    return Traced(module, {"tokens": few}, {"tokens": {1: "n"}}, names, {"tokens": many})


def network(stage: Stage, width: int) -> Traced:
    """The graph of a stage's network."""
    unet, spec = unet_of(stage), stage.spec
    rows = {0: "b"}
    tokens = {0: "b", 1: "n"}
    free = {"z": rows, "pooled": rows, "mask": tokens, "keys": tokens, "values": tokens, "low_res": rows}
    free |= {"layout": rows} if unet.text_layout is not None else {}
    inputs = _examples(unet, spec, width, rows=2, tokens=9, log_snr=-1.0)
    other = _examples(unet, spec, width, rows=3 if spec.size < 1024 else 1, tokens=17, log_snr=4.0)
    return Traced(Network(unet, spec.prediction), inputs, free, ["x0"], other)


@torch.no_grad()
def _examples(unet: UNet, spec: StageSpec, width: int, *, rows: int, tokens: int, log_snr: float) -> Inputs:
    made = torch.Generator().manual_seed(rows)
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    # The last row is a text of one token, as no text is.
    mask[-1, 1:] = False
    context = unet.prepare(TextEmbedding(torch.randn(rows, tokens, width, generator=made), mask))
    inputs: dict[str, Tensor | list[Tensor]] = {
        "z": torch.randn(rows, *spec.shape, generator=made),
        "log_snr": torch.tensor(log_snr),
        "pooled": context.pooled,
        "mask": mask,
        "keys": [keys for keys, _ in context.keys_values],
        "values": [values for _, values in context.keys_values],
    }
    if context.layout is not None:
        inputs["layout"] = context.layout
    if not spec.is_base:
        inputs |= {"low_res": torch.randn(rows, *spec.shape, generator=made), "aug_level": torch.tensor(0.1)}
    return inputs


def low_res(spec: StageSpec) -> Traced:
    """The graph of a stage's input picture."""
    made = torch.Generator().manual_seed(0)
    side = spec.low_res_size
    assert side is not None

    def inputs(rows: int, level: float) -> Inputs:
        return {
            "image": torch.randn(rows, 3, side, side, generator=made),
            "aug_level": torch.tensor(level, dtype=torch.float64),
            "noise": torch.randn(rows, *spec.shape, generator=made),
        }

    return Traced(LowRes(spec), inputs(2, 0.1), {"image": {0: "b"}, "noise": {0: "b"}}, ["low_res"], inputs(1, 0.3))
