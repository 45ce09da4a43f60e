"""Training of the detector on true renders with their scenes as labels, also those that diffusion never sees.

A run saves state.pt in its folder and resumes from it.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..files.writing import check_writable, written_whole
from ..networks.precision import bf16_is_fast
from ..records.png import from_bytes
from ..training.data import FRESH_SEEDS, Images, Shards, render_shards
from ..training.loop import averaged
from ..training.state import DAMAGED
from ..types import UserError
from ..worlds.tabletop.render import camera, render
from ..worlds.tabletop.scenes import HALF_FIELD, Scene, relation, sample_scene
from ..worlds.tabletop.tabletop import TableTop
from ..worlds.tabletop.vocabulary import WORLD_VERSION
from .detector import (
    ATTRIBUTES,
    FILE,
    FOLDER,
    SIZE,
    STRIDE,
    WHOLE,
    Detector,
    Raw,
    Reading,
    centre_of_cells,
    load_detector,
    look,
)
from .disk import save_judge, write_once
from .intervals import share
from .tabletopbench import Named, match, stands

MOST = 3
# Standard deviation and reach of the Gaussian around a centre, in cells.
SPREAD, REACH = 1.0, 2.5
HELD_OUT_SHARD = 500
# Fresh scenes that accuracy is measured on; a quarter as many with an unseen pair are added.
FRESH, QUICK_FRESH = 2000, 200


def on_screen(scene: Scene) -> Float[Tensor, "n 2"]:
    """x and y of each thing's centre in [-1, 1] (right, down), as the scene's camera sees it."""
    eye, forward, right, up = camera(scene)
    towards = eye.new_tensor([[thing.x, thing.height / 2, thing.z] for thing in scene.things]) - eye
    return torch.stack([towards @ right, -(towards @ up)], 1) / (HALF_FIELD * (towards @ forward))[:, None]


@dataclass(frozen=True)
class Labels:
    """Labels of a batch of pictures; unused places for things are at -1000."""

    place: Float[Tensor, "b 3 2"]
    depth: Float[Tensor, "b 3"]
    attributes: Int[Tensor, "b 3 4"]
    whole: Int[Tensor, "b 2"]

    def __getitem__(self, rows: Tensor) -> Labels:
        return Labels(self.place[rows], self.depth[rows], self.attributes[rows], self.whole[rows])


def labels_of(scenes: list[Scene]) -> Labels:
    """Places in pixels of a 64 × 64 picture, depths in the world's units, and the number of each word in its list."""
    place, depth = torch.full((len(scenes), MOST, 2), -1000.0), torch.zeros(len(scenes), MOST)
    attributes = torch.zeros(len(scenes), MOST, len(ATTRIBUTES), dtype=torch.long)
    for i, scene in enumerate(scenes):
        n = len(scene.things)
        place[i, :n] = (on_screen(scene) + 1) * (SIZE / 2)
        depth[i, :n] = torch.tensor([thing.z for thing in scene.things])
        numbers = [[words.index(getattr(t, name)) for name, words in ATTRIBUTES.items()] for t in scene.things]
        attributes[i, :n] = torch.tensor(numbers)
    whole = torch.tensor([[words.index(getattr(s, name)) for name, words in WHOLE.items()] for s in scenes])
    return Labels(place, depth, attributes, whole)


