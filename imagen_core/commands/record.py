"""``record``: the recorded runs that the page opens with, again, after the weights changed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..files.writing import check_writable
from ..models.cascade import Cascade
from ..records import exhibits, recording
from ..records.frames import Frame
from ..records.packing import QUICK, SMALL
from ..records.shipped import ANOTHER, BRIEF, EXHIBITS, FOLDER, GRID, SHIPPED, SWEEP, brief_runs
from ..run.experiments import (
    DrawnCell,
    SweptLevel,
    compare,
    draw,
    level_label,
    levels_in,
    make_sweep,
    read_grid,
    sweep,
)
from ..settings import SIDE_BY_SIDE, Request
from ..types import StepRecord
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
    return {"files": [str(path) for path in record_shipped(cascade, args.out)]}


def record(
    request: Request,
    cascade: Cascade,
    rules: Sequence[str] = SIDE_BY_SIDE,
    *,
    title: str = "",
    effort: int = QUICK,
    brief: bool = False,
) -> recording.Recording:
    """Run the base stage of a request under each rule and record its steps; ``effort`` and ``brief`` as for make."""
    requests = recording.under(request, rules)
    frames: dict[str, list[Frame]] = {rule: [] for rule in rules}
    for row in compare(list(requests.values()), cascade):
        for rule, event in zip(rules, row):
            if isinstance(event, StepRecord):
                frames[rule].append(Frame.of(event))
    return recording.make(requests, frames, weights=cascade.digest, title=title, effort=effort, brief=brief)


def record_shipped(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Record every run of SHIPPED and its sets again into ``folder``; yields each file once it is written."""
    for name, (title, request) in SHIPPED.items():
        path = folder / f"{name}.npz"
        recording.save(record(request, cascade, title=title, effort=SMALL), path)
        yield path
    yield from record_exhibits(cascade, folder)
    place = folder / BRIEF.name
    place.mkdir(exist_ok=True)
    for name, request in brief_runs().items():
        path = place / f"{name}.npz"
        recording.save(record(request, cascade, title=ANOTHER, effort=SMALL, brief=True), path)
        yield path


def record_exhibits(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Draw the grid and the sweep that the page shows on arrival; yields each file once it is written."""
    asked, values = GRID
    grid = read_grid(asked, values["row"], values["rows"], values["column"], values["columns"])
    cells = [event for event in draw(grid, cascade) if isinstance(event, DrawnCell)]
    shown = exhibits.pictures([cell.image for cell in cells], [cell.facts.rounded() for cell in cells])
    exhibits.save(exhibits.Exhibit(cascade.digest, asked, values, shown), folder / EXHIBITS["grid"].name)
    yield folder / EXHIBITS["grid"].name
    asked, values = SWEEP
    levels = sweep(make_sweep(asked, levels_in(values["levels"])), cascade)
    swept = tuple(_swept(event, cascade) for event in levels if isinstance(event, SweptLevel))
    exhibits.save(exhibits.Exhibit(cascade.digest, asked, values, swept), folder / EXHIBITS["sweep"].name)
    yield folder / EXHIBITS["sweep"].name


def _swept(level: SweptLevel, cascade: Cascade) -> exhibits.Shown:
    """A level of a sweep, with what its stage received."""
    stage = level.request.stages[-1]
    label = level_label(cascade.stage(stage.size), level.facts.aug_level)
    picture, received = exhibits.link(level.result.image[0]), exhibits.link(level.result.low_res[0])
    return exhibits.Shown(picture, received, label, level.facts.rounded())
