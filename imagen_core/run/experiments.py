"""Experiments: what is made of several runs from the same noise. Command line, API and page drain these generators.

``compare``  runs in lockstep, one step of each at a time.
``draw``     a :class:`Grid`: one base run, varied in two settings.
``sweep``    a :class:`Sweep`: one super-resolution stage at several aug_levels.

Continuing a recorded run with other settings is in branch.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..diffusion.saturation import consistency, measure, sharpness
from ..models.cascade import Cascade, Stage
from ..records import png
from ..settings import (
    CHOICES,
    DEFAULT_SIZES,
    DEFAULTS,
    RANGES,
    STAGE_FIELDS,
    Request,
    StageConfig,
    vary,
    with_stage,
)
from ..settings.text import option_names, read
from ..types import Event, Image, StageResult, UserError
from .generate import check, generate

# More cells are a long wait for pictures too small to see.
MOST_CELLS = 16
# More levels would not fit beside each other, and at 1024 × 1024 each is a picture of 2 MB.
MOST_LEVELS = 6
SUGGESTED_LEVELS = "0, 0.1, 0.2, 0.3"
# Settings of the base stage that a grid may vary, the frequent ones first.
VARIED = tuple(
    dict.fromkeys(
        ["guidance", "threshold", "percentile"]
        + [name for name in STAGE_FIELDS if name in {*CHOICES, *RANGES} - {"aug_level"}]
        + sorted(option_names())
    )
)
# How a run is drained: given its events and the requests that they are of, passes the events on. A page that serves
# many visitors lets one of them compute at a time.
Turn = Callable[..., Iterator[Any]]


def at_once(events: Iterator[Any], *requests: Request) -> Iterator[Any]:
    """The plain Turn: nobody waits."""
    return events


@dataclass(frozen=True)
class PictureFacts:
    """How saturated a finished picture is (saturation.Saturation)."""

    burnt: float
    colourfulness: float
    contrast: float

    def rounded(self) -> dict[str, float]:
        """The facts by name, as every face reports them."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def picture_facts(image: Image) -> PictureFacts:
    """The facts of the first picture of ``image`` [b, 3, h, w]."""
    measured = measure(image[:1])
    return PictureFacts(float(measured.burnt), float(measured.colourfulness), float(measured.contrast))


def compare(
    requests: Sequence[Request], cascade: Cascade, *, image: Image | None = None
) -> Iterator[tuple[Event, ...]]:
    """Several requests in lockstep, one event of each at a time, all from ``image`` where it is given.

    The same request with another threshold, or another guidance weight, starts from the same noise: what then
    differs is the rule alone.

    Raises:
        UserError: there are no requests, or they do not have the same stages and steps.
    """
    if not requests:
        raise UserError("runs: there must be one at least to compare")
    shapes = {tuple((stage.size, stage.steps) for stage in request.stages) for request in requests}
    if len(shapes) != 1:
        raise UserError("steps: runs that are compared side by side must have the same stages and steps")
    return zip(*(generate(request, cascade, image=image) for request in requests))


@dataclass(frozen=True)
class Cell:
    """One run of a grid, and its label there."""

    label: str
    request: Request


@dataclass(frozen=True)
class Grid:
    """Cells row by row, ``columns`` in each row; ``start`` is the run that they vary."""

    start: Request
    cells: tuple[Cell, ...]
    columns: int

    @property
    def requests(self) -> list[Request]:
        """The cells' runs."""
        return [cell.request for cell in self.cells]


@dataclass(frozen=True, eq=False)
class DrawnCell:
    """A finished cell: its picture [3, h, w] in [-1, 1], what it measures, and whether a safety checker withheld it."""

    cell: Cell
    image: Any
    facts: PictureFacts
    withheld: bool


def make_grid(request: Request, row: str, row_values: Sequence[Any], column: str, column_values: Sequence[Any]) -> Grid:
    """The grid of ``request``'s first picture over two settings of the base stage (:data:`VARIED`).

    Options of rules that a cell does not use are dropped from it.

    Raises:
        UserError: unknown or equal settings, a value out of range or given twice, or more than MOST_CELLS cells.
    """
    _check_sides(row, column)
    for name, values in ((row, row_values), (column, column_values)):
        _check_different(name, values)
    if len(row_values) * len(column_values) > MOST_CELLS:
        raise UserError(f"cells: at most {MOST_CELLS}, got {len(row_values)} × {len(column_values)}")
    start = replace(request, count=1)
    cells = [
        Cell(f"{_value_label(row, a)}, {_value_label(column, b)}", vary_base(start, {row: a, column: b}))
        for a in row_values
        for b in column_values
    ]
    return Grid(start, tuple(cells), len(column_values))


