"""Quality against steps for every sampler: how many steps does a picture need?

``frechet`` and ``objects`` measure what a viewer sees; with few pictures both are coarse. ``distance`` is finer, but
exists only for deterministic samplers. They all solve the same differential equation from the same noise. Its solution
comes from many steps of DPM-Solver++(2M), and ``distance`` is the root mean square difference to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..diffusion.samplers import SAMPLERS
from ..models.cascade import Cascade
from ..settings import Plan, StageConfig, with_rule
from .detector import load_detector, look
from .frechet import frechet
from .paper_figures import write_table
from .sampling import kept
from .scoring import orders, shares, true_renders
from .tabletopbench import prompts

# The quality that DPM-Solver++(2M) is compared with: DDPM's sampler with many steps.
SLOW = ("ancestral", 250)
FILE = "samplers.csv"


@dataclass(frozen=True)
class Extent:
    """Every ``stride``-th prompt of the bench, the numbers of steps, and the steps that the solution takes."""

    stride: int
    steps: tuple[int, ...]
    solution: int


FULL = Extent(2, (4, 8, 12, 16, 25, 50), 250)
QUICK = Extent(8, (4, 8, 16, 32), 100)


def measure_samplers(cascade: Cascade, extent: Extent, cache: Path, out: Path) -> dict[str, Any]:
    """Draw and score every cell, write ``samplers.csv`` to ``out``; cells are kept in ``cache``.

    ``steps_to_match`` is the smallest number of steps tried from which on DPM-Solver++(2M) is at most a tenth above
    the Fréchet distance of 250 ancestral steps; None if it never is.
    """
    detector, _ = load_detector()
    chosen = prompts()[:: extent.stride]
    drawn_orders = orders(chosen, 1, 0)
    _, true_features = look(detector, true_renders(chosen, cache))

    def config_of(sampler: str, steps: int) -> StageConfig:
        return with_rule(cascade.defaults[64], sampler=sampler, steps=steps)

    solution = kept(cache, cascade, config_of("dpmpp_2m", extent.solution), drawn_orders)
    cells = [(sampler, steps) for sampler in SAMPLERS for steps in extent.steps]
    rows = []
    for sampler, steps in dict.fromkeys([*cells, SLOW]):
        config = config_of(sampler, steps)
        images = kept(cache, cascade, config, drawn_orders)
        readings, features = look(detector, images)
        distance = float((images - solution).square().mean().sqrt()) if SAMPLERS[sampler].deterministic else None
        rows.append(
            {
                "sampler": sampler,
                "steps": steps,
                "evaluations": sum(Plan(config, cascade.stages[0].spec.schedule).evaluations),
                "frechet": round(frechet(features, true_features), 4),
                "objects": round(shares(chosen, readings)["objects"].value, 4),
                "distance": None if distance is None else round(distance, 4),
            }
        )
    write_table(rows, out / FILE)
    return {
        "file": str(out / FILE),
        "steps_to_match": steps_to_match(rows),
        "cells": rows,
        "samples": len(drawn_orders),
        "weights": cascade.digest,
    }


def steps_to_match(rows: Sequence[dict[str, Any]]) -> int | None:
    """From how many steps on the Fréchet distance of DPM-Solver++(2M) stays at most a tenth above that of SLOW."""
    goal = next(row["frechet"] for row in rows if (row["sampler"], row["steps"]) == SLOW)
    fast = sorted((row["steps"], row["frechet"] <= 1.1 * goal) for row in rows if row["sampler"] == "dpmpp_2m")
    reached = None
    for steps, good in fast:
        reached = (reached or steps) if good else None
    return reached
