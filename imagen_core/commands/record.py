"""``record``: the recorded runs and stills of page and lessons, again, after the weights changed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..files.writing import check_writable
from ..models.cascade import Cascade
from ..records import recording, stills
from ..records.frames import Frame
from ..records.packing import QUICK, SMALL
from ..records.shipped import FOLDER, SHIPPED, SWEEP, WORDS
from ..run.experiments import SweptLevel, compare, make_sweep, sweep
from ..run.generate import generate
from ..settings import SIDE_BY_SIDE, Request
from ..types import StageResult, StepRecord
from .options import add_model_argument, loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and of which model."""
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to (default %(default)s)")
    add_model_argument(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Record the runs; returns the files."""
    from ..models.opening import load_cascade

    check_writable(args.out)
    cascade = load_cascade(args.model, loading(args))
    args.out.mkdir(parents=True, exist_ok=True)
    paths = [*record_shipped(cascade, args.out), *record_stills(cascade, args.out)]
    return {"files": [str(path) for path in paths]}


def record(
    request: Request, cascade: Cascade, rules: Sequence[str] = SIDE_BY_SIDE, *, title: str = "", effort: int = QUICK
) -> recording.Recording:
    """Run the base stage of a request under each rule and record every step; ``effort`` is zlib's level."""
    requests = recording.under(request, rules)
    frames: dict[str, list[Frame]] = {rule: [] for rule in rules}
    for row in compare(list(requests.values()), cascade):
        for rule, event in zip(rules, row):
            if isinstance(event, StepRecord):
                frames[rule].append(Frame.of(event))
    return recording.make(requests, frames, weights=cascade.digest, title=title, effort=effort)


def record_shipped(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Record every run of SHIPPED again into ``folder``; yields each file once it is written."""
    for name, (title, request) in SHIPPED.items():
        path = folder / f"{name}.npz"
        recording.save(record(request, cascade, title=title, effort=SMALL), path)
        yield path


def record_stills(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Draw the stills of the lessons again into ``folder``; yields each file once it is written."""
    for name, title, pictures in (
        ("sweep", SWEEP[0], _swept(cascade)),
        ("words", WORDS[0], _worded(cascade)),
    ):
        path = folder / f"{name}.json"
        stills.save(stills.make(pictures, title=title, weights=cascade.digest), path)
        yield path


def _swept(cascade: Cascade) -> list[stills.Picture]:
    """One super-resolution at several aug_levels, with the facts of each (experiments/sweeps.py)."""
    levels = (event for event in sweep(make_sweep(*SWEEP[1:]), cascade) if isinstance(event, SweptLevel))
    return [
        stills.Picture(level.result.image[0], f"aug_level {level.facts.aug_level:g}", level.facts.rounded())
        for level in levels
    ]


def _worded(cascade: Cascade) -> list[stills.Picture]:
    """The same noise under several prompts; ``similarity`` is the cosine of a prompt's mean vector to the first's."""
    pictures, means = [], []
    for request in WORDS[1]:
        text = cascade.encode([request.prompt])
        real = text.mask[0]
        means.append(text.tokens[0][real].float().mean(0))
        similarity = float((means[0] * means[-1]).sum() / (means[0].norm() * means[-1].norm()))
        result = next(event for event in generate(request, cascade) if isinstance(event, StageResult))
        numbers: dict[str, Any] = {"similarity": round(similarity, 4), "tokens": int(real.sum())}
        pictures.append(stills.Picture(result.image[0], request.prompt, numbers))
    return pictures