def loss_of(raw: Raw, labels: Labels) -> Float[Tensor, ""]:
    """A focal loss for the heat, cross-entropies and distances for the rest; weights between them are our choice.

    Only the cell that holds a centre should be hot; heat in cells near it costs less (arXiv 1904.07850, eq. 1). That
    cell learns the attributes, and cells around it learn those of the nearest thing, with a smaller weight.
    """
    cells = raw.cells.float().flatten(2).transpose(1, 2)
    towards = (labels.place[:, None] - centre_of_cells(cells.device)[None, :, None]) / STRIDE
    squared, which = towards.square().sum(-1).min(-1)
    holds = (towards.abs() <= 0.5).all(-1).any(-1)
    near = torch.where(squared < REACH**2, torch.exp(-squared / (2 * SPREAD**2)), 0.0)
    near = torch.where(holds, 1.0, near)
    things = holds.sum().clamp_min(1)

    heat, p = cells[..., 0], cells[..., 0].sigmoid()
    missed, imagined = F.softplus(-heat) * (1 - p) ** 2, F.softplus(heat) * p**2 * (1 - near) ** 4
    total = torch.where(holds, missed, imagined).sum() / things

    learns = torch.where(holds, 1.0, 0.3 * near) / things
    rows = torch.arange(len(cells), device=cells.device)[:, None]
    offset = towards.gather(2, which[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
    total = total + 0.5 * (learns * (cells[..., 1:3] - offset).abs().sum(-1).clamp_max(10)).sum()
    total = total + 0.3 * (learns * (cells[..., 3] - labels.depth[rows, which]).abs()).sum()
    truth = labels.attributes[rows, which]
    parts = cells[..., 4:].split([len(words) for words in ATTRIBUTES.values()], -1)
    for number, logits in enumerate(parts):
        wrong = F.cross_entropy(logits.transpose(1, 2), truth[..., number], reduction="none")
        total = total + (learns * wrong).sum()
    for number, logits in enumerate(raw.whole.values()):
        total = total + 0.5 * F.cross_entropy(logits.float(), labels.whole[:, number])
    return total


def augmented(images: Float[Tensor, "b 3 s s"], labels: Labels, random: torch.Generator) -> tuple[Tensor, Labels]:
    """Pictures changed as samples may differ: mirrored, slightly blurred, tinted, brighter or darker, noisy."""
    b = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, generator=random)

    mirror = uniform(0, 1) < 0.5
    images = torch.where(mirror[:, None, None, None], images.flip(-1), images)
    place = labels.place.clone()
    place[..., 0] = torch.where(mirror[:, None], SIZE - place[..., 0], place[..., 0])
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    # From a little sharper than the render to half blurred.
    images = torch.lerp(images, blurred, uniform(-0.4, 0.6, 1, 1, 1))
    gain, tint = uniform(0.88, 1.12, 1, 1, 1), uniform(0.96, 1.04, 3, 1, 1)
    images = ((images + 1) * gain * tint - 1 + uniform(-0.06, 0.06, 1, 1, 1)) * uniform(0.95, 1.1, 1, 1, 1)
    strength = uniform(0, 0.09, 1, 1, 1) * (uniform(0, 1, 1, 1, 1) < 0.7)
    noise = torch.randn(images.shape, generator=random)
    return (images + strength * noise).clamp(-1, 1), Labels(place, labels.depth, labels.attributes, labels.whole)


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; ``held_out`` scenes with an unseen pair come on top of ``pictures``."""

    steps: int = 2600
    batch: int = 48
    lr: float = 2e-3
    warmup: int = 200
    ema: float = 0.997
    pictures: int = 36_000
    held_out: int = 6_000
    seed: int = 0

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to zero."""
        return self.lr * min(1.0, (step + 1) / self.warmup) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def _held_out_files(folder: Path, count: int) -> list[Path]:
    return [folder / f"held-out-{number:04d}.npy" for number in range(-(-count // HELD_OUT_SHARD))]


def render_held_out(folder: Path, count: int) -> None:
    """Render scenes with the pairs that diffusion never sees; the detector must know them to judge them."""
    for number, file in enumerate(tqdm(_held_out_files(folder, count), desc="rendering unseen pairs", unit="shard")):
        write_once(file, (HELD_OUT_SHARD, 3, SIZE, SIZE), partial(_held_out_pictures, number * HELD_OUT_SHARD))


def _held_out_pictures(first: int) -> Float[Tensor, "n 3 64 64"]:
    seeds = range(first, first + HELD_OUT_SHARD)
    return torch.stack([render(sample_scene(seed, held_out=True), SIZE) for seed in seeds])


class Renders:
    """The recipe's pictures and labels: first those that diffusion trains on, then those with an unseen pair."""

    def __init__(self, recipe: Recipe, data: Path, run: Path) -> None:
        self._usual = Images(Shards(data, TableTop(), SIZE), recipe.pictures)
        self._unseen = [np.load(file, mmap_mode="r") for file in _held_out_files(run, recipe.held_out)]
        self._first = recipe.pictures
        scenes = [sample_scene(seed) for seed in range(recipe.pictures)]
        scenes += [sample_scene(seed, held_out=True) for seed in range(recipe.held_out)]
        self.labels = labels_of(scenes)

    def __len__(self) -> int:
        return len(self.labels.depth)

    def batch(self, indices: Tensor) -> tuple[Tensor, Labels]:
        """The pictures [b, 3, 64, 64] of these places, and their labels."""
        images = torch.empty(len(indices), 3, SIZE, SIZE)
        usual = indices < self._first
        if usual.any():
            images[usual] = self._usual[indices[usual]]
        places = [divmod(int(i) - self._first, HELD_OUT_SHARD) for i in indices[~usual]]
        if places:
            unseen = np.stack([self._unseen[shard][i] for shard, i in places])
            images[~usual] = from_bytes(unseen)
        return images, self.labels[indices]


def train(recipe: Recipe, data: Path, run: Path, *, save_every: int = 200) -> Detector:
    """Train or resume ``run``; returns the averaged network."""
    torch.manual_seed(recipe.seed)
    model = Detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = averaged(model, recipe.ema)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.02, betas=(0.9, 0.99), fused=True)
    first = 0
    if state := _state(run):
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    renders = Renders(recipe, data, run)
    bar = tqdm(
        range(first, recipe.steps), initial=first, total=recipe.steps, desc="detector", unit="step", mininterval=5.0
    )
    for step in bar:
        random = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        images, labels = augmented(
            *renders.batch(torch.randint(len(renders), (recipe.batch,), generator=random)), random
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_fast()):
            raw = model(images)
        loss = loss_of(raw, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        ema.update_parameters(model)
        if step % 20 == 0:
            with (run / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(
                    json.dumps({"step": step, "loss": round(float(loss.detach()), 4), "at": round(time.time())}) + "\n"
                )
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            state = {"step": step + 1, "model": model.state_dict(), "ema": ema.state_dict()}
            with written_whole(run / "state.pt") as aside, aside.open("wb") as out:
                torch.save({**state, "optimizer": optimizer.state_dict()}, out)
    return cast(Detector, ema.module)


def _state(run: Path) -> dict[str, Any] | None:
    """The saved state of a run; None if there is none yet."""
    if not (run / "state.pt").exists():
        return None
    try:
        state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
        Detector().load_state_dict(state["model"])
        averaged(Detector(), 0.0).load_state_dict(state["ema"])
        int(state["step"]), len(state["optimizer"]["state"])
    except DAMAGED as error:
        raise UserError(f"--train: the state in {run} is damaged, or not a detector's; use a new folder") from error
    return state


def train_and_ship(data: Path, run: Path) -> None:
    """Render missing pictures, train or resume ``run``, and write the detector to the assets."""
    recipe = Recipe()
    check_writable(run, "--train")
    _state(run)
    render_shards(Shards(data, TableTop(), SIZE), recipe.pictures, 1)
    render_held_out(run, recipe.held_out)
    network = train(recipe, data, run)
    save_judge(FOLDER, FILE, network, {"world_version": WORLD_VERSION, "training": asdict(recipe)})
    load_detector.cache_clear()


def accuracy(detector: Detector, count: int) -> dict[str, float | list[float]]:
    """Shares of fresh scenes that the detector reads right, and of a quarter as many with an unseen pair.

    ``objects``: exactly the scene's things, by shape and colour. ``sizes``: by shape, colour and size.
    ``materials``: by shape, colour and material. ``count``: the number of things. ``floor`` and ``light``: the scene's.
    ``relations``: the relation of two things, where a caption could name one.
    """
    facts: dict[str, float | list[float]] = {}
    for suffix, held_out, scenes in (("", False, count), ("_unseen_pairs", True, count // 4)):
        fresh = [sample_scene(FRESH_SEEDS + i, held_out=held_out) for i in range(scenes)]
        images = [render(scene, SIZE) for scene in tqdm(fresh, desc="fresh renders", unit="scene", disable=None)]
        readings, _ = look(detector, torch.stack(images))
        for name, right in _right(fresh, readings).items():
            counted = share(right, [str(i) for i in range(len(right))])
            facts[name + suffix] = round(counted.value, 4)
            facts[f"{name}{suffix}_interval"] = [round(counted.low, 4), round(counted.high, 4)]
    return {**facts, "samples": count + count // 4}


def _right(scenes: Sequence[Scene], readings: Sequence[Reading]) -> dict[str, list[bool]]:
    pairs = list(zip(scenes, readings))

    def same(*names: str) -> list[bool]:
        def kinds(things: Sequence[Any]) -> Counter:
            return Counter(tuple(getattr(thing, name) for name in names) for thing in things)

        return [kinds(scene.things) == kinds(reading.things) for scene, reading in pairs]

    related = []
    for scene, reading in pairs:
        if len(scene.things) == 2 and (truth := relation(*scene.things)):
            named = [Named(t.shape, t.colour, size=t.size, material=t.material) for t in scene.things]
            a, b = match(named, reading.things)
            if named[0] != named[1]:
                related.append(a is not None and b is not None and stands(a, b)[truth])
    return {
        "objects": same("shape", "colour"),
        "count": [len(scene.things) == len(reading.things) for scene, reading in pairs],
        "sizes": same("shape", "colour", "size"),
        "materials": same("shape", "colour", "material"),
        "floor": [scene.floor == reading.floor for scene, reading in pairs],
        "light": [scene.light == reading.light for scene, reading in pairs],
        "relations": related,
    }
