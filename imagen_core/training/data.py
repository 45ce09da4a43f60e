"""Training pictures: rendered once, in shards, and read back as memory maps.

A shard holds SHARD pictures with consecutive seeds: ``images-*.npy`` uint8 [n, 3, h, w]. Once a text encoder has read
their captions there are also ``tokens-*.npy`` float16 [n, CAPTIONS, PADDED, d] and ``lengths-*.npy`` uint8
[n, CAPTIONS]. What the world holds out never occurs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..files.arrays import open_array
from ..files.writing import written_whole
from ..networks.text import LAST, MINILM, MIX
from ..processes import pool
from ..records.png import from_bytes, to_bytes
from ..types import StageSpec, TextEmbedding, UserError
from ..worlds.collected.collected import Collected
from ..worlds.world import FRESH_SEEDS as FRESH_SEEDS
from ..worlds.world import World

if TYPE_CHECKING:
    from ..networks.text import TextEncoder

SHARD = 1000
CAPTIONS = 2
# The table top's longest training caption has 44 tokens; a test holds that the longest of 4,000 others fit.
PADDED = 48
# Side of the crops that a super-resolution stage learns from, in pixels of its own size; smaller pictures are whole.
CROP = 128


@dataclass(frozen=True)
class Batch:
    """Pictures in [-1, 1] with the embeddings of one of their captions each."""

    images: Float[Tensor, "b 3 h w"]
    text: TextEmbedding


@dataclass(frozen=True)
class Shards:
    """Where a world's pictures of one stage size lie; a new version of the world gets a folder of its own.

    ``encoder`` names the text encoder among others that read the same pictures' captions; empty for the shipped one.
    ``whole`` is for a base, which learns from whole pictures of any size.
    """

    root: Path
    world: World
    size: int
    encoder: str = ""
    whole: bool = False

    @classmethod
    def of(cls, root: Path, world: World, spec: StageSpec, encoder: str = "") -> Shards:
        """The pictures that a stage learns from."""
        return cls(root, world, spec.size, encoder, whole=spec.is_base)

    @property
    def folder(self) -> Path:
        """The folder of the shards."""
        return self.root / f"{self.world.folder}-{self.size}{'-whole' if self.side > CROP else ''}"

    @property
    def side(self) -> int:
        """Pixels along each side of a training picture: the whole for a base, at most a crop for the other stages."""
        return self.size if self.whole else min(self.size, CROP)

    def path(self, kind: str, number: int) -> Path:
        """A shard's file of this kind: images, tokens or lengths."""
        name = kind if kind == "images" or not self.encoder else f"{kind}-{self.encoder}"
        return self.folder / f"{name}-{number:04d}.npy"

    def picture(self, seed: int) -> Float[Tensor, "3 h w"]:
        """The training picture of a seed."""
        crop = None if self.side == self.size else self.world.crop(seed, self.size, self.side)
        return self.world.picture(seed, self.size, crop=crop)

    def captions(self, seed: int) -> list[str]:
        """The captions of a training picture."""
        return captions_of(self.world, seed)


def captions_of(world: World, seed: int) -> list[str]:
    """The CAPTIONS of a world's picture that training reads."""
    return [world.caption(seed, seed * CAPTIONS + k) for k in range(CAPTIONS)]


def is_rendered(folder: Path) -> bool:
    """Whether the name of a folder is that of :attr:`Shards.folder`, of any world and version."""
    return re.search(r"-\d+(-whole)?$", folder.name) is not None


def among_others(encoder: TextEncoder) -> str:
    """What names an encoder and layer other than the shipped ones in :class:`Shards`."""
    if encoder.name == MINILM and encoder.layer == LAST:
        return ""
    return encoder.digest[:8] + {LAST: "", MIX: "-mix"}.get(encoder.layer, f"-{encoder.layer}")


