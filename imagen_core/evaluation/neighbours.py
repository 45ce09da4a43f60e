"""Does a sample show what it was asked for, and does it repeat one picture of training?

It shows what it was asked for if its nearest training picture has that caption. Where no two pictures share a caption,
only a copy can do so. Captions that no training picture has do not count.

For a copy, distance alone cannot tell: a grey blur lies near to every picture. A copy lies near to one picture and far
from the next nearest (Yoon et al. 2023, "Diffusion Probabilistic Models Generalize when They Fail to Memorize").
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ..diffusion.augmentation import resize
from ..models.cascade import Cascade
from ..records.png import save_grid
from ..training.data import CAPTIONS, captions_of
from ..types import Image, UserError
from ..worlds.collected.collected import Collected
from ..worlds.world import FRESH_SEEDS
from .sampling import Order, for_viewers, kept

# Pictures are compared at this side, in pixels: what they show counts, not their noise.
SIDE = 16
# Pictures of each kind, and training pictures that are compared at once.
PICTURES, AT_ONCE = 64, 1024
# A copy is at most this many times as far from its nearest training picture as from the second nearest (Yoon et al.).
RATIO = 1 / 3


def nearest(
    images: Image, world: Collected, *, at_once: int = AT_ONCE
) -> tuple[Float[Tensor, "n 2"], Int[Tensor, "n 2"]]:
    """The two training pictures that are nearest to each picture: distances (root mean square, 0 to 2) and seeds.

    Memory does not grow with the number of training pictures.
    """
    wanted = resize(images, SIDE).flatten(1)
    best, seeds = torch.full((len(images), 2), torch.inf), torch.zeros(len(images), 2, dtype=torch.long)
    for first in tqdm(range(0, world.pictures, at_once), desc="training pictures", disable=None):
        chunk = torch.arange(first, min(first + at_once, world.pictures))
        pictures = torch.cat([resize(world.picture(int(seed), world.side)[None], SIDE) for seed in chunk]).flatten(1)
        distances = torch.cdist(wanted, pictures) / pictures.shape[1] ** 0.5
        best, places = torch.cat([best, distances], 1).topk(2, dim=1, largest=False)
        seeds = torch.cat([seeds, chunk.expand(len(images), -1)], 1).gather(1, places)
    return best, seeds


def measure_neighbours(cascade: Cascade, world: Collected, cache: Path, sheet: Path | None = None) -> dict[str, Any]:
    """New pictures, samples of held-back captions and samples of learnt captions, beside the training pictures.

    Of each kind, ``nearest`` is the median distance to training. ``known`` counts the captions that a training picture
    has; ``as_asked`` is the share of these whose nearest training picture has the caption, None of none. ``copied`` is
    the share of copies (RATIO). ``sheet`` shows samples of learnt captions, each beside its nearest training picture.

    Raises:
        UserError: the cascade was trained on other pictures.
    """
    if getattr(cascade.world, "digest", None) != world.digest:
        raise UserError(f"--data: {cascade.name} was not trained on these pictures")
    held = range(FRESH_SEEDS, FRESH_SEEDS + min(PICTURES, int(world.facts["held_back"])))
    # Spread out, since pictures of one thing often lie side by side.
    count = min(PICTURES, world.pictures)
    learnt = [i * world.pictures // count for i in range(count)]
    new, old = _orders(world, held), _orders(world, learnt)
    config = cascade.base
    drawn = kept(cache, cascade, config, old)
    kinds = {
        "new pictures": (new, torch.stack([world.picture(seed, config.size) for seed in held])),
        "held-back captions": (new, kept(cache, cascade, config, new)),
        "learnt captions": (old, drawn),
    }
    wanted = {order.prompt for order in (*new, *old)}
    known = wanted.intersection(chain.from_iterable(map(world.captions, range(world.pictures))))
    found = {kind: nearest(images, world) for kind, (_, images) in kinds.items()}
    if sheet is not None:
        _draw(drawn, *found["learnt captions"], cascade, world, sheet)
    return {
        "kinds": {kind: _facts(world, asked, known, *found[kind]) for kind, (asked, _) in kinds.items()},
        "training_pictures": world.pictures,
        "weights": cascade.digest,
    }


def _facts(
    world: Collected,
    asked: Sequence[Order],
    known: Container[str],
    distances: Float[Tensor, "n 2"],
    seeds: Int[Tensor, "n 2"],
) -> dict[str, Any]:
    """What the neighbours say of the pictures that were ``asked`` for; ``known`` are captions of training."""
    pairs = [(order.prompt, int(near)) for order, near in zip(asked, seeds[:, 0]) if order.prompt in known]
    shown = [prompt in world.captions(near) for prompt, near in pairs]
    return {
        "pictures": len(asked),
        "known": len(pairs),
        "nearest": round(float(distances[:, 0].median()), 4),
        "as_asked": round(sum(shown) / len(shown), 4) if shown else None,
        "copied": round(float((distances[:, 0] <= RATIO * distances[:, 1]).float().mean()), 4),
    }


def _orders(world: Collected, seeds: Sequence[int]) -> list[Order]:
    """The captions of pictures that training reads, one a picture and in turn; each with a seed of its own."""
    return [Order(captions_of(world, seed)[number % CAPTIONS], number) for number, seed in enumerate(seeds)]


def _draw(images: Image, distances: Tensor, seeds: Tensor, cascade: Cascade, world: Collected, file: Path) -> None:
    """Each sample beside its nearest training picture, the one most like a copy first."""
    ratios = distances[:, 0] / distances[:, 1].clamp_min(1e-6)
    order = ratios.argsort().tolist()
    shown = for_viewers(cascade, images.shape[-1], images)
    pairs = [(shown[i], world.picture(int(seeds[i, 0]), images.shape[-1])) for i in order]
    labels = [(f"sample, ratio {float(ratios[i]):.2f}", "nearest picture") for i in order]
    save_grid([x for pair in pairs for x in pair], [text for pair in labels for text in pair], 8, file)
