"""Five sizes of each stage's network: S is the shipped one, L is near the paper's (Saharia et al. 2022, App. F)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from .unet import CONFIGS, UNet, UNetConfig, gflop

# Half the widths of S: a quarter of its parameters for the base, under a third for the others. Our choice.
_XXS = {
    "base64": replace(CONFIGS["base64"], channels=(32, 64, 128), embed=128, text=96, detail=8),
    "sr256": replace(CONFIGS["sr256"], channels=(32, 32, 64), embed=128, text=64, detail=8),
    "sr1024": replace(CONFIGS["sr1024"], channels=(32, 32, 64), embed=128, text=64, detail=8),
}
# Between the two: half of the parameters of S for the base, at a third of its time. Our choice.
_XS = {
    "base64": replace(CONFIGS["base64"], channels=(32, 96, 192), embed=192, text=128, detail=8),
    "sr256": replace(CONFIGS["sr256"], channels=(32, 64, 96), embed=192, text=96, detail=12),
    "sr1024": replace(CONFIGS["sr1024"], channels=(32, 64, 96), embed=192, text=96, detail=10),
}
# The middle size doubles widths and adds blocks; both larger ones are our choice and were never trained here.
_M = {
    "base64": replace(CONFIGS["base64"], channels=(128, 256, 512), blocks=(2, 2, 6), embed=512, text=384, detail=32),
    "sr256": replace(CONFIGS["sr256"], channels=(64, 128, 256), blocks=(1, 2, 4), embed=384, text=192, detail=32),
    "sr1024": replace(CONFIGS["sr1024"], channels=(128, 128, 256), blocks=(1, 2, 4), embed=384, text=192, detail=24),
}
_L = {
    "base64": replace(
        CONFIGS["base64"], channels=(192, 384, 768), blocks=(3, 3, 6), embed=1024, text=512, detail=48, text_layers=4
    ),
    "sr256": replace(
        CONFIGS["sr256"],
        channels=(128, 256, 512, 1024),
        blocks=(2, 4, 6, 6),
        attention=("none", "none", "none", "self"),
        embed=1024, text=512, detail=32,
    ),
    "sr1024": replace(
        CONFIGS["sr1024"],
        channels=(128, 256, 512, 1024),
        blocks=(2, 4, 6, 6),
        attention=("none", "none", "none", "text"),
        embed=1024, text=512, detail=32,
    ),
}  # fmt: skip
SIZES: dict[str, dict[str, UNetConfig]] = {"XXS": _XXS, "XS": _XS, "S": dict(CONFIGS), "M": _M, "L": _L}


def config_of(stage: str, size: str, text_width: int = 384, factor: int = 4, text_states: int = 1) -> UNetConfig:
    """The network of a shipped stage, ``"base64"`` and so on, in a size, for a text encoder's hidden layers.

    ``factor`` is how many times a super-resolution stage enlarges its input.
    """
    return replace(SIZES[size][stage], text_width=text_width, factor=factor, text_states=text_states)


# Training keeps each weight, its gradient, its average and two moments of the optimiser, as float32.
BYTES_A_WEIGHT = 4 * 5


def needs(config: UNetConfig, side: int) -> dict[str, Any]:
    """Parameters, cost and memory of a network at ``side`` pixels, without building it.

    What training keeps of each picture comes on top of the memory.
    """
    with torch.device("meta"):
        parameters = sum(p.numel() for p in UNet(config).parameters())
    return {
        "parameters": parameters,
        "gflop_per_evaluation": round(gflop(config, side), 2),
        "training_gb_without_pictures": round(parameters * BYTES_A_WEIGHT / 1e9, 2),
    }
