"""The grid and the sweep that tabs show on arrival: read as data only, and drawn by the shipped weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.parts import grid as grid_parts
from app.parts import upscaling
from imagen_core.models.opening import load_cascade
from imagen_core.records import exhibits
from imagen_core.records.shipped import EXHIBITS, GRID, SWEEP
from imagen_core.settings import request
from imagen_core.types import UserError


def test_an_exhibit_is_read_as_it_was_written(tmp_path: Path) -> None:
    shown = exhibits.pictures([torch.zeros(3, 4, 4)], [{"burnt": 0.0}])
    made = exhibits.Exhibit("w", request("a red ball"), {"levels": "0"}, shown)
    exhibits.save(made, tmp_path / "e.json")
    assert exhibits.load(tmp_path / "e.json") == made
    assert shown[0].picture.startswith("data:image/png;base64,")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "request": {}, "shown": []}'])
def test_a_damaged_exhibit_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(UserError, match="exhibit: "):
        exhibits.load(tmp_path / "e.json")
    with pytest.raises(UserError, match="exhibit: "):
        exhibits.load(tmp_path / "none.json")


def test_the_shipped_exhibits_are_of_the_shipped_weights() -> None:
    weights = load_cascade("tabletop").digest
    for name, (asked, values) in (("grid", GRID), ("sweep", SWEEP)):
        found = exhibits.load(EXHIBITS[name])
        assert (found.weights, found.request, found.values) == (weights, asked, values), "python -m imagen_core record"
        assert EXHIBITS[name].stat().st_size < 2_000_000


def test_the_shipped_exhibits_become_tiles() -> None:
    grid, html = grid_parts.shipped()
    assert html.count("<img") == len(grid.cells) == 9 and html.count("tiles-head") == 1 + 3 + 3
    assert "w = 20" in html and "data-key='8'".replace("'", '"') in html
    assert upscaling.shipped_sweep().count("<img") == 2 * 4
