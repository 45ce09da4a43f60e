"""``export``: a cascade as files that a browser tab samples with, each graph checked against torch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..files.writing import check_writable, holds_files
from ..models.opening import FIRST_MODEL, MODELS
from ..types import UserError
from .options import check_shipped_sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is exported, and where to."""
    parser.add_argument(
        "--model",
        default=FIRST_MODEL,
        help=f"{', '.join(MODELS)}, a folder or a hub id: a cascade of this project (default %(default)s)",
    )
    parser.add_argument("--to", type=Path, required=True, help="a new or empty folder, or that of an earlier export")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the folder; returns the bytes of each part and the largest error of each graph, relative to its range.

    Raises:
        UserError: a package is missing, the model is no cascade of this project, or the folder holds something else.
    """
    from ..export.folder import check_libraries, is_export, write
    from ..export.tracing import check_packages
    from ..models.opening import is_deepfloyd, load_cascade

    check_packages()
    folder: Path = args.to
    check_writable(folder, "--to")
    if (holds_files(folder) and not is_export(folder)) or (folder.exists() and not folder.is_dir()):
        raise UserError(f"--to: {str(folder)!r:.80} must be a new or empty folder, or that of an earlier export")
    if is_deepfloyd(args.model):
        raise UserError("export: DeepFloyd IF is too large for a browser tab; export a cascade of this project")
    check_shipped_sizes(args.model, "a browser tab")
    check_libraries()
    facts: dict[str, Any] = {}
    for name, fact in write(load_cascade(args.model), folder):
        facts[name] = fact
        print(f"export: wrote {name}", file=sys.stderr, flush=True)
    return facts
