"""The ray-caster: a scene → a picture, any resolution, any crop at that crop's cost, CPU or CUDA.

One primary ray per sub-pixel, sixteen shadow rays per pixel towards a disc-shaped sun, ambient light
with contact shadows, and on shiny things a highlight and a faint, blurred mirror image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .floors import MEAN_COLOUR, TEXTURES
from .geometry import FAR, blocked, dot, intersect, unit
from .scenes import CAMERA_DISTANCE, CAMERA_HEIGHT, HALF_FIELD, LOOK_AT_HEIGHT, Scene, Thing

Colour = tuple[float, float, float]

# Linear albedo of each colour.
ALBEDO: dict[str, Colour] = {
    "red": (0.68, 0.012, 0.012),
    "orange": (0.90, 0.20, 0.004),
    "yellow": (0.88, 0.66, 0.012),
    "green": (0.012, 0.36, 0.05),
    "blue": (0.012, 0.07, 0.72),
    "purple": (0.20, 0.022, 0.44),
    "pink": (0.92, 0.26, 0.46),
    "white": (0.86, 0.86, 0.86),
}


@dataclass(frozen=True)
class Light:
    """Sun (or moon) and sky: elevation and apparent radius in degrees, linear colours."""

    elevation: float
    azimuth: float
    radius: float
    sun: Colour
    ambient: Colour
    horizon: Colour
    zenith: Colour


LIGHTING = {
    "daylight": Light(50, -48, 2.5, (1.02, 0.98, 0.90), (0.34, 0.37, 0.42), (0.60, 0.76, 0.92), (0.16, 0.36, 0.80)),
    "sunset": Light(24, -64, 2.0, (1.12, 0.76, 0.50), (0.32, 0.25, 0.27), (0.98, 0.42, 0.12), (0.36, 0.12, 0.28)),
    "night": Light(46, 40, 3.0, (0.47, 0.48, 0.53), (0.110, 0.116, 0.146), (0.030, 0.045, 0.11), (0.004, 0.007, 0.03)),
}
SHADOW_RAYS = 16
CHUNK = 1 << 15
# Smaller pictures are shrunk from at least this size, as the inputs of super-resolution are: two samples along a pixel
# of a 64 × 64 picture made steps of every edge, and the base learnt the steps (docs/LOG.md).
SMOOTH = 128
# Pictures that are kept on disk were drawn by one version of this file; a change that moves pixels counts up.
LOOK = 2


def render(
    scene: Scene,
    size: int,
    *,
    crop: tuple[int, int, int, int] | None = None,
    samples: int = 2,
    device: str = "cpu",
) -> Float[Tensor, "3 h w"]:
    """Render ``scene`` as a ``size`` × ``size`` picture in [-1, 1] (sRGB), or the ``crop`` of it.

    ``crop`` is (top, left, height, width) in pixels of that picture; ``samples`` is the number of sub-pixels along
    each side. A picture below SMOOTH pixels is a larger one shrunk by area. The same arguments give the same picture.
    """
    top, left, height, width = crop or (0, 0, size, size)
    if not (top >= 0 and left >= 0 and 0 < height <= size - top and 0 < width <= size - left):
        raise ValueError(f"crop: {crop} does not lie within a picture of {size} × {size} pixels")
    if size < SMOOTH:
        factor = -(-SMOOTH // size)
        larger = (top * factor, left * factor, height * factor, width * factor)
        return F.avg_pool2d(render(scene, size * factor, crop=larger, samples=samples, device=device), factor)
    fine = [(torch.arange(n * samples, device=device) + 0.5) / samples for n in (height, width)]
    rows, columns = (fine[0] + top) * 2 / size - 1, (fine[1] + left) * 2 / size - 1
    # Whole pixels only: each sub-row of a pixel takes its own part of the sun.
    per_chunk = max(1, CHUNK // len(columns) // samples) * samples
    lines = [_trace(scene, part, columns, size, samples) for part in rows.split(per_chunk)]
    linear = torch.cat(lines).reshape(height, samples, width, samples, 3).mean((1, 3))
    srgb = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055)
    return (srgb * 2 - 1).permute(2, 0, 1)


def _trace(scene: Scene, rows: Tensor, columns: Tensor, size: int, samples: int) -> Float[Tensor, "r c 3"]:
    """Linear colour, tone-mapped to [0, 1], of every sub-pixel in these rows."""
    light = LIGHTING[scene.light]
    o, d = _rays(scene, rows, columns)
    # The half angle of a pixel grows with distance into its footprint on a surface.
    pixel = 2 * HALF_FIELD / size
    sun = _sun_directions(light, scene.sun_turn, o.device)
    floor_t = torch.where(d[:, 1] < -1e-4, -o[:, 1] / d[:, 1].clamp_max(-1e-4), FAR)
    nearest, which = floor_t, torch.zeros_like(floor_t, dtype=torch.long)
    normal = torch.zeros_like(d)
    normal[:, 1] = 1
    for number, solid in enumerate(scene.things, start=1):
        t, n = intersect(solid, o, d)
        closer = t < nearest
        nearest, which = torch.where(closer, t, nearest), torch.where(closer, number, which)
        normal = torch.where(closer.unsqueeze(-1), n, normal)
    colour = _sky(light, d)
    column = torch.arange(len(rows) * len(columns), device=o.device) % samples
    row = torch.arange(len(rows) * len(columns), device=o.device) // len(columns) % samples
    surfaces: tuple[Thing | None, ...] = (None, *scene.things)
    for number, thing in enumerate(surfaces):
        seen = ((which == number) & (nearest < FAR / 2)).nonzero().squeeze(1)
        if len(seen) == 0:
            continue
        p, n, ray = o[seen] + nearest[seen, None] * d[seen], normal[seen], d[seen]
        # Each sub-pixel takes its own share of the sun's disc; together they cover it.
        share = (row * samples + column)[seen]
        lit = _sunlight(scene, p, n, sun, share, samples * samples)
        ambient = p.new_tensor(light.ambient) * _openness(scene, p, n, thing).unsqueeze(-1)
        incoming = lit.unsqueeze(-1) * p.new_tensor(light.sun) + ambient
        if thing is None:
            footprint = pixel * nearest[seen] * (0.5 + 0.5 / (-ray[:, 1]).clamp_min(0.02))
            shaded = _floor(scene, p, footprint) * incoming
            # Haze: the floor meets the sky without an edge that flickers.
            haze = (1 - torch.exp(-((nearest[seen] / 24) ** 2))).unsqueeze(-1)
            shaded = shaded * (1 - haze) + p.new_tensor(light.horizon) * haze
        else:
            shaded = p.new_tensor(ALBEDO[thing.colour]) * incoming
            if thing.material == "shiny":
                shaded = shaded + _gloss(scene, light, thing, p, n, ray, sun.mean(0), lit)
        colour[seen] = shaded
    # A soft shoulder above 0.8 keeps highlights from clipping hard.
    bright = 0.8 + 0.2 * (1 - torch.exp(-(colour - 0.8).clamp_min(0) / 0.2))
    return torch.where(colour > 0.8, bright, colour).reshape(len(rows), len(columns), 3)


def camera(scene: Scene, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the eye is, and the unit vectors forward, to the right and up of the picture."""
    shift = scene.camera_shift
    eye = torch.tensor([shift[0], CAMERA_HEIGHT + shift[1], -CAMERA_DISTANCE], device=device)
    forward = unit(eye.new_tensor([0.0, LOOK_AT_HEIGHT, 0.0]) - eye)
    right = unit(torch.linalg.cross(eye.new_tensor([0.0, 1.0, 0.0]), forward))
    return eye, forward, right, torch.linalg.cross(forward, right)


