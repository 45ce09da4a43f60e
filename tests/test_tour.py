"""The notebook docs/tour.ipynb runs from its first cell to its last, and is stored without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_cells_run_in_order(cells: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """As a kernel runs them, in one namespace; what they find is what their text says."""
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, {cell['id']}", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.count("step ") == 8 and "sr256 (1, 3, 256, 256)" in printed
    burnt = names["burnt"]
    assert burnt["none"] > burnt["static"] > burnt["dynamic"]
    assert "dynamic: s = 3.00, largest 1.00" in printed or "dynamic: s = 2.9" in printed


def test_no_outputs_are_stored(cells: list[dict[str, Any]]) -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
