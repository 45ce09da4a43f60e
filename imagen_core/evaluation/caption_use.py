"""How much captions lower the base's loss at each noise level, measured without sampling.

If exchanging left and right in a caption does not raise the loss, the network does not use these words. Some minutes of
this show what 500 samples hardly can (docs/LOG.md).
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from ..diffusion.parameterization import PREDICTIONS
from ..diffusion.schedules import alpha_sigma
from ..models.cascade import Cascade
from ..models.checkpoints import unet_of
from ..networks.unet import UNet
from ..training.data import FRESH_SEEDS
from ..types import Image, TextEmbedding, UserError
from ..worlds.tabletop.exchanges import crowds, numbers, pairs, scenes
from ..worlds.tabletop.render import render
from ..worlds.tabletop.tabletop import TableTop

SCENES, QUICK_SCENES = 160, 32
LEVELS = (-8.0, -5.0, -3.0, -1.0, 1.0)
BATCH = 32


def errors(unet: UNet, x: Image, log_snr: float, text: TextEmbedding, prediction: str) -> Tensor:
    """Each picture's loss at a level [b]; the noise is the same for every text."""
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    levels = torch.full((len(x),), log_snr)
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(levels))
    predictions = [
        unet(z, level, unet.prepare(TextEmbedding(tokens, mask)))
        for z, level, tokens, mask in zip(
            *(t.split(BATCH) for t in (alpha * x + sigma * eps, levels, text.tokens, text.mask))
        )
    ]
    target = PREDICTIONS[prediction].target(x, eps, alpha, sigma)
    return (torch.cat(predictions) - target).square().mean((1, 2, 3))


def measure(cascade: Cascade, count: int) -> dict[str, Any]:
    """For each level: the loss with true captions, what each exchange adds, and the share of scenes where it adds.

    ``sides`` exchanges left and right, ``depths`` in front and behind, ``colours`` the colours of the two things,
    ``numbers`` two and three of a kind (in scenes of their own). ``all`` leaves the caption out. Chance is 0.5.

    Raises:
        UserError: the cascade does not know the table top, or has no base.
    """
    began = time.perf_counter()
    if not isinstance(cascade.world, TableTop) or 64 not in cascade.sizes:
        raise UserError(f"model: {cascade.name} has no base that knows the table top, whose captions these are")
    stage = cascade.stages[0]
    unet = unet_of(stage)
    cases: dict[str, tuple[Image, TextEmbedding, TextEmbedding]] = {}
    rows: list[dict[str, float]] = []
    with torch.inference_mode():
        for chosen, exchange in ((scenes(count, FRESH_SEEDS), pairs), (crowds(count, FRESH_SEEDS), numbers)):
            x, captions = torch.stack([render(scene, stage.spec.size) for scene in chosen]), [*map(exchange, chosen)]
            for name in captions[0]:
                true, untrue = (cascade.encode([each[name][i] for each in captions]) for i in range(2))
                cases[name] = x, true, untrue
        x, true, _ = cases["sides"]
        cases["all"] = x, true, true.null()
        for level in LEVELS:
            row = {"log_snr": level}
            for name, (x, true, untrue) in cases.items():
                right, wrong = (errors(unet, x, level, text, stage.spec.prediction) for text in (true, untrue))
                row.setdefault("loss", round(float(right.mean()), 5))
                row[name] = round(float((wrong - right).mean()), 5)
                row[f"{name}_told"] = round(float((wrong > right).float().mean()), 3)
            rows.append(row)
    return {
        "levels": rows,
        "scenes": count,
        "seconds": round(time.perf_counter() - began, 1),
        "weights": cascade.digest,
    }
