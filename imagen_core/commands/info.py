"""``info``: what a model is made of."""

from __future__ import annotations

import argparse
from typing import Any

from .options import add_model_argument, loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    parser.add_argument(
        "--networks",
        action="store_true",
        help="what a network of each size and stage needs, for train --network; nothing is built",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The model's stages, sizes and text encoder; of a large one, what it needs before anything is loaded."""
    if args.networks:
        return _networks()
    from ..models.checkpoints import unet_of
    from ..models.opening import load_cascade, memory_plan
    from ..networks.unet import gflop

    wanted = loading(args)
    if plan := memory_plan(args.model, wanted):
        return plan
    cascade = load_cascade(args.model, wanted)
    stages = {
        stage.spec.name: {
            "size": stage.spec.size,
            "schedule": stage.spec.schedule,
            "prediction": stage.spec.prediction,
            "parameters": sum(p.numel() for p in unet_of(stage).parameters()),
            "gflop_per_evaluation": round(gflop(unet_of(stage).config, stage.spec.size), 2),
            "training": stage.training,
        }
        for stage in cascade.stages
    }
    encoder = {"name": cascade.encode.name, "digest": cascade.encode.digest, "width": cascade.encode.width}
    return {
        "name": cascade.name,
        "weights": cascade.digest,
        "dtype": str(cascade.dtype).removeprefix("torch."),
        "text_encoder": encoder,
        "stages": stages,
    }


def _networks() -> dict[str, Any]:
    from ..networks.sizes import SIZES, needs
    from ..training.recipes import STAGES

    return {
        size: {name: needs(configs[spec.name], spec.size) for name, spec in STAGES.items()}
        for size, configs in SIZES.items()
    }
