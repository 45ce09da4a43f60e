"""Floor textures: linear colour at a point of the floor, already blurred to the size of the pixel that sees it.

Every octave fades out where it would be finer than the pixel, so that one scene looks alike at any
resolution and nothing shimmers; the finer a picture is rendered, the more grain, blades and veins it has.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

Plane = Float[Tensor, " p"]


@lru_cache(maxsize=4)
def _lattice(device: str) -> Tensor:
    # One fixed table of random numbers; scenes differ by where on it they lie.
    table = torch.rand(256 * 256, generator=torch.Generator().manual_seed(20221107))
    return table.to(device)


def _noise(u: Plane, v: Plane) -> Plane:
    """Smooth value noise in [-1, 1] with about one bump a unit."""
    table = _lattice(str(u.device))
    iu, iv = u.floor(), v.floor()
    fu, fv = u - iu, v - iv
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    i, j = iu.long(), iv.long()
    i0, i1, j0, j1 = (i & 255) * 256, ((i + 1) & 255) * 256, j & 255, (j + 1) & 255
    low = torch.lerp(table[i0 + j0], table[i1 + j0], fu)
    high = torch.lerp(table[i0 + j1], table[i1 + j1], fu)
    return torch.lerp(low, high, fv) * 2 - 1


def _fade(frequency: float, pixel: Plane) -> Plane:
    """The share of a pattern of this frequency that is left after a box blur of one pixel."""
    return torch.exp(-((1.6 * frequency * pixel) ** 2))


def _octaves(u: Plane, v: Plane, pixel: Plane, frequencies: tuple[float, ...], stretch: float = 1.0) -> Plane:
    """A sum of noises, each finer one at 0.7 of the strength; ``stretch`` > 1 makes it longer along v."""
    total, strength = torch.zeros_like(u), 1.0
    for frequency in frequencies:
        fade = _fade(frequency, pixel)
        if float(fade.max()) > 0.02:
            total = total + strength * fade * _noise(u * frequency, v * frequency / stretch)
        strength *= 0.7
    return total


def _mix(a: tuple[float, float, float], b: tuple[float, float, float], weight: Plane) -> Tensor:
    w = weight.clamp(0, 1).unsqueeze(-1)
    return weight.new_tensor(a) * (1 - w) + weight.new_tensor(b) * w


def _wood(u: Plane, v: Plane, pixel: Plane) -> Tensor:
    width = 0.62
    plank = (u / width).floor()
    tint = _noise(plank * 7.3, plank * 3.1)
    grain = _octaves(u + 0.11 * tint, v + plank * 5.7, pixel, (5.0, 14.0, 40.0, 110.0), stretch=9.0)
    colour = _mix((0.36, 0.17, 0.065), (0.20, 0.085, 0.03), 0.45 + 0.55 * tint + 0.35 * grain)
    edge = ((u / width) - plank - 0.5).abs() * width
    seam = (
        torch.sigmoid((edge - (width / 2 - 0.018)) / (0.005 + 0.45 * pixel)) * (0.018 / (0.018 + 0.25 * pixel)).sqrt()
    )
    return colour * (1 - 0.8 * seam).unsqueeze(-1)


def _grass(u: Plane, v: Plane, pixel: Plane) -> Tensor:
    patches = _octaves(u, v, pixel, (0.7, 2.0))
    blades = _octaves(u, v, pixel, (7.0, 18.0, 45.0, 100.0), stretch=2.5)
    return _mix((0.045, 0.15, 0.02), (0.16, 0.33, 0.045), 0.5 + 0.25 * patches + 0.55 * blades)


def _sand(u: Plane, v: Plane, pixel: Plane) -> Tensor:
    bend = _octaves(u, v, pixel, (0.6, 1.3))
    ripple = torch.sin(9.0 * v + 4.0 * bend) * _fade(1.5, pixel)
    grain = _octaves(u, v, pixel, (30.0, 80.0, 160.0))
    return _mix((0.50, 0.36, 0.19), (0.72, 0.57, 0.34), 0.5 + 0.28 * ripple + 0.2 * bend + 0.35 * grain)


def _marble(u: Plane, v: Plane, pixel: Plane) -> Tensor:
    warp = _octaves(u, v, pixel, (0.9, 2.1, 5.0, 12.0))
    wave = torch.sin(2.2 * u + 1.3 * v + 3.4 * warp).abs()
    vein = torch.exp(-wave / (0.10 + 1.5 * pixel)) * (0.10 / (0.10 + 0.7 * pixel))
    cloud = _octaves(u + 9.0, v, pixel, (0.5, 25.0, 70.0))
    return _mix((0.50, 0.51, 0.54), (0.13, 0.14, 0.17), 0.10 + 0.1 * cloud + 0.8 * vein)


def _checkers(u: Plane, v: Plane, pixel: Plane) -> Tensor:
    # A triangle wave over one tile, cut at a slope as steep as the pixel allows: an anti-aliased square wave.
    tile = 0.9
    side = []
    for x in (u, v):
        triangle = 1 - 2 * ((x / (2 * tile)) % 1 - 0.5).abs()
        wave = (triangle - 0.5) * 2 * tile
        side.append((wave / (0.5 * pixel + 1e-4)).clamp(-1, 1) * _fade(0.22, pixel))
    speckle = 0.05 * _octaves(u, v, pixel, (3.0, 40.0, 90.0))
    return _mix((0.035, 0.035, 0.04), (0.62, 0.60, 0.55), 0.5 + 0.5 * side[0] * side[1] + speckle)


TEXTURES = {"wood": _wood, "grass": _grass, "sand": _sand, "marble": _marble, "checkers": _checkers}
# Linear colour of each floor in a blurred mirror.
MEAN_COLOUR = {
    "wood": (0.29, 0.13, 0.05),
    "grass": (0.10, 0.24, 0.03),
    "sand": (0.61, 0.46, 0.26),
    "marble": (0.42, 0.43, 0.46),
    "checkers": (0.32, 0.31, 0.29),
}
