"""The super-resolution stages against true renders: Fréchet distance of crops, sharpness, agreement with the input."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..diffusion.augmentation import bicubic, resize
from ..diffusion.saturation import consistency, sharpness
from ..models.cascade import Cascade
from ..settings import DEFAULT_SIZES
from ..training.data import FRESH_SEEDS
from ..types import Image, UserError
from ..worlds.tabletop.captions import caption
from ..worlds.tabletop.render import LOOK, render
from ..worlds.tabletop.scenes import sample_scene
from ..worlds.tabletop.vocabulary import WORLD_VERSION
from .detector import SIZE, Detector, load_detector, look
from .disk import kept_in
from .frechet import frechet
from .outline import load_segmenter, outline_score
from .sampling import Order, kept

# Scenes at each size, in full and with --quick: rendering takes seconds at 1024, half a second at 256.
SCENES = {256: 48, 1024: 12}
QUICK_SCENES = {256: 12, 1024: 3}
# About this many crops of 64 × 64 from each picture, spread evenly over it.
CROPS = 64


@dataclass(frozen=True)
class Described:
    """A set of pictures in numbers: the features of their crops, and their mean sharpness (saturation.py)."""

    features: Float[Tensor, "m f"]
    sharpness: float


@dataclass(frozen=True)
class Compared:
    """A stage's pictures and bicubic's of the same inputs, both measured against the same true pictures."""

    frechet: float
    frechet_bicubic: float
    sharpness: float
    sharpness_bicubic: float
    psnr: float


def captions(count: int) -> list[Order]:
    """A caption of each fresh scene, with a seed to sample it from."""
    return [Order(caption(sample_scene(FRESH_SEEDS + i), i), i) for i in range(count)]


def true_pictures(size: int, count: int, cache: Path) -> Float[Tensor, "n 3 s s"]:
    """True renders of the first fresh scenes, cached one by one, because large ones are slow."""
    images = []
    for i in tqdm(range(count), desc=f"true renders {size}", unit="picture", disable=None):
        file = cache / f"fresh-world{WORLD_VERSION}-look{LOOK}-{size}-{i:04d}.npy"
        images.append(kept_in(file, (3, size, size), partial(render, sample_scene(FRESH_SEEDS + i), size)))
    return torch.stack(images)


def crops(images: Image) -> Float[Tensor, "m 3 64 64"]:
    """The pictures cut into 64 × 64 without overlap; of a large one every n-th piece, so that about CROPS remain."""
    b, _, size, _ = images.shape
    n = size // SIZE
    pieces = images.reshape(b, 3, n, SIZE, n, SIZE).permute(0, 2, 4, 1, 3, 5).reshape(b, n * n, 3, SIZE, SIZE)
    # An odd step shares no factor with the row length, so it visits every column.
    step = max(1, n * n // CROPS)
    step += step > 1 and step % 2 == 0
    return pieces[:, ::step].flatten(0, 1)


def describe(detector: Detector, images: Image) -> Described:
    """The numbers of pictures [n, 3, s, s], s a multiple of 64."""
    return Described(look(detector, crops(images))[1], float(sharpness(images).mean()))


def compared(pictures: Described, plain: Described, truth: Described, psnr: float) -> Compared:
    """A stage's pictures and bicubic's against the truth; sharpness is given as a fraction of the truth's."""
    return Compared(
        frechet=frechet(truth.features, pictures.features),
        frechet_bicubic=frechet(truth.features, plain.features),
        sharpness=pictures.sharpness / truth.sharpness,
        sharpness_bicubic=plain.sharpness / truth.sharpness,
        psnr=psnr,
    )


def evaluate(cascade: Cascade, cache: Path, scenes: dict[int, int]) -> dict[str, Any]:
    """Both stages at their defaults, from shrunk true renders and from generated pictures of the same captions.

    ``sr256_frechet_ratio`` is the distance of the stage's crops to true crops of the same scenes, divided by bicubic's.
    ``…_generated`` is the same from generated inputs; their layouts differ from the true ones, which alone brings the
    ratio nearer to 1. ``sharpness`` is a fraction of the truth's, ``psnr`` is in dB. ``outline`` is how far outlines
    lie from true ones (median, hundredths of a thing's width; outline.py); ``…_given`` is that of the input itself.

    Raises:
        UserError: the cascade has no super-resolution stage.
    """
    began = time.perf_counter()
    sizes = [size for size in cascade.sizes if size in scenes]
    if not sizes or cascade.sizes[: len(sizes) + 1] != DEFAULT_SIZES[: len(sizes) + 1]:
        raise UserError(f"model: {cascade.name} has no base with super-resolution stages on it to evaluate")
    detector, detector_digest = load_detector()
    most = max(scenes[size] for size in sizes)
    generated = kept(cache, cascade, cascade.defaults[64], captions(most))
    facts: dict[str, float | None] = {}
    for size in sizes:
        orders, truth = captions(scenes[size]), true_pictures(size, scenes[size], cache)
        low_res, true = resize(truth, size // 4), describe(detector, truth)
        for suffix, clean in (("", low_res), ("_generated", generated[: len(orders)])):
            pictures = kept(cache, cascade, cascade.defaults[size], orders, clean)
            plain = describe(detector, bicubic(clean, size))
            result = compared(describe(detector, pictures), plain, true, float(consistency(pictures, clean).mean()))
            name = f"sr{size}"
            readings, _ = look(detector, resize(clean, SIZE))
            for given, images in (("", pictures), ("_given", clean)):
                facts[f"{name}_outline{given}{suffix}"] = outline_score(load_segmenter(), images, readings)
            facts[f"{name}_frechet_ratio{suffix}"] = round(result.frechet / result.frechet_bicubic, 4)
            facts[f"{name}_psnr{suffix}"] = round(result.psnr, 2)
            for key in ("frechet", "frechet_bicubic", "sharpness", "sharpness_bicubic"):
                facts[f"{name}_{key}{suffix}"] = round(getattr(result, key), 4)
        generated = pictures
    return {
        **facts,
        "samples": {f"sr{size}": scenes[size] for size in sizes},
        "seconds": round(time.perf_counter() - began, 1),
        "weights": cascade.digest,
        "detector": detector_digest,
        "settings": {config.name: asdict(config) for size, config in cascade.defaults.items() if size in (64, *sizes)},
    }
