"""What a network in training draws: a picture to look at, every so often and at the end."""

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
from ..settings import DEFAULTS, Plan
from ..types import StageResult, StageSpec
from ..worlds.tabletop.captions import caption
from ..worlds.tabletop.render import render
from ..worlds.tabletop.scenes import Scene, sample_scene
from .data import FRESH_SEEDS

PROMPTS = (
    "a large red sphere to the left of a small blue cube on grass at sunset",
    "a large green cube on sand in daylight",
    "a big yellow cone on wood at noon",
    "a shiny purple sphere on a chessboard at night",
    "two red cubes on marble in daylight",
    "three small orange balls on grass at noon",
    "a white cylinder in front of a blue ball on sand at dusk",
    "a pink cone to the right of a green cylinder on wood in daylight",
    "a glossy blue sphere on marble at noon",
    "a red ball and a yellow box on a wooden table at night",
    # Held out of training: words, then pairs of colour and shape.
    "a scarlet orb on turf at twilight",
    "a red cone on sand at noon",
)
SCENES = 3
# A 1024 picture is shown through a window of this side, at full resolution.
WINDOW = 256


def draw_grid(unet: UNet, spec: StageSpec, encoder: TextEncoder, file: Path) -> None:
    """Draw ``file``: prompts for a base; bicubic, output and truth of fresh scenes for a super-resolution stage."""
    # A copy on the CPU: sampling draws its noise there, and training goes on undisturbed.
    stage = Stage(spec, copy.deepcopy(unet).cpu().eval(), {})
    file.parent.mkdir(parents=True, exist_ok=True)
    if spec.low_res_size is None:
        images = [_run(stage, encoder, prompt, None)[0] for prompt in PROMPTS]
        save_grid(images, PROMPTS, 4, file)
    else:
        rows = [_upscale(stage, encoder, sample_scene(FRESH_SEEDS + i), i) for i in range(SCENES)]
        save_grid([image for row in rows for image in row], ["bicubic", spec.name, "truth"] * SCENES, 3, file)


@torch.no_grad()
def _run(stage: Stage, encoder: TextEncoder, prompt: str, image: Tensor | None) -> Tensor:
    plan = Plan(DEFAULTS[stage.spec.size], stage.spec.schedule)
    events: Iterable = run_stage(stage, plan, Inputs(encoder([prompt]), (0,), image))
    return next(event.image for event in events if isinstance(event, StageResult))


def _upscale(stage: Stage, encoder: TextEncoder, scene: Scene, seed: int) -> list[Tensor]:
    """The same window of a scene's bicubic enlargement, the stage's output, and its true render."""
    size, small = stage.spec.size, stage.spec.low_res_size or 0
    truth = render(scene, size)[None]
    low_res = resize(truth, small)
    made = _run(stage, encoder, caption(scene, seed), low_res)
    # Around the first thing's foot, where edges, shadow and floor meet.
    foot = scene.things[0].down_screen(0.0), scene.things[0].on_screen()[0]
    top, left = (int(min(max((at + 1) * size / 2 - WINDOW / 2, 0), size - WINDOW)) for at in foot)
    return [image[0, :, top : top + WINDOW, left : left + WINDOW] for image in (bicubic(low_res, size), made, truth)]
