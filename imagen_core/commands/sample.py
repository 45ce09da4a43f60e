"""``sample``: draw pictures of a prompt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files.writing import check_output
from .options import add_run_arguments, loading, request_from
from .output import output_files, save_pictures, warn, warn_of_words, with_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, its pictures, and its trace."""
    add_run_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write; of several, x-1.png, x-2.png, …")
    parser.add_argument("--trace", type=Path, help="also write every step up to 256 × 256 to this .npz")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the pictures; returns their files, seeds and seconds."""
    from ..models.opening import load_cascade
    from ..records import trace
    from ..run.generate import check, generate

    request = request_from(args)
    warn(request)
    files = output_files(args.out, request.count)
    if args.trace:
        check_output(args.trace, ".npz", "--trace")
    cascade = load_cascade(args.model, loading(args))
    check(request, cascade)
    warn_of_words(request, cascade)
    recorder = trace.Recorder(request, cascade)
    events = with_progress(generate(request, cascade), [request])
    if args.trace:
        events = recorder.watch(events)
    facts = save_pictures(events, files, request, cascade)
    if args.trace:
        trace.save(recorder.trace(), args.trace)
    return facts
