"""Trains the segmenter of :mod:`.outline` on true renders, whose silhouettes the ray-caster knows.

Half of the pictures are shrunk to 64 × 64 and enlarged again, as a base's are. Colours and contrast vary more than in
true renders, so that strong guidance does not change what counts as a thing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..diffusion.augmentation import resize
from ..files.writing import written_whole
from ..networks.precision import bf16_is_fast
from ..records.png import from_bytes, to_bytes
from ..training.data import FRESH_SEEDS
from ..training.loop import averaged
from ..types import Image
from ..worlds.tabletop.render import render
from ..worlds.tabletop.scenes import sample_scene
from .detector import SIZE, load_detector, look
from .disk import save_judge
from .outline import FILE, FOLDER, SIDE, Segmenter, at_side, load_segmenter, outline_score, silhouettes

PICTURES_FILE, MASKS_FILE = "pictures.npy", "masks.npy"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    steps: int = 1200
    batch: int = 12
    lr: float = 3e-3
    ema: float = 0.99
    pictures: int = 1500
    seed: int = 0


def render_scenes(recipe: Recipe, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [n, 3, 128, 128] and coverage uint8 [n, 128, 128] of the recipe's scenes, kept in ``run``."""
    run.mkdir(parents=True, exist_ok=True)
    files = run / PICTURES_FILE, run / MASKS_FILE
    if not all(file.exists() for file in files):
        scenes = [sample_scene(recipe.seed + i) for i in range(recipe.pictures)]
        bar = tqdm(scenes, desc="rendering outlines", unit="scene", disable=None)
        made = [(to_bytes(render(scene, SIDE)), silhouettes(scene, SIDE).sum(0)) for scene in bar]
        arrays = np.stack([picture for picture, _ in made]), np.stack([_bytes(mask) for _, mask in made])
        for file, array in zip(files, arrays):
            with written_whole(file) as aside, aside.open("wb") as out:
                np.save(out, array)
    return np.load(files[0], mmap_mode="r"), np.load(files[1], mmap_mode="r")


def _bytes(mask: Tensor) -> np.ndarray:
    return (mask * 255).round().to(torch.uint8).numpy()


def varied(images: Image, random: torch.Generator) -> Image:
    """Pictures as generated ones may look: half of them enlarged from 64 × 64, with other contrast, tint and noise."""
    b = len(images)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, generator=random)

    small = at_side(F.avg_pool2d(images, 2))
    images = torch.where(torch.rand(b, 1, 1, 1, generator=random) < 0.5, small, images)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * draw(0.6, 1.6, 1, 1, 1)
    images = images * draw(0.7, 1.4, 1, 1, 1) + draw(-0.1, 0.1, 3, 1, 1)
    noise = torch.randn(images.shape, generator=random) * draw(0.0, 0.04, 1, 1, 1)
    return (images + noise).clamp(-1, 1)


def train(recipe: Recipe, run: Path) -> Segmenter:
    """Train on the recipe's scenes; returns the averaged network."""
    torch.manual_seed(recipe.seed)
    pictures, masks = render_scenes(recipe, run)
    model = Segmenter()
    ema = averaged(model, recipe.ema)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=recipe.steps)
    random = torch.Generator().manual_seed(recipe.seed)
    for _ in tqdm(range(recipe.steps), desc="outlines", unit="step", mininterval=5.0):
        chosen = torch.randint(len(pictures), (recipe.batch,), generator=random).numpy()
        truth = torch.from_numpy(masks[chosen].astype(np.float32) / 255)
        images, truth = _varied_together(from_bytes(pictures[chosen]), truth, random)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_fast()):
            logits = model(images)[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits.float(), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        rate.step()
        ema.update_parameters(model)
    # Batch norm's statistics are those of the averaged weights.
    torch.optim.swa_utils.update_bn((varied(from_bytes(pictures[i : i + 12]), random) for i in range(0, 240, 12)), ema)
    return ema.module  # type: ignore[return-value]


def _varied_together(
    images: Image, truth: Float[Tensor, "b h w"], random: torch.Generator
) -> tuple[Image, Float[Tensor, "b h w"]]:
    """Pictures varied, and mirrored together with their masks."""
    mirrored = torch.rand(len(images), generator=random) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    return varied(images, random), torch.where(mirrored[:, None, None], truth.flip(-1), truth)


def dented(images: Image, pixels: float, random: torch.Generator) -> Image:
    """Pictures whose places are moved by smooth random shifts of about ``pixels`` pixels: outlines get dents."""
    b, _, height, width = images.shape
    shift = torch.randn(b, 2, height // 8, width // 8, generator=random)
    shift = F.interpolate(shift, size=(height, width), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    plain = torch.eye(2, 3).expand(b, 2, 3)
    grid = F.affine_grid(plain, [b, 1, height, width], align_corners=False) + shift * pixels * 2 / width
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def measured(scenes: int = 60) -> dict[str, float | None]:
    """The measure on fresh scenes (median, hundredths of a thing's width): as rendered, from 64 × 64, and with dents.

    ``overlap`` is the segmenter's intersection over union with the true coverage.
    """
    segmenter, random = load_segmenter(), torch.Generator().manual_seed(0)
    fresh = [sample_scene(FRESH_SEEDS + 50_000 + i) for i in range(scenes)]
    truth = torch.stack([render(scene, SIDE) for scene in tqdm(fresh, desc="fresh renders", disable=None)])
    readings, _ = look(load_detector()[0], resize(truth, SIZE))
    masks = torch.stack([silhouettes(scene, SIDE).sum(0) for scene in fresh]) > 0.5
    with torch.no_grad():
        seen = segmenter(truth)[:, 0] > 0

    def error(images: Image) -> float | None:
        return outline_score(segmenter, images, readings)

    return {
        "overlap": round(float((seen & masks).sum() / (seen | masks).sum()), 4),
        "rendered": error(truth),
        "from_64": error(resize(truth, SIZE)),
        **{f"dents_of_{pixels:g}_pixels": error(dented(truth, pixels, random)) for pixels in (0.5, 1.0, 2.0, 4.0)},
        "scenes": scenes,
    }


def train_and_ship(run: Path) -> None:
    """Train in ``run`` and write the segmenter to the assets."""
    recipe = Recipe()
    save_judge(FOLDER, FILE, train(recipe, run), {"training": asdict(recipe)})
    load_segmenter.cache_clear()
