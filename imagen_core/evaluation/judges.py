"""Judges of samples: the detector for the table top; CLIP, Inception and DINOv2 for models of photographs.

Both measure how well a picture fits its prompt and how near it is to true pictures, so benches and figures take either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PillowImage
from PIL import ImageOps
from torch import Tensor
from torch.nn import functional as F

from ..models.cascade import Cascade
from ..records.png import from_bytes, to_bytes
from ..settings import MAX_PROMPT, StageConfig
from ..types import Image, UserError
from . import tabletopbench
from .detector import load_detector, look
from .frechet import frechet
from .intervals import share
from .kid import kid
from .sampling import Order, kept
from .scoring import true_renders
from .tabletopbench import TRAINED, judge

MOST_PROMPTS, MOST_PICTURES, MOST_PIXELS = 10_000, 50_000, 50_000_000
# What CLIP's pictures are normalised by (Radford et al. 2021).
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# The side of DINOv2's pictures, and what they are normalised by: ImageNet's (Oquab et al. 2023).
DINOV2_SIDE = 224
DINOV2_MEAN, DINOV2_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Features = Callable[[Image], Float[Tensor, "n f"]]


@dataclass(frozen=True)
class Judge:
    """Named prompts, true pictures, and how samples of the prompts are judged.

    ``align(images, numbers)`` scores how well each picture fits the prompt of that number. The Fréchet distance to
    ``truth`` is taken between ``features``. ``alignment`` and ``distance`` are labels for the axes of figures.
    ``inception`` says that the features are Inception's, which KID is defined on. ``dinov2`` gives DINOv2's.
    """

    prompts: tuple[str, ...]
    names: tuple[str, ...]
    truth: Image
    align: Callable[[Image, Sequence[int]], list[float]]
    features: Features
    alignment: str
    distance: str
    inception: bool = False
    dinov2: Features | None = None

    @cached_property
    def _true_features(self) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n g"] | None]:
        return self.features(self.truth), None if self.dinov2 is None else self.dinov2(self.truth)

    def distances(self, images: Image) -> dict[str, float]:
        """``frechet`` of pictures to the true ones; ``kid`` and ``dinov2`` (a Fréchet distance too) where it has them.

        Smaller is nearer. Only KID can be negative, and only KID compares between different numbers of pictures.
        """
        drawn, (true, true_dinov2) = self.features(images), self._true_features
        found = {"frechet": round(frechet(drawn, true), 4)}
        if self.inception:
            found["kid"] = round(kid(drawn, true), 6)
        if self.dinov2 is not None and true_dinov2 is not None:
            found["dinov2"] = round(frechet(self.dinov2(images), true_dinov2), 4)
        return found


def tabletop_judge(stride: int, cache: Path) -> Judge:
    """The detector, on every ``stride``-th of TabletopBench's prompts that use only words and pairs of training."""
    chosen = [prompt for prompt in tabletopbench.prompts() if prompt.category in TRAINED][::stride]
    detector, _ = load_detector()

    def align(images: Image, numbers: Sequence[int]) -> list[float]:
        readings, _ = look(detector, images)
        return [float(bool(judge(chosen[i], reading)["objects"])) for i, reading in zip(numbers, readings)]

    return Judge(
        prompts=tuple(prompt.prompt for prompt in chosen),
        names=tuple(prompt.id for prompt in chosen),
        truth=true_renders(chosen, cache),
        align=align,
        features=lambda images: look(detector, images)[1],
        alignment="pictures with every named object right",
        distance="Fréchet distance to true renders, detector's features",
    )


def photographic_judge(clip: str, prompts: Path, truth: Image, stride: int, dinov2: str | None = None) -> Judge:
    """CLIP score, FID and KID against the real pictures ``truth``, on every ``stride``-th line of ``prompts``.

    ``dinov2``, a folder or a hub name, adds the Fréchet distance between DINOv2's features.

    Raises:
        UserError: an extra, weights or the prompts are missing or unreadable.
    """
    chosen = read_prompts(prompts)[::stride]
    if len(chosen) < 2:
        raise UserError(f"--prompts: must be at least {1 + stride} lines, to compare pictures with --reference")
    score, features, further = clip_score(clip), inception(), None if dinov2 is None else dinov2_features(dinov2)

    def align(images: Image, numbers: Sequence[int]) -> list[float]:
        return score(images, [chosen[i] for i in numbers]).tolist()

    names = tuple(map(str, range(len(chosen))))
    return Judge(chosen, names, truth, align, features, "CLIP score", "FID", inception=True, dinov2=further)


