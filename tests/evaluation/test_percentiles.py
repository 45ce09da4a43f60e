"""The study of the percentile: a lower one never makes s larger."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from imagen_core.evaluation import percentiles, settings_study
from imagen_core.evaluation.percentiles import measure_percentiles
from imagen_core.evaluation.settings_study import Cell
from imagen_core.models.cascade import Cascade
from imagen_core.settings import DEFAULTS


def test_a_lower_percentile_never_makes_s_larger(
    tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_study, "outline_score", lambda *_: 0.5)
    monkeypatch.setattr(percentiles, "SCALES", 1)
    monkeypatch.setattr(percentiles, "PERCENTILES", (90.0, 100.0))
    monkeypatch.setattr(percentiles, "Cell", partial(Cell, steps=3))
    facts = measure_percentiles(replace(tiny, defaults=DEFAULTS), "report", 48, tmp_path / "cache", tmp_path)
    low, high = facts["cells"]
    assert low["s_first"] <= high["s_first"] and high["s_mean"] >= 1
    with (tmp_path / "percentiles.csv").open() as file:
        assert [row["percentile"] for row in csv.DictReader(file)] == ["", "90.0", "100.0"]
    assert (tmp_path / "percentiles.png").stat().st_size > 10_000
