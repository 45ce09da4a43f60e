"""The detector: a 64 × 64 picture → the things in it, its floor and its light.

A small convolutional network, trained only on true renders, never on samples (detector_training.py). For each of
16 × 16 cells it predicts whether a thing's centre is there and which thing it is (a heat map of centres: Zhou et al.
2019, arXiv 1904.07850). It predicts floor and light from the whole picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.assets import ASSETS
from ..files.checked import read_tensors
from ..types import Image, UserError
from ..worlds.tabletop.vocabulary import COLOURS, FLOORS, LIGHTS, MATERIALS, SHAPES, SIZES, WORLD_VERSION

SIZE = 64
CELLS = 16
STRIDE = SIZE // CELLS
FOLDER = ASSETS / "detector"
# A cell's channels for the thing in it, in order; the heat, the offset x, y and the depth come before them.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": tuple(SHAPES),
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "material": tuple(MATERIALS),
}
WHOLE: dict[str, tuple[str, ...]] = {"floor": tuple(FLOORS), "light": tuple(LIGHTS)}
FILE = "detector.safetensors"
# A cell hotter than this holds a centre. Chosen on scenes that neither training nor the figures use.
HEAT = 0.5
# No two things of the world stand closer than this on the screen, in pixels.
APART = 4.5


@dataclass(frozen=True)
class Found:
    """A detected thing: x, y of its centre in [-1, 1] (right, down), z away from the camera, the heat of its cell."""

    shape: str
    colour: str
    size: str
    material: str
    x: float
    y: float
    z: float
    heat: float


@dataclass(frozen=True)
class Reading:
    """What the detector reads from one picture."""

    things: tuple[Found, ...]
    floor: str
    light: str


@dataclass(frozen=True)
class Raw:
    """The network's outputs: channels of each cell, logits of the whole picture, and the features behind these."""

    cells: Float[Tensor, "b c 16 16"]
    whole: dict[str, Float[Tensor, "b k"]]
    features: Float[Tensor, "b f"]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def _down(inner: int, outer: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, kernel, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer), nn.ReLU())


class Detector(nn.Module):
    """The network, 0.25 GFLOP a picture. Its input has coordinates too: position tells a small thing from a far one."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_down(5, 32, 4), _Block(32))
        self.middle = nn.Sequential(_down(32, 64, 3), _Block(64), _Block(64))
        self.coarse = nn.Sequential(_down(64, 128, 3), _Block(128), _Block(128))
        self.join = nn.Sequential(nn.Conv2d(192, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), _Block(64))
        self.cells = nn.Conv2d(64, 4 + sum(map(len, ATTRIBUTES.values())), 1)
        # Almost every cell is empty, so the first prediction is that all are.
        nn.init.constant_(self.cells.bias[:1], -4.0)  # type: ignore[index]
        self.whole = nn.ModuleDict({name: nn.Linear(128, len(words)) for name, words in WHOLE.items()})

    def forward(self, images: Image) -> Raw:
        """The network's outputs for pictures [b, 3, 64, 64] in [-1, 1]."""
        line = (torch.arange(SIZE, device=images.device) + 0.5) * (2 / SIZE) - 1
        y, x = torch.meshgrid(line, line, indexing="ij")
        places = torch.stack([x, y]).expand(len(images), 2, SIZE, SIZE)
        fine = self.fine(torch.cat([images, places], 1).contiguous(memory_format=torch.channels_last))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        joined = self.join(torch.cat([middle, F.interpolate(coarse, scale_factor=2.0)], 1))
        pooled = coarse.mean((2, 3))
        whole = {name: head(pooled) for name, head in self.whole.items()}
        return Raw(self.cells(joined), whole, pooled)


def centre_of_cells(device: torch.device | str = "cpu") -> Float[Tensor, "256 2"]:
    """x and y of every cell's centre in pixels, row by row."""
    line = (torch.arange(CELLS, device=device) + 0.5) * STRIDE
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def read(raw: Raw) -> list[Reading]:
    """The things of each picture: the hottest cells, without a second cell for the same thing."""
    cells = raw.cells.float().flatten(2).transpose(1, 2).cpu()
    heat = cells[..., 0].sigmoid()
    places = centre_of_cells() + cells[..., 1:3] * STRIDE
    words = dict(zip(ATTRIBUTES, cells[..., 4:].split([len(w) for w in ATTRIBUTES.values()], -1)))
    numbers = {name: logits.argmax(-1) for name, logits in words.items()}
    whole = {name: [WHOLE[name][i] for i in logits.argmax(1).tolist()] for name, logits in raw.whole.items()}
    readings = []
    for row in range(len(cells)):
        kept: list[int] = []
        for cell in heat[row].argsort(descending=True).tolist():
            if heat[row, cell] < HEAT:
                break
            if all(float((places[row, cell] - places[row, other]).norm()) > APART for other in kept):
                kept.append(cell)
        things = []
        for cell in kept:
            x, y = (places[row, cell] * (2 / SIZE) - 1).tolist()
            named = {name: ATTRIBUTES[name][int(number[row, cell])] for name, number in numbers.items()}
            things.append(Found(**named, x=x, y=y, z=float(cells[row, cell, 3]), heat=float(heat[row, cell])))
        readings.append(Reading(tuple(things), whole["floor"][row], whole["light"][row]))
    return readings


@torch.no_grad()
def look(detector: Detector, images: Image, *, batch: int = 64) -> tuple[list[Reading], Float[Tensor, "n f"]]:
    """A reading of each picture (64 × 64, in [-1, 1]), and the features for a Fréchet distance."""
    readings, features = [], []
    for part in images.split(batch):
        raw = detector(part.clamp(-1, 1))
        readings += read(raw)
        features.append(raw.features)
    return readings, torch.cat(features)


@lru_cache(maxsize=1)
def load_detector(folder: Path = FOLDER) -> tuple[Detector, str]:
    """The shipped detector and its digest.

    Raises:
        UserError: a file is missing or altered, or made for another world or network.
    """
    path = folder / "detector.json"
    try:
        facts = json.loads(path.read_bytes())
        world, digests = int(facts["world_version"]), {str(k): str(v) for k, v in facts["digests"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"detector: {path} is missing or no detector's description ({type(error).__name__})") from error
    if world != WORLD_VERSION:
        raise UserError(f"detector: {path} knows world {world}, this is world {WORLD_VERSION}")
    weights = read_tensors(folder, [FILE], digests)
    detector = Detector()
    expected = {name: value.shape for name, value in detector.state_dict().items()}
    if {name: value.shape for name, value in weights.items()} != expected:
        raise UserError(f"detector: the weights in {folder} do not fit the network")
    detector.load_state_dict(weights)
    return detector.to(memory_format=torch.channels_last).eval().requires_grad_(False), digests[FILE]  # type: ignore[call-overload]
