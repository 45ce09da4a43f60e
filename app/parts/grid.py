"""One base run varied in two settings: the cells of a grid, all from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from imagen_core import settings
from imagen_core.diffusion.saturation import measure
from imagen_core.settings import CHOICES, RANGES, Request
from imagen_core.types import UserError

from . import link

MOST_CELLS = 16
# Settings of the base stage that a grid may vary, the frequent ones first.
SETTINGS = tuple(
    dict.fromkeys(
        ["guidance", "threshold", "percentile"]
        + [name for name in settings.STAGE_FIELDS if name in {*CHOICES, *RANGES} - {"aug_level"}]
        + sorted(link.OPTIONS)
    )
)
# What a newcomer would try first; of other settings, the ends of their range.
SUGGESTED = {
    "guidance": "1, 5, 10",
    "threshold": ", ".join(settings.SIDE_BY_SIDE),
    "percentile": "90, 99, 99.5, 100",
    "steps": "5, 10, 25",
    "cap": "1, 1.5, 3",
}


@dataclass(frozen=True)
class Cell:
    """One run of a grid, and what it is called there."""

    label: str
    request: Request


@dataclass(frozen=True)
class Grid:
    """Cells row by row, ``columns`` in each; ``start`` is the run that they vary."""

    start: Request
    cells: tuple[Cell, ...]
    columns: int

    @property
    def requests(self) -> list[Request]:
        return [cell.request for cell in self.cells]


def suggestion(name: str) -> str:
    """Values to begin with."""
    if name in SUGGESTED:
        return SUGGESTED[name]
    if name in CHOICES:
        return ", ".join(list(CHOICES[name])[:4])
    low, high = RANGES[name]
    return f"{low:g}, {high:g}"


def allowed(name: str) -> str:
    """What a setting may be, in a few words."""
    if name in CHOICES:
        return "any of " + ", ".join(CHOICES[name])
    low, high = RANGES[name]
    return f"numbers from {low:g} to {high:g}"


def make(request: Request, row: Any, row_values: Any, column: Any, column_values: Any) -> Grid:
    """The grid of ``request``'s first base picture over two settings, each given as comma-separated values.

    Raises:
        UserError: unknown or equal settings, values twice or out of range, or more than MOST_CELLS cells.
    """
    for what, name in (("rows", row), ("columns", column)):
        if name not in SETTINGS:
            raise UserError(f"{what}: must be one of {', '.join(SETTINGS)}, got {name!r:.60}")
    if row == column:
        raise UserError("columns: must be another setting than the rows")
    rows, columns = values(row, row_values), values(column, column_values)
    request = replace(request, count=1)
    if len(rows) * len(columns) > MOST_CELLS:
        raise UserError(f"cells: at most {MOST_CELLS}, got {len(rows)} × {len(columns)}")
    cells = tuple(
        Cell(f"{_show(row, a)}, {_show(column, b)}", vary(request, {row: a, column: b})) for a in rows for b in columns
    )
    return Grid(request, cells, len(columns))


def values(name: str, text: Any) -> list[Any]:
    """The values in a comma-separated text; they are judged when a request is made of them."""
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else []
    if not any(parts):
        raise UserError(f"{name}: needs at least one value, {allowed(name)}")
    if len(parts) > MOST_CELLS:
        raise UserError(f"cells: at most {MOST_CELLS}, got {len(parts)} values of {name}")
    found = [link.read(name, part) for part in parts if part]
    # 1 and 1.0 are one value; lists and objects, which the request will refuse, have no hash.
    if any(value in found[:index] for index, value in enumerate(found)):
        raise UserError(f"{name}: has a value twice")
    return found


def vary(request: Request, changes: dict[str, Any]) -> Request:
    """The request with settings and options of its base stage changed; options that no longer apply are dropped.

    Raises:
        UserError: a value is out of range, or an option is not one of the chosen rules'.
    """
    return replace(request, stages=(settings.vary(request.stages[0], changes), *request.stages[1:]))


def facts(image: Any) -> dict[str, float]:
    """How burnt a finished picture [1, 3, h, w] is."""
    found = measure(image)
    return {
        "burnt": round(float(found.burnt), 4),
        "colourfulness": round(float(found.colourfulness), 4),
        "contrast": round(float(found.contrast), 4),
    }


def sentence(found: dict[str, float]) -> str:
    """The facts as one short line."""
    burnt, colour, contrast = 100 * found["burnt"], found["colourfulness"], found["contrast"]
    return f"burnt {burnt:.1f} % · colourfulness {colour:.2f} · contrast {contrast:.2f}"


def differences(a: Request, b: Request) -> list[dict[str, Any]]:
    """The settings in which two runs differ, one row each."""
    one, other = link.flat(a), link.flat(b)
    names: Sequence[str] = list(dict.fromkeys([*one, *other]))
    return [
        {"setting": name, "A": one.get(name, "–"), "B": other.get(name, "–")}
        for name in names
        if one.get(name) != other.get(name)
    ]


def _show(name: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{'w' if name == 'guidance' else name} = {value}"
