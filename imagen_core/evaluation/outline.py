"""Outlines: how far the edge of each thing in a picture lies from the edge of a true thing of that shape.

Detector and Fréchet distance hardly see a dented ball: it is still a ball. People see nothing else. A small network
(outline_training.py) says which pixels belong to things. The pixels of one thing are moved and scaled to a fixed place
and area, and compared with all outlines that a true thing of that shape can have there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.assets import ASSETS
from ..files.checked import read_tensors
from ..types import Image, UserError
from ..worlds.tabletop.geometry import FAR, intersect
from ..worlds.tabletop.render import rays
from ..worlds.tabletop.scenes import DIMENSIONS, Scene, Thing
from .detector import Reading

FOLDER = ASSETS / "outlines"
FILE = "outlines.safetensors"
# Pictures of all stages are looked at in this size, in pixels: what a base's outlines become when enlarged.
SIDE = 128
# The fixed frame that things are compared in: its side, and the area that a thing is scaled to.
FRAME, AREA = 64, 900.0
# Things that cover less than this share of a picture are left out: their outline has too few pixels.
LEAST = 0.004
# Where true things stand whose outlines are compared with, as sample_scene places them, and how cubes are turned.
ACROSS, ALONG = (-1.5, -0.75, 0.0, 0.75, 1.5), (-0.8, 0.0, 0.8, 1.6)
TURNS = tuple(math.radians(angle) for angle in range(18, 73, 6))


class Segmenter(nn.Module):
    """A U-Net of 0.1 M parameters: pictures [b, 3, 128, 128] → logits [b, 1, 128, 128] of belonging to a thing."""

    WIDTHS = (16, 24, 32, 48)

    def __init__(self) -> None:
        super().__init__()
        widths = self.WIDTHS
        self.down = nn.ModuleList(_block(inner, outer) for inner, outer in zip((3, *widths), widths))
        self.up = nn.ModuleList(_block(widths[i] + widths[i + 1], widths[i]) for i in range(len(widths) - 1))
        self.out = nn.Conv2d(widths[0], 1, 1)

    def forward(self, images: Image) -> Float[Tensor, "b 1 h w"]:
        """The logits; height and width are multiples of 8."""
        skips = []
        h = images
        for i, block in enumerate(self.down):
            h = block(F.avg_pool2d(h, 2) if i else h)
            skips.append(h)
        for i in reversed(range(len(self.up))):
            larger = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
            h = self.up[i](torch.cat([larger, skips[i]], 1))
        return self.out(h)


def _block(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inner, outer):
        layers += [nn.Conv2d(width, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers)


def silhouettes(scene: Scene, size: int, *, samples: int = 4) -> Float[Tensor, "n h w"]:
    """The share of each pixel that each thing of the scene covers, as the camera sees it, in [0, 1]."""
    o, d = rays(scene, size * samples)
    distances = torch.stack([torch.full((len(d),), FAR / 2), *(intersect(thing, o, d)[0] for thing in scene.things)])
    seen = F.one_hot(distances.argmin(0), len(distances))[:, 1:].T.float()
    return F.avg_pool2d(seen.reshape(-1, size * samples, size * samples)[None], samples)[0]


def at_side(images: Image) -> Float[Tensor, "b 3 128 128"]:
    """Pictures of any stage at SIDE pixels, in [-1, 1]."""
    smaller = images.shape[-1] > SIDE
    if smaller:
        return F.interpolate(images, size=(SIDE, SIDE), mode="area").clamp(-1, 1)
    return F.interpolate(images, size=(SIDE, SIDE), mode="bicubic", align_corners=False).clamp(-1, 1)


def framed(masks: Float[Tensor, "n h w"]) -> Float[Tensor, "n 64 64"]:
    """Each mask moved so that its centre of mass is in the middle, and scaled to the area AREA."""
    n, height, width = masks.shape
    mass = masks.sum((1, 2)).clamp_min(1e-6)
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    centre_x, centre_y = (masks.sum(1) * x).sum(1) / mass, (masks.sum(2) * y).sum(1) / mass
    # One pixel of the frame is this many of the mask's.
    scale = (mass / AREA).sqrt() * FRAME / width
    zero = torch.zeros_like(scale)
    affine = torch.stack([scale, zero, centre_x, zero, scale, centre_y], 1).reshape(n, 2, 3)
    grid = F.affine_grid(affine, [n, 1, FRAME, FRAME], align_corners=False)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


@lru_cache(maxsize=len(DIMENSIONS))
def true_outlines(shape: str) -> Float[Tensor, "k 64 64"]:
    """The framed silhouettes of large things of a shape, wherever a scene can have one and however it is turned."""
    turns = TURNS if shape == "cube" else TURNS[:1]
    places = [(x, z, turn) for x in ACROSS for z in ALONG for turn in turns]
    things = [Thing(shape, "red", "large", "matte", x, z, turn) for x, z, turn in places]
    scenes = [Scene((thing,), "grass", "daylight", (0.0, 0.0), 0.0, 0.0, (0.0, 0.0)) for thing in things]
    masks = torch.cat([silhouettes(scene, SIDE, samples=2) for scene in scenes])
    # A thing that the picture's edge cuts has another outline.
    whole = (masks[:, :, 0].amax(1) == 0) & (masks[:, :, -1].amax(1) == 0)
    return framed(masks[whole])


def distances(framed_masks: Float[Tensor, "n 64 64"], shape: str) -> Float[Tensor, " n"]:
    """The mean distance of each outline to the nearest true one, as a share of the thing's width ``sqrt(area)``.

    The area between two outlines, divided by the length of the true one, is the mean distance between them.
    """
    truth = true_outlines(shape)
    between = torch.cdist(framed_masks.flatten(1), truth.flatten(1), p=1)
    return (between / _length(truth)).amin(1) / math.sqrt(AREA)


def _length(masks: Float[Tensor, "k h w"]) -> Float[Tensor, " k"]:
    """The length of each outline in pixels: the total variation, which does not depend on the pixels' grid."""
    down, across = masks.diff(dim=1)[:, :, :-1], masks.diff(dim=2)[:, :-1]
    return (down.square() + across.square()).sqrt().sum((1, 2))


