"""Scores of one set of sampling settings on TabletopBench: what is right, how near to true renders, how burnt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.saturation import measure
from ..models.cascade import Cascade
from ..records.png import save_grid
from ..settings import StageConfig, with_rule
from ..worlds.tabletop.render import LOOK, render
from ..worlds.tabletop.vocabulary import WORLD_VERSION
from . import tabletopbench
from .detector import SIZE, Reading, load_detector, look
from .frechet import frechet
from .intervals import Share, share
from .sampling import Order, for_viewers, kept
from .spread import kept_by_all
from .tabletopbench import CATEGORIES, Prompt, judge, scene_of, scores_of

# True renders a prompt: what samples are compared with.
RENDERS = 4
# The weight at which rules are compared for saturation, as in the paper's discussion of large weights.
LARGE_W = 8.0
SATURATION_STRIDE = 4
# Pictures on a sheet to look at.
SHEET = 64
SCORES = (
    "objects",
    "floor",
    "light",
    "positional",
    "counting",
    "unseen_pairs",
    "rare_words",
    "misspellings",
    "descriptions",
)


def orders(prompts: Sequence[Prompt], each: int, seed: int) -> list[Order]:
    """``each`` pictures a prompt, each from its own seed, which depends on the prompt's place in the bench."""
    places = {prompt.id: i for i, prompt in enumerate(tabletopbench.prompts())}
    return [Order(p.prompt, seed + k * len(places) + places[p.id]) for k in range(each) for p in prompts]


def true_renders(prompts: Sequence[Prompt], cache: Path) -> Tensor:
    """RENDERS true pictures of each prompt, [n, 3, 64, 64], one round of all prompts after the other; cached."""
    made_of = f"{WORLD_VERSION}/{LOOK}/{tabletopbench.digest()}/{RENDERS}/{[p.id for p in prompts]}"
    name = hashlib.sha256(made_of.encode()).hexdigest()

    def rendered(share: slice) -> Tensor:
        scenes = [scene_of(prompt, seed) for seed in range(RENDERS) for prompt in prompts][share]
        bar = tqdm(scenes, desc="true renders", unit="picture", disable=None)
        return torch.stack([render(scene, SIZE) for scene in bar])

    return kept_by_all(cache / f"renders-{name[:16]}.npy", (RENDERS * len(prompts), 3, SIZE, SIZE), rendered)


def shares(prompts: Sequence[Prompt], readings: Sequence[Reading]) -> dict[str, Share]:
    """Every score of the bench that these pictures contribute to."""
    right: dict[str, tuple[list[bool], list[str]]] = {}
    for prompt, reading in zip(prompts, readings):
        for name, value in scores_of(prompt, judge(prompt, reading)).items():
            values, groups = right.setdefault(name, ([], []))
            values.append(value)
            groups.append(prompt.id)
    return {name: share(*right[name]) for name in SCORES if name in right}


def by_category(prompts: Sequence[Prompt], readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
    """For each category the share of pictures in which each single judgement is right."""
    judgements: dict[str, dict[str, list[bool]]] = {}
    for prompt, reading in zip(prompts, readings):
        for name, value in judge(prompt, reading).items():
            if value is not None:
                judgements.setdefault(prompt.category, {}).setdefault(name, []).append(value)
    return {
        category: {name: round(float(np.mean(values)), 4) for name, values in judgements[category].items()}
        for category in CATEGORIES
        if category in judgements
    }


def burnt(images: Tensor) -> float:
    """Mean share of burnt values (saturation.BURNT) of pictures as they are shown."""
    return float(measure(images).burnt.mean())


def label(prompt: Prompt, reading: Reading) -> str:
    """A picture's caption on the sheet: whether it counts as right, what the prompt names, what the detector reads."""
    wanted = ", ".join(f"{named.count} {named.colour} {named.shape}" for named in prompt.things)
    read = ", ".join(f"{thing.colour} {thing.shape}" for thing in reading.things)
    right = all(scores_of(prompt, judge(prompt, reading)).values())
    return f"{'yes' if right else 'NO'}: {wanted} | {read}"


def _burnt_over(
    usual: Tensor, cascade: Cascade, config: StageConfig, drawn_orders: Sequence[Order], cache: Path
) -> dict[str, float]:
    """Share of burnt values at LARGE_W under static and dynamic, minus that of the true pictures ``usual``."""
    drawn = {
        rule: kept(cache, cascade, with_rule(config, guidance=LARGE_W, threshold=rule), drawn_orders)
        for rule in ("static", "dynamic")
    }
    return {f"saturation_excess_{rule}": round(burnt(x) - burnt(usual), 5) for rule, x in drawn.items()}


def score(
    cascade: Cascade,
    config: StageConfig,
    prompts: Sequence[Prompt],
    each: int,
    seed: int,
    cache: Path,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """Draw ``each`` pictures of each prompt and score them; the keys are those of ``evaluate tabletopbench --json``.

    ``frechet`` is the distance to true renders of the same prompts. ``frechet_of_renders`` is that between two halves
    of the renders: what chance alone gives at this number of pictures. ``saturation_excess_*`` is the share of burnt
    values at w = 8 minus that of true renders, on every fourth prompt. ``on_renders`` are the detector's scores on
    true renders, the highest that a model can reach.

    Raises:
        UserError: the cascade has no 64 × 64 stage, or the detector is missing.
    """
    began = time.perf_counter()
    detector, detector_digest = load_detector()
    drawn_orders = orders(prompts, each, seed)
    images = kept(cache, cascade, config, drawn_orders)
    readings, features = look(detector, images)
    if sheet is not None:
        labels = [label(prompt, reading) for prompt, reading in zip([*prompts] * each, readings)]
        rows = range(0, len(images), max(1, len(images) // SHEET))[:SHEET]
        save_grid([*for_viewers(cascade, config.size, images[list(rows)])], [labels[i] for i in rows], 8, sheet)
    truth = true_renders(prompts, cache)
    true_readings, true_features = look(detector, truth)
    half = len(truth) // 2
    scores = shares([*prompts] * each, readings)
    ceiling = shares([*prompts] * RENDERS, true_readings)
    some = drawn_orders[: len(prompts) : SATURATION_STRIDE]
    usual = truth.unflatten(0, (RENDERS, len(prompts)))[:, ::SATURATION_STRIDE].flatten(0, 1)
    return {
        **{name: round(value.value, 4) for name, value in scores.items()},
        "frechet": round(frechet(features, true_features), 4),
        **_burnt_over(usual, cascade, config, some, cache),
        "samples": len(images),
        "seconds": round(time.perf_counter() - began, 1),
        "intervals": {name: [round(value.low, 4), round(value.high, 4)] for name, value in scores.items()},
        "pictures": {name: value.pictures for name, value in scores.items()},
        "categories": by_category([*prompts] * each, readings),
        "on_renders": {name: round(value.value, 4) for name, value in ceiling.items()},
        "frechet_of_renders": round(frechet(true_features[:half], true_features[half:]), 4),
        "weights": cascade.digest,
        "detector": detector_digest,
        "bench": tabletopbench.digest(),
        "settings": asdict(config),
    }