def unrendered(shards: Shards, pictures: int) -> list[int]:
    """Numbers of the shards of the first ``pictures`` pictures that are still to be rendered."""
    return [n for n in range(-(-pictures // SHARD)) if not shards.path("images", n).exists()]


def render_shards(shards: Shards, pictures: int, workers: int) -> None:
    """Render what is missing of the first ``pictures`` pictures, in ``workers`` processes."""
    shards.folder.mkdir(parents=True, exist_ok=True)
    missing = [(shards, number) for number in unrendered(shards, pictures)]
    with pool(workers) as processes:
        list(
            tqdm(
                processes.map(_render_shard, missing), total=len(missing), desc=f"rendering {shards.size}", unit="shard"
            )
        )


def _render_shard(job: tuple[Shards, int]) -> None:
    shards, number = job
    torch.set_num_threads(1)
    first = number * SHARD
    _save(
        shards.path("images", number),
        np.stack([to_bytes(shards.picture(seed)) for seed in range(first, first + SHARD)]),
    )


def encode_shards(shards: Shards, pictures: int, encoder: TextEncoder) -> None:
    """Embed the captions that are still missing.

    What people wrote is cut where it has more than PADDED tokens.

    Raises:
        UserError: a caption of another world has more than PADDED tokens, or its embedding exceeds float16.
    """
    kinds = ("tokens", "lengths")
    numbers = [n for n in range(-(-pictures // SHARD)) if not all(shards.path(kind, n).exists() for kind in kinds)]
    for number in tqdm(numbers, desc="encoding captions", unit="shard", disable=not numbers):
        captions = [text for seed in range(number * SHARD, (number + 1) * SHARD) for text in shards.captions(seed)]
        # Captions of similar length share a batch, which saves padding.
        order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
        tokens = np.zeros((len(captions), PADDED, encoder.width), dtype=np.float16)
        lengths = np.zeros(len(captions), dtype=np.uint8)
        for start in range(0, len(order), 50):
            chunk = order[start : start + 50]
            text = encoder([captions[i] for i in chunk])
            n = text.tokens.shape[1]
            if n > PADDED:
                if not isinstance(shards.world, Collected):
                    name = shards.world.name
                    raise UserError(f"--world: a caption must have at most {PADDED} tokens, got {n} in {name}")
                text = encoder([shortened(captions[i], encoder) for i in chunk])
                n = text.tokens.shape[1]
            tokens[chunk, :n] = _halves(text, encoder)
            lengths[chunk] = text.mask.sum(1).numpy()
        _save(shards.path("tokens", number), tokens.reshape(SHARD, CAPTIONS, PADDED, -1))
        _save(shards.path("lengths", number), lengths.reshape(SHARD, CAPTIONS))


def _halves(text: TextEmbedding, encoder: TextEncoder) -> np.ndarray:
    """The tokens as float16, without what padding says."""
    tokens = (text.tokens * text.mask[..., None]).half()
    if not tokens.isfinite().all():
        raise UserError(f"layer: values of layer {encoder.layer} of {encoder.name} exceed float16; choose another one")
    return tokens.numpy()


def shortened(caption: str, encoder: TextEncoder) -> str:
    """The caption without its last words, or letters, that exceed PADDED tokens."""
    count = encoder.warm_up()[0]
    while len(count(caption)["input_ids"]) > PADDED:
        caption = caption.rpartition(" ")[0] or caption[: len(caption) // 2]
    return caption


class Images:
    """The first ``pictures`` pictures of some shards, without their captions."""

    def __init__(self, shards: Shards, pictures: int) -> None:
        numbers, shape = range(-(-pictures // SHARD)), (SHARD, 3, shards.side, shards.side)
        self._shards = [_open(shards.path("images", n), np.uint8, shape) for n in numbers]

    def __getitem__(self, indices: Tensor) -> Float[Tensor, "b 3 h w"]:
        """Pictures ``indices`` [b], float32 in [-1, 1]."""
        places = [divmod(int(i), SHARD) for i in indices]
        return from_bytes(np.stack([self._shards[shard][i] for shard, i in places]))


class Pictures:
    """The first ``pictures`` pictures of some shards with their captions' embeddings."""

    def __init__(self, shards: Shards, pictures: int) -> None:
        numbers = range(-(-pictures // SHARD))
        self._images = Images(shards, pictures)
        self._tokens = [_open(shards.path("tokens", n), np.float16, (SHARD, CAPTIONS, PADDED)) for n in numbers]
        self._lengths = [_open(shards.path("lengths", n), np.uint8, (SHARD, CAPTIONS)) for n in numbers]

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


def _save(path: Path, array: np.ndarray) -> None:
    with written_whole(path) as aside, aside.open("wb") as file:
        np.save(file, array)


def _open(path: Path, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    """A shard as a memory map.

    Raises:
        UserError: it is damaged, or has another dtype or other first dimensions.
    """
    try:
        values = open_array(path)
    except ValueError as error:
        raise UserError(f"--data: {path} is damaged; delete it") from error
    if values.dtype != kind or values.shape[: len(shape)] != shape:
        raise UserError(f"--data: {path} is not what this program writes; delete it")
    return values
