"""Training pictures: rendered once, in shards, and read back as memory maps.

A shard holds SHARD scenes with consecutive seeds: ``images-*.npy`` uint8 [n, 3, h, w], and, once a text
encoder has read their captions, ``tokens-*.npy`` float16 [n, CAPTIONS, PADDED, d] and ``lengths-*.npy``.
Held-out words and pairs never occur (tabletop/vocabulary.py).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..files.writing import written_whole
from ..records.png import from_bytes, to_bytes
from ..types import TextEmbedding, UserError
from ..worlds.tabletop.captions import caption
from ..worlds.tabletop.render import render
from ..worlds.tabletop.scenes import Scene, Thing, sample_scene
from ..worlds.tabletop.vocabulary import WORLD_VERSION

if TYPE_CHECKING:
    from ..networks.text import TextEncoder

SHARD = 1000
CAPTIONS = 2
# The longest training caption has 44 word pieces; a test holds that the longest of 4,000 others fit.
PADDED = 48
# A super-resolution stage learns from crops of this many pixels of its own size.
CROP = 128
# Validation and figures use seeds from here on.
FRESH_SEEDS = 100_000_000


@dataclass(frozen=True)
class Batch:
    """Pictures in [-1, 1] with the embeddings of one of their captions each."""

    images: Float[Tensor, "b 3 h w"]
    text: TextEmbedding


def folder_for(root: Path, size: int) -> Path:
    """Where pictures of this stage size lie: a changed world gets a folder of its own."""
    return root / f"world{WORLD_VERSION}-{size}"


def picture(seed: int, size: int) -> Float[Tensor, "3 h w"]:
    """The training picture of a seed: whole at 64, a crop of CROP pixels at the super-resolution sizes."""
    scene = sample_scene(seed)
    return render(scene, size, crop=None if size <= CROP else crop_of(scene, size, seed))


@lru_cache(maxsize=1)
def odds(pictures: int, crowded: float, one_colour: float = 1.0) -> Float[Tensor, " n"]:
    """The chance of each of the first ``pictures`` pictures to be drawn, so that ``crowded`` of the draws show several
    things: two twice as often as three. Among scenes of as many things, each of one colour in several shapes is drawn
    ``one_colour`` times as often as each other."""
    scenes = [sample_scene(seed).things for seed in range(pictures)]
    counts = torch.tensor([len(things) for things in scenes])
    weights = torch.tensor([one_colour if _one_colour(things) else 1.0 for things in scenes])
    wanted = torch.tensor([0.0, 1 - crowded, crowded * 2 / 3, crowded / 3])
    return weights * wanted[counts] / torch.bincount(counts, weights, minlength=4).float()[counts]


def _one_colour(things: tuple[Thing, ...]) -> bool:
    return len({thing.colour for thing in things}) == 1 < len({thing.shape for thing in things})


def captions_of(seed: int) -> list[str]:
    """The captions of a training picture."""
    scene = sample_scene(seed)
    return [caption(scene, seed * CAPTIONS + k) for k in range(CAPTIONS)]


def crop_of(scene: Scene, size: int, seed: int) -> tuple[int, int, int, int]:
    """Where to cut CROP × CROP pixels: three times in four around a point of a thing, else anywhere."""
    rng = np.random.default_rng([seed, size])
    centre = rng.uniform(0, size, 2)
    if rng.random() < 0.75:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        middle, half = thing.on_screen()
        across = middle + rng.uniform(-1, 1) * half
        down = thing.down_screen(rng.uniform(0, 1) * thing.height)
        centre = np.array([(down + 1) * size / 2, (across + 1) * size / 2])
    top, left = (int(np.clip(c - CROP / 2, 0, size - CROP)) // 4 * 4 for c in centre)
    return top, left, CROP, CROP


def unrendered(root: Path, size: int, pictures: int) -> list[int]:
    """The shards of the first ``pictures`` pictures that are still to be rendered."""
    return [n for n in range(-(-pictures // SHARD)) if not _path(folder_for(root, size), "images", n).exists()]


def render_shards(root: Path, size: int, pictures: int, workers: int) -> None:
    """Render what is missing of the first ``pictures`` pictures, several processes side by side."""
    folder = folder_for(root, size)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [(folder, size, number) for number in unrendered(root, size, pictures)]
    # Spawned, not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        list(tqdm(pool.map(_render_shard, missing), total=len(missing), desc=f"rendering {size}", unit="shard"))


def _render_shard(job: tuple[Path, int, int]) -> None:
    folder, size, number = job
    torch.set_num_threads(1)
    first = number * SHARD
    images = np.stack([to_bytes(picture(seed, size)) for seed in range(first, first + SHARD)])
    _save(_path(folder, "images", number), images)


def encode_shards(root: Path, size: int, pictures: int, encoder: TextEncoder) -> None:
    """Embed the captions that are still missing."""
    folder = folder_for(root, size)
    kinds = ("tokens", "lengths")
    numbers = [n for n in range(-(-pictures // SHARD)) if not all(_path(folder, kind, n).exists() for kind in kinds)]
    for number in tqdm(numbers, desc="encoding captions", unit="shard", disable=not numbers):
        captions = [text for seed in range(number * SHARD, (number + 1) * SHARD) for text in captions_of(seed)]
        # Captions of like length share a batch, so that little padding is computed.
        order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
        tokens = np.zeros((len(captions), PADDED, encoder.width), dtype=np.float16)
        lengths = np.zeros(len(captions), dtype=np.uint8)
        for start in range(0, len(order), 50):
            chunk = order[start : start + 50]
            text = encoder([captions[i] for i in chunk])
            n = text.tokens.shape[1]
            tokens[chunk, :n] = (text.tokens * text.mask[..., None]).numpy()
            lengths[chunk] = text.mask.sum(1).numpy()
        _save(_path(folder, "tokens", number), tokens.reshape(SHARD, CAPTIONS, PADDED, -1))
        _save(_path(folder, "lengths", number), lengths.reshape(SHARD, CAPTIONS))


class Images:
    """The first ``pictures`` pictures of a size, without their captions."""

    def __init__(self, root: Path, size: int, pictures: int) -> None:
        numbers = range(-(-pictures // SHARD))
        shape, folder = (SHARD, 3, min(size, CROP), min(size, CROP)), folder_for(root, size)
        self._shards = [_open(_path(folder, "images", n), np.uint8, shape) for n in numbers]

    def __getitem__(self, indices: Tensor) -> Float[Tensor, "b 3 h w"]:
        """Pictures ``indices`` [b], float32 in [-1, 1]."""
        places = [divmod(int(i), SHARD) for i in indices]
        return from_bytes(np.stack([self._shards[shard][i] for shard, i in places]))


class Pictures:
    """The first ``pictures`` pictures of a size with their captions' embeddings."""

    def __init__(self, root: Path, size: int, pictures: int) -> None:
        folder = folder_for(root, size)
        numbers = range(-(-pictures // SHARD))
        self._images = Images(root, size, pictures)
        self._tokens = [_open(_path(folder, "tokens", n), np.float16, (SHARD, CAPTIONS, PADDED)) for n in numbers]
        self._lengths = [_open(_path(folder, "lengths", n), np.uint8, (SHARD, CAPTIONS)) for n in numbers]

    def text(self, indices: Tensor, captions: Tensor) -> TextEmbedding:
        """Caption number ``captions`` [b] of each of the pictures ``indices`` [b], float32."""
        places = [(*divmod(int(i), SHARD), int(c)) for i, c in zip(indices, captions)]
        lengths = torch.tensor([int(self._lengths[shard][i, c]) for shard, i, c in places])
        longest = int(lengths.max())
        tokens = torch.from_numpy(np.stack([self._tokens[shard][i, c, :longest] for shard, i, c in places]))
        return TextEmbedding(tokens.float(), torch.arange(longest) < lengths[:, None])

    def batch(self, indices: Tensor, captions: Tensor) -> Batch:
        """Pictures ``indices`` [b] with caption number ``captions`` [b] each."""
        return Batch(self._images[indices], self.text(indices, captions))


def _path(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}-{number:04d}.npy"


def _save(path: Path, array: np.ndarray) -> None:
    with written_whole(path) as aside, aside.open("wb") as file:
        np.save(file, array)


def _open(path: Path, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    """A shard as a memory map: of this dtype, and of this shape as far as it is given."""
    try:
        values = np.load(path, mmap_mode="r")
    except (EOFError, ValueError) as error:
        raise UserError(f"--data: {path} is damaged; delete it") from error
    if values.dtype != kind or values.shape[: len(shape)] != shape:
        raise UserError(f"--data: {path} is not what this program writes; delete it")
    return values