def read_grid(request: Request, row: Any, row_text: Any, column: Any, column_text: Any) -> Grid:
    """The grid whose values are given as text with commas between them.

    Raises:
        UserError: as for :func:`make_grid` and :func:`values_in`.
    """
    _check_sides(row, column)
    return make_grid(request, row, values_in(row, row_text), column, values_in(column, column_text))


def _check_sides(row: Any, column: Any) -> None:
    for what, name in (("rows", row), ("columns", column)):
        if name not in VARIED:
            raise UserError(f"{what}: must be one of {', '.join(VARIED)}, got {name!r:.60}")
    if row == column:
        raise UserError("columns: must be another setting than the rows")


def _value_label(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{'w' if name == 'guidance' else name} = {f'{value:g}' if isinstance(value, float) else value}"


def vary_base(request: Request, changes: dict[str, Any]) -> Request:
    """The request with settings and options of its base stage changed; options that no longer apply are dropped.

    Raises:
        UserError: a value is out of range, or an option is not one of the chosen rules'.
    """
    return replace(request, stages=(vary(request.stages[0], changes), *request.stages[1:]))


def values_in(name: str, text: Any) -> list[Any]:
    """The values in a text with commas between them; a request that is made of them checks their range.

    Raises:
        UserError: none, too many, or one twice.
    """
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else []
    if not any(parts):
        raise UserError(f"{name}: needs at least one value, {allowed_values(name)}")
    if len(parts) > MOST_CELLS:
        raise UserError(f"cells: at most {MOST_CELLS}, got {len(parts)} values of {name}")
    values = [read(name, part) for part in parts if part]
    _check_different(name, values)
    return values


def allowed_values(name: str) -> str:
    """What a setting may be, in a few words."""
    if name in CHOICES:
        return "any of " + ", ".join(CHOICES[name])
    low, high = RANGES[name]
    return f"numbers from {low:g} to {high:g}"


def _check_different(name: str, values: Sequence[Any]) -> None:
    # Compared, not hashed: 1 and 1.0 are one value, and a list, which the request refuses, has no hash.
    if any(value in values[:index] for index, value in enumerate(values)):
        raise UserError(f"{name}: has a value twice")


def draw(grid: Grid, cascade: Cascade, turn: Turn = at_once) -> Iterator[Event | DrawnCell]:
    """Draw the cells one after the other; yields each run's events, and a DrawnCell once a cell is finished.

    Raises:
        UserError: the cascade cannot do one of the cells; nothing is drawn then.
    """
    for request in grid.requests:
        check(request, cascade)
    return _draw(grid, cascade, turn)


def _draw(grid: Grid, cascade: Cascade, turn: Turn) -> Iterator[Event | DrawnCell]:
    for cell in grid.cells:
        for event in turn(generate(cell.request, cascade), cell.request):
            yield event
        yield DrawnCell(cell, event.image[0], picture_facts(event.image), event.withheld[0])


@dataclass(frozen=True)
class Sweep:
    """The last stage of ``start``, a super-resolution stage, at several aug_levels; one request for each level."""

    start: Request
    requests: tuple[Request, ...]

    @property
    def levels(self) -> list[float]:
        """The aug_levels."""
        return [request.stages[-1].aug_level or 0.0 for request in self.requests]

    @property
    def before(self) -> Request:
        """The run that draws what the swept stage is given."""
        return replace(self.start, stages=self.start.stages[:-1])


@dataclass(frozen=True)
class LevelFacts:
    """What an aug_level puts on a stage's input, and how the result compares with that input before the noise.

    ``sigma`` and ``snr`` are of the noise (``snr`` is infinite without any); ``consistency`` in dB and ``sharpness``
    as in saturation.py.
    """

    aug_level: float
    sigma: float
    snr: float
    consistency: float
    sharpness: float

    def rounded(self) -> dict[str, float | None]:
        """The facts by name, as every face reports them; JSON has no infinity, so that is None."""
        return {name: round(value, 4) if math.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class SweptLevel:
    """A finished level of a sweep. ``withheld`` says whether a safety checker withheld it or the picture before it."""

    request: Request
    result: StageResult
    facts: LevelFacts
    withheld: bool


def make_sweep(request: Request, aug_levels: Sequence[float]) -> Sweep:
    """The sweep of ``request``'s last stage, its first picture alone.

    Raises:
        UserError: the last stage has no aug_level; no level, too many, one twice, or one out of range.
    """
    if len(request.stages) < 2:
        raise UserError("size: must be 256 or 1024; the base stage has no aug_level to sweep")
    if not aug_levels:
        raise UserError("aug_levels: there must be one at least")
    if len(aug_levels) > MOST_LEVELS:
        raise UserError(f"aug_levels: at most {MOST_LEVELS}, got {len(aug_levels)}")
    _check_different("aug_level", aug_levels)
    start = replace(request, count=1)
    size = request.stages[-1].size
    return Sweep(start, tuple(with_stage(start, size, aug_level=level) for level in aug_levels))


def levels_in(text: Any) -> list[float]:
    """The aug_levels in a text with commas between them.

    Raises:
        UserError: as for :func:`make_sweep`.
    """
    levels = values_in("aug_level", text)
    make_sweep(Request("any", stages=tuple(DEFAULTS[size] for size in DEFAULT_SIZES[:2])), levels)
    return levels


def sweep(
    plan: Sweep, cascade: Cascade, turn: Turn = at_once, *, image: Image | None = None
) -> Iterator[Event | tuple[Event, ...] | SweptLevel]:
    """Draw what the swept stage is given, then that stage at all levels in lockstep, from the same noise.

    ``image``, a picture of an earlier stage (its ``StageResult.unmarked``), saves the stages up to its size. Yields
    the events of the stages before, then those of all levels as tuples, and a SweptLevel for each level at the end.
    The paper chooses aug_level by such a sweep (Saharia et al. 2022, App. D.2, Fig. A.11).

    Raises:
        UserError: the cascade cannot do one of the levels, or the image is of another size; nothing is drawn then.
    """
    for request in plan.requests:
        check(request, cascade)
    if image is None or image.shape[-1] != plan.before.stages[-1].size:
        before = generate(plan.before, cascade, image=image)
    else:
        before = None
    return _sweep(plan, cascade, turn, before, image)


def _sweep(
    plan: Sweep, cascade: Cascade, turn: Turn, before: Iterator[Event] | None, image: Any
) -> Iterator[Event | tuple[Event, ...] | SweptLevel]:
    black = False
    if before is not None:
        for event in turn(before, plan.before):
            yield event
        image, black = event.unmarked, event.withheld[0]
    for row in turn(compare(plan.requests, cascade, image=image), *plan.requests):
        yield row
    stage = cascade.stage(plan.start.stages[-1].size)
    for request, result in zip(plan.requests, row):
        facts = level_facts(stage, request.stages[-1], result.image, image)
        yield SweptLevel(request, result, facts, black or result.withheld[0])


def level_facts(stage: Stage, config: StageConfig, image: Image, small: Image) -> LevelFacts:
    """The facts of the first picture of ``image`` [b, 3, h, w], which ``stage`` made from ``small`` [b, 3, s, s]."""
    level = config.aug_level or 0.0
    scores = float(consistency(image, small)[0]), float(sharpness(image)[0])
    return LevelFacts(level, stage.aug_sigma(level), stage.aug_snr(level), *scores)


def level_label(stage: Stage, aug_level: float) -> str:
    """What an aug_level puts on a stage's input: σ and SNR of its noise, which differ from model to model."""
    snr = stage.aug_snr(aug_level)
    ratio = "∞ (untouched)" if math.isinf(snr) else f"{snr:.3g}"
    return f"aug_level {aug_level:g} · σ = {stage.aug_sigma(aug_level):.3f} · SNR = {ratio}"


def save_grid(grid: Grid, images: Sequence[Any], file: Path, weights: str) -> None:
    """Write pictures of a grid's cells as one PNG, which carries the run that they vary."""
    _save_sheet([cell.label for cell in grid.cells], images, grid.columns, file, grid.start, weights)


def save_sweep(plan: Sweep, levels: Sequence[SweptLevel], file: Path, cascade: Cascade) -> None:
    """Write the pictures of a sweep side by side as one PNG, which carries the run that they vary."""
    stage = cascade.stage(plan.start.stages[-1].size)
    labels = [level_label(stage, level.facts.aug_level) for level in levels]
    _save_sheet(labels, [level.result.image[0] for level in levels], len(labels), file, plan.start, cascade.digest)


def _save_sheet(
    labels: list[str], images: Sequence[Any], columns: int, file: Path, request: Request, weights: str
) -> None:
    png.save_grid(images, labels, columns, file, request, weights=weights, cells="; ".join(labels))
