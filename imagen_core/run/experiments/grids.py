"""A grid: one base run varied in two settings, every cell from the same noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...diffusion.saturation import measure
from ...models.cascade import Cascade
from ...records import png
from ...settings import CHOICES, RANGES, STAGE_FIELDS, Request, vary
from ...settings.text import option_names, read
from ...types import Event, Image, StepRecord, UserError
from ..generate import check, generate
from .lockstep import Turn, at_once

# More cells are a long wait for pictures too small to see.
MOST_CELLS = 25
# Settings of the base stage that a grid may vary, the frequent ones first.
VARIED = tuple(
    dict.fromkeys(
        ["guidance", "threshold", "percentile"]
        + [name for name in STAGE_FIELDS if name in {*CHOICES, *RANGES} - {"aug_level"}]
        + sorted(option_names())
    )
)


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


def guided_scales(events: Iterable[Event]) -> list[float]:
    """Dynamic thresholding's s in each guided step, as the mean over the pictures."""
    return [float(e.out.s.mean()) for e in events if isinstance(e, StepRecord) and e.out.w != 1]


@dataclass(frozen=True)
class Cell:
    """One run of a grid, under the headings of its row and its column."""

    row: str
    column: str
    request: Request

    @property
    def label(self) -> str:
        """Both headings."""
        return f"{self.row}, {self.column}"


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
        check_different(name, values)
    if len(row_values) * len(column_values) > MOST_CELLS:
        raise UserError(f"cells: at most {MOST_CELLS}, got {len(row_values)} × {len(column_values)}")
    start = replace(request, count=1)
    cells = [
        Cell(_value_label(row, a), _value_label(column, b), vary_base(start, {row: a, column: b}))
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


def values_in(name: str, text: Any, *, most: int = MOST_CELLS, what: str = "cells") -> list[Any]:
    """The values in a text with commas between them; a request that is made of them checks their range.

    Raises:
        UserError: none, too many, or one twice.
    """
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else []
    if not any(parts):
        raise UserError(f"{name}: needs at least one value, {allowed_values(name)}")
    if len(parts) > most:
        raise UserError(f"{what}: at most {most}, got {len(parts)} values of {name}")
    values = [read(name, part) for part in parts if part]
    check_different(name, values)
    return values


def allowed_values(name: str) -> str:
    """What a setting may be, in a few words."""
    if name in CHOICES:
        return "any of " + ", ".join(CHOICES[name])
    low, high = RANGES[name]
    return f"numbers from {low:g} to {high:g}"


def check_different(name: str, values: Sequence[Any]) -> None:
    """UserError if a value is there twice."""
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
        for event in turn(partial(generate, cell.request), cascade, cell.request):
            yield event
        yield DrawnCell(cell, event.image[0], picture_facts(event.image), event.withheld[0])


def save_grid(grid: Grid, images: Sequence[Any], file: Path, weights: str, origin: str = "grid") -> None:
    """Write pictures of a grid's cells as one PNG, which carries the run that they vary; ``origin`` of png.ORIGINS."""
    labels = [cell.label for cell in grid.cells]
    facts = {"weights": weights, "cells": "; ".join(labels), "origin": origin}
    png.save_grid(images, labels, grid.columns, file, grid.start, **facts)