def rays(scene: Scene, size: int) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"]]:
    """Where the rays through all pixels of a ``size`` × ``size`` picture begin, and their directions, row by row."""
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    return _rays(scene, line, line)


def _rays(scene: Scene, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    eye, forward, right, up = camera(scene, rows.device)
    y, x = torch.meshgrid(-rows * HALF_FIELD, columns * HALF_FIELD, indexing="ij")
    d = unit(forward + x.reshape(-1, 1) * right + y.reshape(-1, 1) * up)
    return eye.expand_as(d), d


def _sun_directions(light: Light, turn: float, device: torch.device) -> Float[Tensor, "16 3"]:
    """Directions towards points spread evenly over the sun's disc (Vogel's spiral)."""
    elevation, azimuth = math.radians(light.elevation), math.radians(light.azimuth + 12 * turn)
    centre = torch.tensor(
        [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), -math.cos(azimuth) * math.cos(elevation)],
        device=device,
    )
    side = unit(torch.linalg.cross(centre, centre.new_tensor([0.0, 1.0, 0.0])))
    up = torch.linalg.cross(side, centre)
    k = torch.arange(SHADOW_RAYS, device=device)
    radius = math.tan(math.radians(light.radius)) * ((k + 0.5) / SHADOW_RAYS).sqrt()
    angle = k * math.pi * (3 - math.sqrt(5))
    return unit(centre + (radius * angle.cos())[:, None] * side + (radius * angle.sin())[:, None] * up)


