"""Which settings draw the best pictures: weight, its schedule, threshold, percentile, guidance rule and steps.

Every cell draws the same prompts from the same noise. Settings are chosen on one half of the prompts and reported on
the other, so that the report does not flatter the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..diffusion.guidance import GUIDANCE
from ..diffusion.saturation import measure
from ..diffusion.thresholding import PERCENTILE
from ..models.cascade import Cascade
from ..records.shipped import SHIPPED
from ..settings import StageConfig, with_rule
from ..types import UserError
from .detector import load_detector, look
from .frechet import frechet
from .outline import load_segmenter, outline_score
from .paper_figures import write_table
from .sampling import kept
from .scoring import orders, shares, true_renders
from .tabletopbench import TRAINED, Prompt, judge, prompts

# Every second one of the prompts in words of training, from the first or the second on.
HALVES = {"choose": 0, "report": 1}
WEIGHTS, RULES = (3.0, 5.0, 8.0, 20.0), ("none", "static", "dynamic")
# Where guidance ends, as log_snr; None is never, as in the paper.
ENDS = (None, 0.0, -2.0)
# Weight and end of the shipped default, of the opening run, and of a large weight as in the paper.
DEFAULT, OPENING, PAPER = (5.0, -2.0), (20.0, -2.0), (8.0, None)
# The remedies with the smallest distances where guidance ends early.
BEST_EARLY = ("mambo", "fdg", "tcfg")
OTHER_PERCENTILES, OTHER_STEPS = (97.0, 99.9), (10, 15, 50)


@dataclass(frozen=True)
class Cell:
    """One way to draw: the settings that the study varies."""

    w: float
    until: float | None = None
    threshold: str = "dynamic"
    percentile: float = PERCENTILE
    steps: int = 25
    guidance_rule: str = "cfg"

    def config(self, start: StageConfig) -> StageConfig:
        """The stage ``start`` with these settings."""
        schedule = "constant" if self.until is None else "early"
        options = {} if self.until is None else {"until": self.until}
        return with_rule(
            start,
            guidance=self.w,
            w_schedule=schedule,
            threshold=self.threshold,
            steps=self.steps,
            guidance_rule=self.guidance_rule,
            options={**options, "percentile": self.percentile},
        )


def grid() -> tuple[Cell, ...]:
    """All cells: w × end × rule, other percentiles and steps, and each guidance rule of two estimates."""
    cells = [Cell(w, until, rule) for w, until, rule in product(WEIGHTS, ENDS, RULES)]
    cells += [Cell(*place, percentile=p) for place, p in product((DEFAULT, OPENING, PAPER), OTHER_PERCENTILES)]
    cells += [Cell(*DEFAULT, steps=steps) for steps in OTHER_STEPS]
    cells += [Cell(*place, guidance_rule=rule) for rule, place in product(_remedies(), (DEFAULT, PAPER))]
    return tuple(dict.fromkeys(cells))


def _remedies() -> list[str]:
    return [name for name, guide in GUIDANCE.items() if guide.off_at == 1 and guide.source == "text"]


def telling_cells() -> tuple[Cell, ...]:
    """The 23 cells of the grid on which the choices of docs/results/README.md rest."""
    cells = [Cell(*DEFAULT, steps=steps) for steps in (25, 15, 10)]
    cells += [Cell(*DEFAULT, threshold="static"), Cell(*DEFAULT, threshold="none")]
    cells += [Cell(w, None, rule) for w, rule in product((5.0, 8.0, 20.0), ("dynamic", "static"))]
    cells += [Cell(*OPENING), Cell(*OPENING, percentile=97.0)]
    cells += [Cell(*PAPER, guidance_rule=rule) for rule in _remedies()]
    cells += [Cell(*DEFAULT, guidance_rule=rule) for rule in BEST_EARLY]
    return tuple(dict.fromkeys(cells))


def opening_run() -> tuple[Cell, ...]:
    """The three rules at the settings of the page's opening run."""
    shown = SHIPPED["strong"][1].stages[0].percentile
    return tuple(Cell(*OPENING, rule, shown if rule == "dynamic" else PERCENTILE) for rule in RULES)


# Which cells a study draws, by name.
CELLS = {"grid": grid, "short": telling_cells, "opening": opening_run}


def half_of(name: str, stride: int) -> tuple[Prompt, ...]:
    """Every ``stride``-th prompt of a half; both halves have prompts of every category.

    Raises:
        UserError: there is no such half.
    """
    if name not in HALVES:
        raise UserError(f"--half: must be {' or '.join(HALVES)}, got {name!r:.40}")
    trained = [prompt for prompt in prompts() if prompt.category in TRAINED]
    return tuple(trained[HALVES[name] :: 2][::stride])


def measure_settings(
    cascade: Cascade, cells: Sequence[Cell], chosen: Sequence[Prompt], each: int, cache: Path
) -> Iterator[dict[str, Any]]:
    """A row of scores for each cell, after a first one for true renders of the same prompts; pictures are cached.

    ``objects``: every named thing is right; ``exact``: and there is nothing else. ``frechet``: the distance to true
    renders. ``contrast``, ``colourfulness``, ``burnt``: saturation.py. ``outline``: how far outlines lie from true
    ones (the median, in hundredths of a thing's width; outline.py).
    """
    detector, _ = load_detector()
    truth = true_renders(chosen, cache)
    _, true_features = look(detector, truth)
    repeated = [*chosen] * each

    def scores(images: Tensor, asked: Sequence[Prompt]) -> dict[str, Any]:
        readings, features = look(detector, images)
        shown = measure(images)
        return {
            "objects": round(shares(asked, readings)["objects"].value, 4),
            "exact": round(float(np.mean([judge(p, r)["counting"] for p, r in zip(asked, readings)])), 4),
            "frechet": round(frechet(features, true_features), 4),
            "contrast": round(float(shown.contrast.mean()), 4),
            "colourfulness": round(float(shown.colourfulness.mean()), 4),
            "burnt": round(float(shown.burnt.mean()), 5),
            "outline": outline_score(load_segmenter(), images, readings),
            "pictures": len(images),
        }

    plain = dict.fromkeys(("w", "until", "threshold", "percentile", "steps", "guidance_rule"), "")
    yield {**plain, "threshold": "true renders", **scores(truth, [*chosen] * (len(truth) // len(chosen)))}
    for cell in tqdm(cells, desc="settings", unit="cell", disable=None):
        images = kept(cache, cascade, cell.config(cascade.defaults[64]), orders(chosen, each, 0))
        yield {**vars(cell), **scores(images, repeated)}


def study(
    cascade: Cascade, half: str, stride: int, cells: Sequence[Cell], each: int, cache: Path, file: Path
) -> dict[str, Any]:
    """Measure the cells on a half of the prompts and write them to ``file`` (.csv)."""
    chosen = half_of(half, stride)
    rows = list(measure_settings(cascade, cells, chosen, each, cache))
    write_table(rows, file)
    return {"file": str(file), "cells": rows, "half": half, "weights": cascade.digest}
