"""A grid on the page: values to begin with, its facts in words, its files, and the differences of two runs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from imagen_core import settings
from imagen_core.records import exhibits
from imagen_core.records.shipped import EXHIBITS
from imagen_core.run.experiments import DrawnCell, Grid, PictureFacts, read_grid, save_grid
from imagen_core.settings import CHOICES, RANGES, Request
from imagen_core.settings.text import flat

from ..handlers import folder
from ..lessons.claims import percent
from . import tiles

# What a newcomer would try first; of other settings, the ends of their range.
SUGGESTED = {
    "guidance": "1, 5, 20",
    "threshold": ", ".join(settings.SIDE_BY_SIDE),
    "percentile": "90, 99, 99.5, 100",
    "steps": "5, 10, 25",
    "cap": "1, 1.5, 3",
}


def suggestion(name: str) -> str:
    """Values to begin with."""
    if name in SUGGESTED:
        return SUGGESTED[name]
    if name in CHOICES:
        return ", ".join(list(CHOICES[name])[:4])
    low, high = RANGES[name]
    return f"{low:g}, {high:g}"


def sentence(facts: PictureFacts) -> str:
    """The facts of a picture as one short line."""
    return f"burnt {percent(facts.burnt)} · colourfulness {facts.colourfulness:.2f} · contrast {facts.contrast:.2f}"


def tiled(grid: Grid, pictures: Sequence[tuple[Any, str]]) -> str:
    """The tiles of a grid: pictures drawn so far, each with its facts, and places for the rest."""
    drawn = [
        tiles.tile(image, cell.label, facts, key=str(number))
        for number, (cell, (image, facts)) in enumerate(zip(grid.cells, pictures))
    ]
    waiting = [tiles.waiting(cell.label, "not drawn yet") for cell in grid.cells[len(drawn) :]]
    heads = [cell.row for cell in grid.cells[:: grid.columns]], [cell.column for cell in grid.cells[: grid.columns]]
    return tiles.grid([*drawn, *waiting], *heads)


def shipped() -> tuple[Grid, str]:
    """The grid that comes with the page, and its tiles.

    Raises:
        UserError: this installation does not have it.
    """
    found = exhibits.load(EXHIBITS["grid"])
    values = found.values
    grid = read_grid(found.request, values["row"], values["rows"], values["column"], values["columns"])
    pictures = [(one.picture, sentence(PictureFacts(**one.facts))) for one in found.shown]
    return grid, tiled(grid, pictures)


def files(grid: Grid, cells: Sequence[DrawnCell], weights: str) -> list[str]:
    """The grid as one PNG that carries the run that its cells vary, and the cells' facts as CSV."""
    place = folder()
    sheet, numbers = place / "grid.png", place / "grid.csv"
    save_grid(grid, [drawn.image for drawn in cells], sheet, weights)
    rows = [{"cell": drawn.cell.label, **drawn.facts.rounded()} for drawn in cells]
    with numbers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [str(sheet), str(numbers)]


def differences(a: Request, b: Request) -> list[dict[str, Any]]:
    """The settings in which two runs differ, one row each."""
    one, other = flat(a), flat(b)
    return [
        {"setting": name, "A": one.get(name, "–"), "B": other.get(name, "–")}
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]
