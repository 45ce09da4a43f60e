"""``sweep``: the last super-resolution stage at several aug_levels, from the same noise."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files.writing import check_output
from ..types import UserError
from .options import add_run_arguments, loading, request_from
from .output import guard_facts, warn, warn_of_words, with_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run without its aug_level, and the levels."""
    from ..run.experiments import MOST_LEVELS, SUGGESTED_LEVELS

    add_run_arguments(parser, without=("aug_level", "count"))
    levels = f"one picture each, at most {MOST_LEVELS} (default %(default)s)"
    parser.add_argument("--aug-levels", default=SUGGESTED_LEVELS.replace(" ", ""), help=levels)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the sweep; returns its file and what each level measures."""
    from ..models.opening import load_cascade, sizes_of
    from ..run.experiments import SweptLevel, levels_in, make_sweep, save_sweep, sweep

    levels = levels_in(args.aug_levels)
    _, *later = sizes_of(args.model)
    if not later:
        raise UserError("--model: this model has a base alone, without an aug_level")
    args.size = later[0] if args.size is None else args.size
    request = request_from(args, elsewhere={f"sr{args.size}.aug_level": "--aug-levels"})
    aug_sweep = make_sweep(request, levels)
    warn(request)
    check_output(args.out, ".png")
    cascade = load_cascade(args.model, loading(args))
    events = sweep(aug_sweep, cascade)
    warn_of_words(request, cascade)
    swept = [event for event in with_progress(events, [request]) if isinstance(event, SweptLevel)]
    save_sweep(aug_sweep, swept, args.out, cascade)
    return {
        "file": str(args.out),
        "stage": request.stages[-1].name,
        "cells": [level.facts.rounded() for level in swept],
        **guard_facts(cascade, (level.withheld for level in swept)),
    }