def read_prompts(file: Path) -> tuple[str, ...]:
    """The prompts of a file, one on each line; empty lines are skipped.

    Raises:
        UserError: not a text file, no prompts, too many or too long ones.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompts: {file} is not a readable text file") from error
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not 1 <= len(prompts) <= MOST_PROMPTS or max(map(len, prompts)) > MAX_PROMPT:
        raise UserError(f"--prompts: must be 1 to {MOST_PROMPTS} lines of at most {MAX_PROMPT} characters")
    return prompts


def read_pictures(folder: Path, size: int) -> Float[Tensor, "n 3 s s"]:
    """The PNG and JPEG files of a folder, cut square from the middle and resized to the base's ``size``.

    Raises:
        UserError: fewer than two pictures, too many, or one that cannot be read.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if not 2 <= len(files) <= MOST_PICTURES:
        raise UserError(f"--reference: {folder} must hold 2 to {MOST_PICTURES} PNG or JPEG files, has {len(files)}")
    images = []
    for file in files:
        try:
            with PillowImage.open(file, formats=["PNG", "JPEG"]) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise UserError(f"--reference: {file} has more than {MOST_PIXELS} pixels")
                images.append(
                    np.asarray(ImageOps.fit(picture.convert("RGB"), (size, size), PillowImage.Resampling.BOX))
                )
        except (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"--reference: {file} is not a readable picture") from error
    return from_bytes(np.stack(images).transpose(0, 3, 1, 2))


def clip_score(source: str) -> Callable[[Image, Sequence[str]], Float[Tensor, " n"]]:
    """``100 max(cos(picture, text), 0)`` (Hessel et al. 2021, without their factor) by a CLIP folder or hub name.

    Raises:
        UserError: the weights are not there and cannot be fetched, or are no CLIP's.
    """
    from transformers import AutoTokenizer, CLIPModel

    try:
        model = CLIPModel.from_pretrained(source, use_safetensors=True).eval().requires_grad_(False)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--clip: {source} is no CLIP folder and cannot be fetched ({why:.160})") from error
    side, longest = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings

    @torch.no_grad()
    def score(images: Image, prompts: Sequence[str]) -> Float[Tensor, " n"]:
        words = tokenizer(list(prompts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        out = model(pixel_values=_normalised(images, side, CLIP_MEAN, CLIP_STD), **words)
        return 100 * F.cosine_similarity(out.image_embeds, out.text_embeds).clamp_min(0)

    return lambda images, prompts: torch.cat(
        [score(images[i : i + 32], prompts[i : i + 32]) for i in range(0, len(prompts), 32)]
    )


def dinov2_features(source: str) -> Features:
    """The class token of DINOv2 (Oquab et al. 2023), by a folder or hub name.

    Fréchet distances in its features follow people's judgement of photographs better than FID (Stein et al. 2023,
    arXiv 2306.04675).

    Raises:
        UserError: the weights are not there and cannot be fetched, or are no DINOv2's.
    """
    from transformers import Dinov2Model

    try:
        loaded: Any = Dinov2Model.from_pretrained(source, use_safetensors=True, output_loading_info=True)
        model, found = loaded
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"--dinov2: {source} is no DINOv2 folder and cannot be fetched ({why:.160})") from error
    if found["missing_keys"]:
        raise UserError(f"--dinov2: the weights of {source} are of another model")
    model.eval().requires_grad_(False)

    @torch.no_grad()
    def features(images: Image) -> Float[Tensor, "n f"]:
        parts = (_normalised(part, DINOV2_SIDE, DINOV2_MEAN, DINOV2_STD) for part in images.split(32))
        return torch.cat([model(pixel_values=part).last_hidden_state[:, 0] for part in parts])

    return features


def _normalised(images: Image, side: int, mean: Sequence[float], std: Sequence[float]) -> Image:
    """Pictures in [-1, 1] as a network of photographs takes them."""
    pixels = F.interpolate((images.clamp(-1, 1) + 1) / 2, size=(side, side), mode="bicubic", antialias=True)
    middle, scale = (pixels.new_tensor(x).reshape(1, 3, 1, 1) for x in (mean, std))
    return (pixels.clamp(0, 1) - middle) / scale


def inception() -> Callable[[Image], Float[Tensor, "n 2048"]]:
    """FID's own features: Inception v3 in torchmetrics (Heusel et al. 2017), which fetches its weights once.

    Raises:
        UserError: torchmetrics or torch-fidelity is not installed, or the weights cannot be fetched.
    """
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ImportError as error:
        raise UserError("fid: needs torchmetrics; pip install torchmetrics torch-fidelity") from error
    try:
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"fid: Inception's weights are missing and cannot be fetched ({why:.160})") from error

    @torch.no_grad()
    def features(images: Image) -> Float[Tensor, "n 2048"]:
        return torch.cat([network(torch.from_numpy(to_bytes(part))) for part in images.split(32)])

    return features


def score_by(judge: Judge, cascade: Cascade, config: StageConfig, each: int, seed: int, cache: Path) -> dict[str, Any]:
    """Mean alignment with its interval, and distances, of ``each`` pictures of every prompt of the judge.

    Raises:
        UserError: the cascade has no stage of that size.
    """
    began = time.perf_counter()
    numbers = [*range(len(judge.prompts))] * each
    orders = [Order(judge.prompts[number], seed + i) for i, number in enumerate(numbers)]
    images = kept(cache, cascade, config, orders)
    aligned = share(judge.align(images, numbers), [judge.names[number] for number in numbers])
    return {
        "alignment": round(aligned.value, 4),
        "interval": [round(aligned.low, 4), round(aligned.high, 4)],
        **judge.distances(images),
        "judge": [judge.alignment, judge.distance],
        "samples": len(images),
        "seconds": round(time.perf_counter() - began, 1),
        "weights": cascade.digest,
        "settings": asdict(config),
    }
