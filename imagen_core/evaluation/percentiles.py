"""What the percentile of dynamic thresholding does, at the settings of the page's opening run.

A low percentile makes s small: more values are cut off, and burn. A high one makes s large, and the picture pales. At
100 the largest value alone sets s.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from ..models.cascade import Cascade
from ..run.experiments import guided_scales
from ..run.generate import Inputs, run_stage
from ..settings import Plan, StageConfig
from . import plots
from .paper_figures import write_table
from .sampling import Order
from .scoring import orders
from .settings_study import OPENING, Cell, half_of, measure_settings

PERCENTILES = (90.0, 95.0, 97.0, 99.0, 99.5, 99.9, 100.0)
# So many prompts are drawn once more for s, which finished pictures do not keep.
SCALES = 16


def scales(cascade: Cascade, config: StageConfig, asked: list[Order]) -> tuple[float, float]:
    """The mean of s over the pictures, at the first step and over the guided steps."""
    stage = cascade.stage(config.size)
    plan = Plan(config, stage.spec.schedule)
    with torch.no_grad():
        text = (stage.encode or cascade.encode)([order.prompt for order in asked])
        events = run_stage(stage, plan, Inputs(text, [order.seed for order in asked], None))
        values = guided_scales(events)
    return values[0], fmean(values)


def measure_percentiles(cascade: Cascade, half: str, stride: int, cache: Path, out: Path) -> dict[str, Any]:
    """Draw a half of the prompts at each percentile; write ``percentiles.csv`` and a figure to ``out``."""
    chosen = half_of(half, stride)
    cells = [Cell(*OPENING, percentile=percentile) for percentile in PERCENTILES]
    truth, *rows = measure_settings(cascade, cells, chosen, 1, cache)
    asked = orders(chosen[:SCALES], 1, 0)
    for cell, row in zip(cells, rows):
        first, mean = scales(cascade, cell.config(cascade.defaults[64]), asked)
        row.update(s_first=round(first, 4), s_mean=round(mean, 4))
    write_table([{**truth, "s_first": "", "s_mean": ""}, *rows], out / "percentiles.csv")
    note = (
        f"w = {OPENING[0]:g} until log_snr {OPENING[1]:g}, {len(chosen)} pictures each, weights {cascade.digest[:12]}"
    )
    plots.percentiles(rows, truth, note, out / "percentiles.png")
    return {"file": str(out / "percentiles.csv"), "cells": rows, "half": half, "weights": cascade.digest}