@torch.no_grad()
def outline_errors(segmenter: Segmenter, images: Image, readings: Sequence[Reading]) -> list[float]:
    """The distance (:func:`distances`) of each thing that stands alone in its picture, of all pictures [b, 3, s, s].

    ``readings`` are the detector's of the same pictures at 64 × 64. Things that touch another thing or the edge of the
    picture are left out, and so are tiny ones.
    """
    errors: list[float] = []
    for start in range(0, len(images), 16):
        belonging = segmenter(at_side(images[start : start + 16])).sigmoid()[:, 0]
        for soft, reading in zip(belonging, readings[start : start + 16]):
            for mask, shape in _alone(soft, reading):
                errors.append(float(distances(framed(mask[None]), shape)))
    return errors


def outline_score(segmenter: Segmenter, images: Image, readings: Sequence[Reading]) -> float | None:
    """The median of :func:`outline_errors` in hundredths of a thing's width; None where nothing stands alone."""
    errors = outline_errors(segmenter, images, readings)
    return round(100 * median(errors), 2) if errors else None


def _alone(soft: Float[Tensor, "h w"], reading: Reading) -> list[tuple[Float[Tensor, "h w"], str]]:
    """The masks of the things that touch nothing, with their shapes."""
    hard = soft > 0.5
    pixels = [tuple(int((c + 1) * SIDE / 2) for c in (thing.y, thing.x)) for thing in reading.things]
    masks = []
    for thing, (row, column) in zip(reading.things, pixels):
        mine = _connected(hard, row, column)
        edge = mine[0].any() or mine[-1].any() or mine[:, 0].any() or mine[:, -1].any()
        others = sum(bool(mine[r, c]) for r, c in pixels) > 1
        if not edge and not others and float(mine.float().mean()) >= LEAST:
            # The soft edge of an unsure network lies further out than the outline; half is where both agree.
            masks.append((mine.float(), thing.shape))
    return masks


def _connected(hard: Tensor, row: int, column: int) -> Tensor:
    """The connected pixels around a place; none where the place itself is empty."""
    mine = torch.zeros_like(hard, dtype=torch.float32)
    mine[row, column] = 1.0
    within = hard.float()
    mine = mine * within
    while True:
        # Eight pixels at a time stay within the mask only because each step is cut by it.
        grown = mine
        for _ in range(8):
            grown = F.max_pool2d(grown[None], 3, stride=1, padding=1)[0] * within
        if torch.equal(grown, mine):
            return mine > 0
        mine = grown


@lru_cache(maxsize=1)
def load_segmenter(folder: Path = FOLDER) -> Segmenter:
    """The shipped segmenter.

    Raises:
        UserError: a file is missing or altered, or does not fit the network.
    """
    path = folder / "outlines.json"
    try:
        digest = str(json.loads(path.read_text())["digests"][FILE])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"outlines: {path} is missing or no description ({type(error).__name__})") from error
    weights, segmenter = read_tensors(folder, [FILE], {FILE: digest}), Segmenter()
    if {name: value.shape for name, value in weights.items()} != {
        name: value.shape for name, value in segmenter.state_dict().items()
    }:
        raise UserError(f"outlines: the weights in {folder} do not fit the network")
    segmenter.load_state_dict(weights)
    return segmenter.eval().requires_grad_(False)
