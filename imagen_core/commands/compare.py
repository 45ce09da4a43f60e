"""``compare``: one prompt and seed under several threshold rules and guidance weights, as a grid."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.writing import check_output
from .options import (
    ELSEWHERE,
    add_cell_arguments,
    add_run_arguments,
    cell_settings,
    grid_from,
    loading,
    request_from,
)
from .output import guard_facts, warn, warn_of_words, with_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run without its rule and weight, and the grid of rules and weights."""
    add_run_arguments(parser, without=("guidance", "threshold", "count"))
    add_cell_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the grid; returns its file and what each cell measures."""
    from ..models.opening import load_cascade
    from ..run.experiments import DrawnCell, draw, save_grid

    request = request_from(args, elsewhere=ELSEWHERE)
    grid = grid_from(args, request)
    warn(*grid.requests)
    check_output(args.out, ".png")
    cascade = load_cascade(args.model, loading(args))
    events = draw(grid, cascade)
    warn_of_words(request, cascade)
    cells = [event for event in with_progress(events, grid.requests) if isinstance(event, DrawnCell)]
    save_grid(grid, [drawn.image for drawn in cells], args.out, cascade.digest)
    facts = [{**cell_settings(drawn.cell.request), **drawn.facts.rounded()} for drawn in cells]
    return {"file": str(args.out), "cells": facts, **guard_facts(cascade, (drawn.withheld for drawn in cells))}
