"""``data``: pictures and captions from anywhere, checked and cut to squares, ready for ``train --data``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ..files.writing import check_writable
from ..settings import SIDES
from ..types import UserError
from .train import MOST_WORKERS

MOST = 10_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="FOLDER_OR_DATASET",
        help="a folder of pictures with captions.csv or .jsonl, .txt files or folder names as captions; "
        "WebDataset .tar files; a data set of the package datasets, saved or on a hub (owner/name)",
    )
    parser.add_argument("--to", type=Path, required=True, help="folder for the prepared pictures; resumed if begun")
    parser.add_argument(
        "--side",
        type=int,
        default=64,
        help=f"pixels along each side, {SIDES[0]} to {SIDES[1]}; a stage needs at least its own size "
        "(default %(default)s, for a base)",
    )
    parser.add_argument("--split", default="train", help="which part of a data set (default %(default)s)")
    parser.add_argument("--image-column", help="column of the pictures (default the first usual name)")
    parser.add_argument("--caption-column", help="column of the captions (default the first usual name)")
    parser.add_argument("--most", type=int, default=0, help="take at most so many pictures (default all)")
    parser.add_argument("--name", default="", help="what to call the data (default its folder's name)")
    parser.add_argument("--licence", default="", help="the pictures' licence, for the report and the model")
    parser.add_argument("--workers", type=int, default=2, help="processes, 1 to 61 (default %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prepare the data; returns the facts of its report."""
    if not 1 <= args.workers <= MOST_WORKERS:
        raise UserError(f"--workers: must be between 1 and {MOST_WORKERS}, got {args.workers}")
    low, high = SIDES
    if not low <= args.side <= high:
        raise UserError(f"--side: must be between {low} and {high}, got {args.side}")
    if not 0 <= args.most <= MOST:
        raise UserError(f"--most: must be between 0 (all) and {MOST}, got {args.most}")
    for option in ("name", "licence"):
        text = getattr(args, option)
        if len(text) > 100 or not text.isprintable():
            raise UserError(f"--{option}: must be at most 100 printable characters")
    if args.to.resolve().is_relative_to(Path(args.source).resolve()) and Path(args.source).is_dir():
        raise UserError(f"--to: must not lie inside {args.source}, whose pictures it would join")
    check_writable(args.to, "--to")
    from ..sources.finish import finish
    from ..sources.opening import Options, open_source
    from ..sources.prepare import Plan, prepare

    source = open_source(args.source, Options(args.split, args.image_column, args.caption_column))
    plan = Plan(args.source, args.split, args.side, args.most)
    began = time.monotonic()
    prepare(source, plan, args.to, args.workers)
    facts = finish(source, plan, args.to, args.licence, args.name)
    names = ("name", "pictures", "held_back", "side", "counts", "digest")
    seconds = round(time.monotonic() - began, 1)
    return {**{name: facts[name] for name in names}, "seconds": seconds, "report": str(args.to / "report.md")}
