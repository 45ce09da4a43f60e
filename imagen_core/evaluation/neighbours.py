"""Memorisation: how near samples lie to the nearest picture of training, beside pictures that training never showed.

A network that learnt its pictures by heart draws them again: its samples lie nearer to training than new pictures do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ..diffusion.augmentation import resize
from ..models.cascade import Cascade
from ..records.png import save_grid
from ..types import Image, UserError
from ..worlds.collected.collected import Collected
from ..worlds.world import FRESH_SEEDS
from .sampling import Order, for_viewers, kept

# Pictures are compared at this side, in pixels: what they show counts, not their noise.
SIDE = 16
# Pictures of each kind, and training pictures that are compared at once.
PICTURES, AT_ONCE = 64, 1024
# The share of new pictures that count as copies, by definition.
CHANCE = 0.05


def nearest(
    images: Image, world: Collected, *, at_once: int = AT_ONCE
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """The distance from each picture to the nearest training picture (root mean square, 0 to 2), and its seed.

    Memory does not grow with the number of training pictures.
    """
    wanted = resize(images, SIDE).flatten(1)
    best, seeds = torch.full((len(images),), torch.inf), torch.zeros(len(images), dtype=torch.long)
    for first in tqdm(range(0, world.pictures, at_once), desc="training pictures", disable=None):
        chunk = range(first, min(first + at_once, world.pictures))
        pictures = torch.stack([resize(world.picture(seed, world.side)[None], SIDE)[0] for seed in chunk]).flatten(1)
        distance, place = (torch.cdist(wanted, pictures) / pictures.shape[1] ** 0.5).min(1)
        closer = distance < best
        best, seeds = torch.where(closer, distance, best), torch.where(closer, place + first, seeds)
    return best, seeds


def measure_neighbours(cascade: Cascade, world: Collected, cache: Path, sheet: Path | None = None) -> dict[str, Any]:
    """Distances of new pictures, and of samples of captions that were held back and that were learnt.

    ``median`` is that of a kind's distances. ``copied`` is the share that lies nearer to training than all but CHANCE
    of the new pictures do. ``sheet`` shows samples of learnt captions, each beside its nearest training picture.

    Raises:
        UserError: the cascade was trained on other pictures, or fewer than two were held back.
    """
    if getattr(cascade.world, "digest", None) != world.digest:
        raise UserError(f"--data: {cascade.name} was not trained on these pictures")
    count = min(PICTURES, int(world.facts["held_back"]))
    if count < 2:
        raise UserError("--data: at least two pictures must be held back, to compare with")
    held = range(FRESH_SEEDS, FRESH_SEEDS + count)
    config = cascade.defaults[cascade.sizes[0]]
    kinds = {
        "new pictures": torch.stack([world.picture(seed, config.size) for seed in held]),
        "held-back captions": kept(cache, cascade, config, _orders(world, held)),
        "learnt captions": kept(cache, cascade, config, _orders(world, range(count))),
    }
    found = {kind: nearest(images, world) for kind, images in kinds.items()}
    near = float(found["new pictures"][0].quantile(CHANCE))
    if sheet is not None:
        _draw(kinds["learnt captions"], *found["learnt captions"], cascade, world, sheet)
    return {
        "kinds": {
            kind: {"median": round(float(d.median()), 4), "copied": round(float((d < near).float().mean()), 4)}
            for kind, (d, _) in found.items()
        },
        "chance": CHANCE,
        "pictures": count,
        "training_pictures": world.pictures,
        "weights": cascade.digest,
    }


def _orders(world: Collected, seeds: range) -> list[Order]:
    return [Order(world.caption(seed, seed), number) for number, seed in enumerate(seeds)]


def _draw(images: Image, distances: Tensor, seeds: Tensor, cascade: Cascade, world: Collected, file: Path) -> None:
    """Each sample beside its nearest training picture, the nearest pair first."""
    order = distances.argsort().tolist()
    shown = for_viewers(cascade, images.shape[-1], images)
    pairs = [(shown[i], world.picture(int(seeds[i]), images.shape[-1])) for i in order]
    labels = [(f"sample, {float(distances[i]):.3f} from", "this picture") for i in order]
    save_grid([x for pair in pairs for x in pair], [text for pair in labels for text in pair], 8, file)
