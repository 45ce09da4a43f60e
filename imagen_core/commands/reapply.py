"""``reapply``: other rules on one stored step of a run, without asking the network."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from ..files.writing import check_output
from ..settings import StageConfig
from ..types import UserError
from .options import (
    ELSEWHERE,
    OF_THE_NETWORKS,
    OF_THE_RUN,
    add_cell_arguments,
    add_run_arguments,
    add_trace_arguments,
    cell_settings,
    changed_by,
    grid_from,
)
from .output import warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A stored step, and the grid of rules and weights."""
    add_trace_arguments(parser)
    add_run_arguments(parser, without=(*OF_THE_RUN, *OF_THE_NETWORKS, "guidance", "threshold"))
    add_cell_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the grid of the step's estimates; returns its file and what each cell measures."""
    from ..records import trace
    from ..run.branch import reapply
    from ..run.experiments import picture_facts, save_grid

    recorded = trace.load(args.trace)
    base = replace(recorded.request, stages=recorded.request.stages[:1])
    request = changed_by(args, base, elsewhere=ELSEWHERE)
    _check_same_sampler(request.stages[0], base.stages[0])
    grid = grid_from(args, request)
    warn(*grid.requests, before=base)
    check_output(args.out, ".png")
    estimates = [reapply(recorded, args.step - 1, cell.request.stages[0]) for cell in grid.cells]
    save_grid(grid, [out.x0_hat[0] for out in estimates], args.out, recorded.weights, "step")
    cells = [
        {
            **cell_settings(cell.request),
            **picture_facts(out.x0_hat).rounded(),
            "s": round(float(out.s[0]), 4),
            "outside": round(float((out.x0_raw[0].abs() > 1).float().mean()), 4),
        }
        for cell, out in zip(grid.cells, estimates)
    ]
    return {"file": str(args.out), "cells": cells}


def _check_same_sampler(config: StageConfig, recorded: StageConfig) -> None:
    """Refuse another sampler, or other options of it: the step was taken already."""
    now, before = config.rule("sampler"), recorded.rule("sampler")
    if (now.func, now.keywords) != (before.func, before.keywords):
        raise UserError("--set: a sampler and its options change nothing in a step that was taken; branch takes others")
