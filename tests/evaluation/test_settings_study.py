"""The study of settings: its cells, its halves, its table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from imagen_core.evaluation import settings_study
from imagen_core.evaluation.settings_study import CELLS, Cell, half_of, opening_run, study
from imagen_core.evaluation.tabletopbench import TRAINED
from imagen_core.models.cascade import Cascade
from imagen_core.records.shipped import SHIPPED
from imagen_core.settings import DEFAULTS
from imagen_core.types import UserError


def test_the_halves_share_no_prompt_and_have_every_category() -> None:
    choose, report = half_of("choose", 1), half_of("report", 1)
    assert not {prompt.id for prompt in choose} & {prompt.id for prompt in report}
    assert {p.category for p in choose} == {p.category for p in report} == set(TRAINED)
    with pytest.raises(UserError, match="--half"):
        half_of("all", 1)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_a_valid_setting_and_occurs_once(name: str) -> None:
    cells = CELLS[name]()
    configs = [cell.config(DEFAULTS[64]) for cell in cells]
    assert len({str(config) for config in configs}) == len(cells)


def test_the_short_study_is_a_part_of_the_grid() -> None:
    assert set(CELLS["short"]()) < set(CELLS["grid"]())


def test_the_opening_run_is_measured_as_the_page_shows_it() -> None:
    shown = SHIPPED["strong"][1].stages[0]
    assert {cell.threshold: cell.config(DEFAULTS[64]) for cell in opening_run()}["dynamic"] == shown


def test_the_table_begins_with_true_renders(tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_study, "outline_score", lambda *_: 0.5)
    cells = [Cell(3.0, 0.0, steps=2), Cell(3.0, None, "none", steps=2)]
    cascade = replace(tiny, defaults=DEFAULTS)
    facts = study(cascade, "choose", 24, cells, 1, tmp_path / "cache", tmp_path / "settings.csv")
    with (tmp_path / "settings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["threshold"] for row in rows] == ["true renders", "dynamic", "none"]
    assert float(rows[0]["objects"]) > 0.8 and facts["cells"][1]["until"] == 0.0
