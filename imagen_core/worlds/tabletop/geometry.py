"""Rays against the four shapes. A shape is one function: rays in its own frame → distance and normal."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .scenes import Thing

FAR = 1e9
NEAR = 1e-3


def dot(a: Float[Tensor, "*p 3"], b: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p"]:
    return (a * b).sum(-1)


def unit(a: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 3"]:
    return a * dot(a, a).clamp_min(1e-20).rsqrt().unsqueeze(-1)


def _nearest(*hits: Tensor) -> Tensor:
    """The smallest distance in front of the ray's origin, FAR where there is none."""
    valid = [torch.where(t > NEAR, t, FAR) for t in hits]
    return torch.stack(valid).amin(0).nan_to_num(FAR)


def _roots(a: Tensor, half_b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Both solutions of a t² + 2 half_b t + c = 0, FAR where there are none."""
    discriminant = half_b * half_b - a * c
    root = discriminant.clamp_min(0).sqrt()
    safe = torch.where(a.abs() < 1e-9, 1e-9, a)
    hit = discriminant > 0
    return torch.where(hit, (-half_b - root) / safe, FAR), torch.where(hit, (-half_b + root) / safe, FAR)


def _sphere(o: Tensor, d: Tensor, height: float, radius: float) -> tuple[Tensor, Tensor]:
    centre = o - o.new_tensor([0.0, radius, 0.0])
    t = _nearest(*_roots(dot(d, d), dot(centre, d), dot(centre, centre) - radius**2))
    return t, centre + t.unsqueeze(-1) * d


def _cube(o: Tensor, d: Tensor, height: float, radius: float) -> tuple[Tensor, Tensor]:
    half = o.new_tensor([radius, height / 2, radius])
    centre = o - o.new_tensor([0.0, height / 2, 0.0])
    inverse = 1 / torch.where(d.abs() < 1e-9, 1e-9, d)
    middle, span = -centre * inverse, half * inverse.abs()
    enter, leave = (middle - span).amax(-1), (middle + span).amin(-1)
    t = torch.where((enter < leave) & (leave > NEAR), torch.where(enter > NEAR, enter, leave), FAR)
    p = (centre + t.unsqueeze(-1) * d) / half
    face = torch.nn.functional.one_hot(p.abs().argmax(-1), 3)
    return t, face * p.sign()


def _cylinder(o: Tensor, d: Tensor, height: float, radius: float) -> tuple[Tensor, Tensor]:
    flat = o.new_tensor([1.0, 0.0, 1.0])
    sides = _roots(dot(d * flat, d), dot(o * flat, d), dot(o * flat, o) - radius**2)
    walls = []
    for t in sides:
        y = o[..., 1] + t * d[..., 1]
        walls.append(torch.where((y >= 0) & (y <= height), t, FAR))
    lid = (height - o[..., 1]) / torch.where(d[..., 1].abs() < 1e-9, 1e-9, d[..., 1])
    on_lid = o + lid.unsqueeze(-1) * d
    lid = torch.where(dot(on_lid * flat, on_lid) <= radius**2, lid, FAR)
    t = _nearest(*walls, lid)
    p = o + t.unsqueeze(-1) * d
    is_lid = (t == lid).unsqueeze(-1)
    return t, torch.where(is_lid, o.new_tensor([0.0, 1.0, 0.0]), p * flat)


def _cone(o: Tensor, d: Tensor, height: float, radius: float) -> tuple[Tensor, Tensor]:
    # x² + z² = (k (height - y))²: a quadratic form with -k² on the vertical axis, seen from the tip.
    k = radius / height
    form = o.new_tensor([1.0, -k * k, 1.0])
    tip = o - o.new_tensor([0.0, height, 0.0])
    walls = []
    for t in _roots(dot(d * form, d), dot(tip * form, d), dot(tip * form, tip)):
        y = o[..., 1] + t * d[..., 1]
        walls.append(torch.where((y >= 0) & (y <= height), t, FAR))
    t = _nearest(*walls)
    return t, (tip + t.unsqueeze(-1) * d) * form


SURFACES = {"sphere": _sphere, "cube": _cube, "cylinder": _cylinder, "cone": _cone}


def intersect(
    thing: Thing, o: Float[Tensor, "*p 3"], d: Float[Tensor, "*p 3"]
) -> tuple[Float[Tensor, "*p"], Float[Tensor, "*p 3"]]:
    """Distance along each ray to ``thing`` (FAR where it is missed) and the outward unit normal there."""
    c, s = math.cos(thing.yaw), math.sin(thing.yaw)
    turn = o.new_tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    local = o - o.new_tensor([thing.x, 0.0, thing.z])
    # Only the cube is not round, so only the cube needs its own frame.
    if thing.shape == "cube":
        t, normal = _cube(local @ turn, d @ turn, thing.height, thing.radius)
        return t, unit(normal.to(o.dtype) @ turn.T)
    t, normal = SURFACES[thing.shape](local, d, thing.height, thing.radius)
    return t, unit(normal)


def blocked(thing: Thing, o: Float[Tensor, "*p 3"], d: Float[Tensor, "*p 3"]) -> Tensor:
    """Which rays hit ``thing``: what a shadow needs."""
    return intersect(thing, o, d)[0] < FAR / 2
