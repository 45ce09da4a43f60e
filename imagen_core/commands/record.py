"""``record``: the recorded runs and stills of page and lessons, again, after the weights changed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from torch import Tensor

from ..files.writing import check_writable
from ..models.cascade import Cascade
from ..models.opening import FIRST_MODEL
from ..records import exhibits, recording, stills
from ..records.frames import Frame
from ..records.packing import QUICK, SMALL
from ..records.shipped import (
    ANOTHER,
    BRIEF,
    EXHIBITS,
    FOLDER,
    GRID,
    LESSON_SWEEP,
    PERCENTILES,
    SHIPPED,
    SWEEP,
    WORDS,
    brief_runs,
)
from ..run.experiments import (
    DrawnCell,
    SweptLevel,
    compare,
    draw,
    guided_scales,
    level_label,
    levels_in,
    make_sweep,
    picture_facts,
    read_grid,
    sweep,
    vary_base,
)
from ..run.generate import check, generate
from ..settings import SIDE_BY_SIDE, Request
from ..types import StageResult, StepRecord, UserError
from .options import add_model_argument, loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and of which model."""
    parser.add_argument("--out", type=Path, help=f"folder to write to (default for {FIRST_MODEL}: {FOLDER})")
    add_model_argument(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Record the runs; returns the files."""
    from ..models.opening import load_cascade

    if args.out is None:
        if args.model != FIRST_MODEL:
            raise UserError(f"--out: must be given for another model than {FIRST_MODEL}")
        args.out = FOLDER
    check_writable(args.out)
    cascade = load_cascade(args.model, loading(args))
    # Before the first file is written: the model must have the stages of all that is recorded.
    check(SWEEP[0], cascade)
    args.out.mkdir(parents=True, exist_ok=True)
    paths = [*record_shipped(cascade, args.out), *record_stills(cascade, args.out)]
    return {"files": [str(path) for path in paths]}


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
    # A swept stage enlarges, so it received a picture.
    received = exhibits.link(cast(Tensor, level.result.low_res)[0])
    return exhibits.Shown(exhibits.link(level.result.image[0]), received, label, level.facts.rounded())


def record_stills(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Draw the stills of the lessons again into ``folder``; yields each file once it is written."""
    for name, title, pictures in (
        ("sweep", LESSON_SWEEP[0], _still_levels(cascade)),
        ("words", WORDS[0], _worded(cascade)),
        ("percentiles", PERCENTILES[0], _at_percentiles(cascade)),
    ):
        path = folder / f"{name}.json"
        stills.save(stills.make(pictures, title=title, weights=cascade.digest), path)
        yield path


def _still_levels(cascade: Cascade) -> list[stills.Picture]:
    """One super-resolution at several aug_levels, with the facts of each (experiments/sweeps.py)."""
    levels = (event for event in sweep(make_sweep(*LESSON_SWEEP[1:]), cascade) if isinstance(event, SweptLevel))
    return [
        stills.Picture(level.result.image[0], f"aug_level {level.facts.aug_level:g}", level.facts.rounded())
        for level in levels
    ]


def _at_percentiles(cascade: Cascade) -> list[stills.Picture]:
    """The same noise at several percentiles; ``s`` is the mean of dynamic thresholding's scale in the guided steps."""
    _, request, percentiles = PERCENTILES
    pictures = []
    for percentile in percentiles:
        events = list(generate(vary_base(request, {"percentile": percentile}), cascade))
        (image,) = next(event.image for event in events if isinstance(event, StageResult))
        numbers: dict[str, Any] = {"s": round(fmean(guided_scales(events)), 4), **picture_facts(image[None]).rounded()}
        pictures.append(stills.Picture(image, f"percentile {percentile:g}", numbers))
    return pictures


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