def _sunlight(scene: Scene, p: Tensor, n: Tensor, sun: Tensor, share: Tensor, shares: int) -> Float[Tensor, " p"]:
    """Lambert's cosine times the visible part of the sun, over this sub-pixel's share of its disc."""
    start = p + 2e-3 * n
    total = torch.zeros(len(p), device=p.device)
    rays = max(1, SHADOW_RAYS // shares)
    for ray in range(rays):
        d = sun[(share + ray * shares) % SHADOW_RAYS]
        cosine = dot(n, d).clamp_min(0)
        shadow = cosine <= 0
        for thing in scene.things:
            shadow = shadow | blocked(thing, start, d)
        total += torch.where(shadow, 0.0, cosine)
    return total / rays


def _openness(scene: Scene, p: Tensor, n: Tensor, own: Thing | None) -> Float[Tensor, " p"]:
    """Share of the sky a point sees: less beside other things and, on their sides, near the floor."""
    open_sky = 0.62 + 0.38 * n[:, 1]
    for thing in scene.things:
        if thing is own:
            continue
        towards = p.new_tensor([thing.x, thing.height / 2, thing.z]) - p
        squared = dot(towards, towards).clamp_min(1e-3)
        cosine = (dot(n, towards) / squared.sqrt()).clamp_min(0)
        ball = (0.5 * thing.height * thing.radius) / squared
        open_sky = open_sky * (1 - 0.9 * (cosine * ball).clamp_max(1))
    if own is not None:
        open_sky = open_sky * (0.72 + 0.28 * (p[:, 1] / (0.4 * own.height)).clamp(0, 1))
    return open_sky


def _floor(scene: Scene, p: Tensor, footprint: Tensor) -> Tensor:
    c, s = math.cos(scene.floor_turn), math.sin(scene.floor_turn)
    u = c * p[:, 0] + s * p[:, 2] + scene.floor_offset[0]
    v = c * p[:, 2] - s * p[:, 0] + scene.floor_offset[1]
    return TEXTURES[scene.floor](u, v, footprint)


def _sky(light: Light, d: Tensor) -> Tensor:
    height = (d[:, 1] * 5.0).clamp(0, 1).unsqueeze(-1)
    return d.new_tensor(light.horizon) * (1 - height) + d.new_tensor(light.zenith) * height


def _gloss(
    scene: Scene, light: Light, own: Thing, p: Tensor, n: Tensor, ray: Tensor, sun: Tensor, lit: Tensor
) -> Tensor:
    """Highlight (Blinn–Phong) and a faint mirror image, blurred by averaging a few tilted mirrors."""
    half_way = unit(sun - ray)
    highlight = 0.9 * dot(n, half_way).clamp_min(0) ** 90 * (lit > 0)
    facing = -dot(ray, n)
    fresnel = (0.07 + 0.45 * (1 - facing.clamp(0, 1)) ** 4).unsqueeze(-1)
    start = p + 2e-3 * n
    mirror = torch.zeros_like(p)
    floor = p.new_tensor(MEAN_COLOUR[scene.floor]) * (p.new_tensor(light.sun) * 0.55 + p.new_tensor(light.ambient))
    tilts = torch.tensor([[0.05, 0.0, 0.03], [-0.05, 0.02, 0.0], [0.0, -0.05, -0.03], [0.02, 0.04, -0.05]])
    for tilt in tilts.to(p.device):
        m = unit(n + tilt)
        d = unit(ray - 2 * dot(ray, m).unsqueeze(-1) * m)
        up = torch.sigmoid(d[:, 1:2] / 0.03)
        seen = _sky(light, d) * up + floor * (1 - up)
        for thing in scene.things:
            if thing is not own:
                hit = blocked(thing, start, d).unsqueeze(-1)
                flat = p.new_tensor(ALBEDO[thing.colour]) * (
                    p.new_tensor(light.sun) * 0.5 + p.new_tensor(light.ambient)
                )
                seen = torch.where(hit, flat, seen)
        mirror += seen / len(tilts)
    return fresnel * mirror + highlight.unsqueeze(-1) * p.new_tensor(light.sun) * (1.0 if light.sun[0] > 0.5 else 2.2)
