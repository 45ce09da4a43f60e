"""Sample grids: what a network in training draws, every so often and at the end."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion.augmentation import bicubic, resize
from ..models.cascade import Stage
from ..networks.text import TextEncoder
from ..networks.unet import UNet
from ..records.png import save_grid
from ..run.generate import Inputs, run_stage
from ..settings import Plan, StageConfig
from ..types import StageResult, StageSpec
from ..worlds.world import World
from .data import FRESH_SEEDS

# Fresh pictures that a super-resolution stage is shown on.
PICTURES = 3
# A 1024 picture is shown through a window of this side, at full resolution.
WINDOW = 256


def draw_grid(unet: UNet, spec: StageSpec, config: StageConfig, world: World, encoder: TextEncoder, file: Path) -> None:
    """Draw ``file``: the world's prompts for a base; bicubic, output and truth for a super-resolution stage.

    ``config`` has the settings to sample with.
    """
    # A copy on the CPU, where sampling draws its noise; training is not disturbed.
    stage = Stage(spec, copy.deepcopy(unet).cpu().eval(), {})
    file.parent.mkdir(parents=True, exist_ok=True)
    if spec.is_base:
        images = [_run(stage, config, encoder, prompt, None)[0] for prompt in world.prompts]
        save_grid(images, world.prompts, 4, file)
    else:
        rows = [_upscale(stage, config, encoder, world, FRESH_SEEDS + i) for i in range(PICTURES)]
        save_grid([image for row in rows for image in row], ["bicubic", spec.name, "truth"] * PICTURES, 3, file)


@torch.no_grad()
def _run(stage: Stage, config: StageConfig, encoder: TextEncoder, prompt: str, image: Tensor | None) -> Tensor:
    plan = Plan(config, stage.spec.schedule)
    events: Iterable = run_stage(stage, plan, Inputs(encoder([prompt]), (0,), image))
    return next(event.image for event in events if isinstance(event, StageResult))


def _upscale(stage: Stage, config: StageConfig, encoder: TextEncoder, world: World, seed: int) -> list[Tensor]:
    """The same window of a picture's bicubic enlargement, the stage's output, and the true picture."""
    size, small = stage.spec.size, stage.spec.low_res_size or 0
    truth = world.picture(seed, size)[None]
    low_res = resize(truth, small)
    output = _run(stage, config, encoder, world.caption(seed, seed), low_res)
    top, left, height, width = world.crop(seed, size, min(WINDOW, size))
    window = (0, slice(None), slice(top, top + height), slice(left, left + width))
    return [image[window] for image in (bicubic(low_res, size), output, truth)]
