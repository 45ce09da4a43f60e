"""Scenes: what stands where on the table top, and a random scene for each seed.

Coordinates: x to the right, y up, z away from the camera; the floor is y = 0. One unit is about a
quarter of the picture's height at the middle of the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .vocabulary import COLOURS, FLOORS, HELD_OUT_PAIRS, LIGHTS, MATERIALS, SHAPES, SIZES

# Height and half-width of each shape when large; a small one is scaled by SMALL.
DIMENSIONS = {"sphere": (1.70, 0.85), "cube": (1.40, 0.70), "cylinder": (1.65, 0.66), "cone": (1.90, 0.88)}
SMALL = 0.56
CAMERA_DISTANCE, CAMERA_HEIGHT, LOOK_AT_HEIGHT = 5.0, 2.25, 0.92
HALF_FIELD = math.tan(math.radians(20.5))
# A relation is plain from this distance on: across in sums of half-widths, in depth in units of z.
ASIDE, IN_DEPTH = 0.75, 0.9


@dataclass(frozen=True)
class Thing:
    """One object: what it is, its place on the floor, and its turn about the vertical in radians."""

    shape: str
    colour: str
    size: str
    material: str
    x: float
    z: float
    yaw: float

    @property
    def scale(self) -> float:
        """Its size, where a large thing has 1."""
        return 1.0 if self.size == "large" else SMALL

    @property
    def height(self) -> float:
        """Height of its top above the floor."""
        return DIMENSIONS[self.shape][0] * self.scale

    @property
    def radius(self) -> float:
        """Half-width in x and z (a cube's half side, so its corners reach further)."""
        return DIMENSIONS[self.shape][1] * self.scale

    @property
    def reach(self) -> float:
        """Radius of the smallest upright cylinder that holds the thing."""
        return self.radius * (math.sqrt(2) if self.shape == "cube" else 1.0)

    def on_screen(self) -> tuple[float, float]:
        """Centre and half-width across the picture, where -1 and 1 are its left and right edges."""
        depth = (self.z + CAMERA_DISTANCE) * HALF_FIELD
        return self.x / depth, self.reach / depth

    def down_screen(self, y: float) -> float:
        """Where a point at height ``y`` above its place is seen: -1 is the picture's top and 1 its bottom.

        The camera's small tilt is approximated by a shift.
        """
        tilt = (CAMERA_HEIGHT - LOOK_AT_HEIGHT) / CAMERA_DISTANCE
        return ((CAMERA_HEIGHT - y) / (self.z + CAMERA_DISTANCE) - tilt) / HALF_FIELD


@dataclass(frozen=True)
class Scene:
    """A whole picture: one to three things, floor, light, and what no caption mentions."""

    things: tuple[Thing, ...]
    floor: str
    light: str
    floor_offset: tuple[float, float]
    floor_turn: float
    sun_turn: float
    camera_shift: tuple[float, float]


def sample_scene(seed: int, *, held_out: bool = False) -> Scene:
    """The scene of a seed, the same on every machine; ``held_out`` for one with an unseen pair of colour and shape."""
    rng = np.random.default_rng([seed, int(held_out)])
    while True:
        things = place(_kinds(rng, held_out), rng)
        if things is not None:
            break
    return surround(things, rng)


def surround(things: tuple[Thing, ...], rng: np.random.Generator) -> Scene:
    """The things on a random floor, in random light, from a slightly random viewpoint."""
    offset = rng.uniform(-50, 50, 2)
    shift = rng.uniform(-1, 1, 2) * (0.15, 0.08)
    return Scene(
        things=things,
        floor=str(rng.choice(list(FLOORS))),
        light=str(rng.choice(list(LIGHTS))),
        floor_offset=(float(offset[0]), float(offset[1])),
        floor_turn=float(rng.uniform(-0.35, 0.35)),
        sun_turn=float(rng.uniform(-1, 1)),
        camera_shift=(float(shift[0]), float(shift[1])),
    )


def _kinds(rng: np.random.Generator, held_out: bool) -> list[tuple[str, str, str, str]]:
    """Shape, colour, size and material of each thing; in a third of the scenes all things are of one kind."""
    count = int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25]))
    kinds = [_kind(rng) for _ in range(count)]
    if held_out:
        pair = sorted(HELD_OUT_PAIRS)[int(rng.integers(len(HELD_OUT_PAIRS)))]
        kinds[0] = (pair[1], pair[0], *kinds[0][2:])
    if rng.random() < 1 / 3:
        kinds = [kinds[0]] * count
    return kinds


def _kind(rng: np.random.Generator) -> tuple[str, str, str, str]:
    while True:
        shape, colour = str(rng.choice(list(SHAPES))), str(rng.choice(list(COLOURS)))
        if (colour, shape) not in HELD_OUT_PAIRS:
            return shape, colour, str(rng.choice(list(SIZES))), str(rng.choice(list(MATERIALS)))


def place(kinds: list[tuple[str, str, str, str]], rng: np.random.Generator) -> tuple[Thing, ...] | None:
    """Put things (shape, colour, size, material) in the frame so that none hides another; None if they do not fit."""
    for _ in range(60):
        things: list[Thing] = []
        for shape, colour, size, material in kinds:
            x, z = float(rng.uniform(-1.75, 1.75)), float(rng.uniform(-0.8, 1.6))
            # A cube seen exactly face-on or edge-on looks like something else.
            yaw = float(rng.uniform(math.radians(18), math.radians(72)))
            thing = Thing(shape, colour, size, material, x, z, yaw)
            if not _fits(thing, things):
                break
            things.append(thing)
        else:
            return tuple(things)
    return None


def _fits(thing: Thing, others: list[Thing]) -> bool:
    centre, half = thing.on_screen()
    if abs(centre) + half > 0.97:
        return False
    for other in others:
        if math.hypot(thing.x - other.x, thing.z - other.z) < thing.reach + other.reach + 0.08:
            return False
        other_centre, other_half = other.on_screen()
        overlap = half + other_half - abs(centre - other_centre)
        if overlap > 0.35 * 2 * min(half, other_half):
            return False
    return True


def crop(scene: Scene, size: int, side: int, seed: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of a square of ``side`` pixels in the scene's picture of ``size`` pixels.

    Three times in four it lies around a point of a thing, else anywhere.
    """
    rng = np.random.default_rng([seed, size])
    centre = rng.uniform(0, size, 2)
    if rng.random() < 0.75:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        middle, half = thing.on_screen()
        across = middle + rng.uniform(-1, 1) * half
        down = thing.down_screen(rng.uniform(0, 1) * thing.height)
        centre = np.array([(down + 1) * size / 2, (across + 1) * size / 2])
    top, left = (int(np.clip(c - side / 2, 0, size - side)) // 4 * 4 for c in centre)
    return top, left, side, side


def relations(a: Thing, b: Thing) -> tuple[str, ...]:
    """Where a plainly stands seen from b, for the camera: left or right, front or behind, both or neither."""
    (ax, ah), (bx, bh) = a.on_screen(), b.on_screen()
    across = "left" if ax < bx else "right"
    along = "front" if a.z < b.z else "behind"
    plain = (across, abs(ax - bx) > ASIDE * (ah + bh)), (along, abs(a.z - b.z) > IN_DEPTH)
    return tuple(word for word, wide in plain if wide)


def relation(a: Thing, b: Thing) -> str | None:
    """The first of :func:`relations`, if any."""
    return next(iter(relations(a, b)), None)
