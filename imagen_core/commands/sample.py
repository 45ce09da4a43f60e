"""``sample``: draw pictures of a prompt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files.writing import check_output
from ..types import UserError
from .options import add_run_arguments, loading, request_from
from .output import output_files, save_pictures, say, warn, warn_of_words, with_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, its pictures, and its trace."""
    add_run_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write; of several, x-1.png, x-2.png, …")
    parser.add_argument(
        "--image",
        type=Path,
        help="enlarge this picture instead of drawing one: its middle square, shrunk to the base's size and noised by "
        "--aug-level, to --size (default the next one then); the prompt says what it shows",
    )
    parser.add_argument("--trace", type=Path, help="also write every step up to 256 × 256 to this .npz")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the pictures; returns their files, seeds and seconds."""
    from ..models.opening import load_cascade, sizes_of
    from ..records import trace
    from ..records.own import open_own, unlike
    from ..run.generate import check, generate

    own = None
    if args.image:
        side, *later = sizes_of(args.model)
        if not later:
            raise UserError("--image: this model has a base alone, nothing that enlarges")
        if args.size == side:
            raise UserError(f"--size: must be larger than {side} with --image")
        args.size = later[0] if args.size is None else args.size
        own = open_own(args.image, side)
    request = request_from(args)
    warn(request)
    files = output_files(args.out, request.count)
    if args.trace:
        check_output(args.trace, ".npz", "--trace")
    cascade = load_cascade(args.model, loading(args))
    check(request, cascade)
    warn_of_words(request, cascade)
    recorder = trace.Recorder(request, cascade)
    if own is None:
        events = with_progress(generate(request, cascade), [request])
    else:
        say(*filter(None, [f"image: {own.done}", unlike(cascade)]))
        images = own.image.expand(request.count, -1, -1, -1)
        events = with_progress(generate(request, cascade, image=images), [request], skipped=request.stages[0].steps)
    if args.trace:
        events = recorder.watch(events)
    facts = save_pictures(events, files, request, cascade, **({"origin": "image"} if own else {}))
    if args.trace:
        trace.save(recorder.trace(), args.trace)
    return {**facts, "image": own.done} if own else facts
