"""``branch``: continue a stored run from one of its steps with other settings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import OF_THE_RUN, add_run_arguments, add_trace_arguments, changed_by, loading
from .output import output_files, save_pictures, warn, warn_of_words, with_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A stored step, what changes from there on, and the pictures."""
    add_trace_arguments(parser)
    add_run_arguments(parser, without=OF_THE_RUN)
    parser.add_argument("--prompt", help="another prompt from there on")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write; of several, x-1.png, x-2.png, …")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the rest of the run; returns its pictures' files, seeds and seconds."""
    from ..models.opening import load_cascade
    from ..records import trace
    from ..run.branch import branch

    recorded = trace.load(args.trace)
    request = changed_by(args, recorded.request)
    warn(request, before=recorded.request)
    files = output_files(args.out, request.count)
    cascade = load_cascade(args.model, loading(args))
    events = branch(recorded, args.step - 1, request, cascade)
    warn_of_words(request, cascade)
    events = with_progress(events, [request], skipped=args.step - 1)
    return save_pictures(events, files, request, cascade, origin="branch")
