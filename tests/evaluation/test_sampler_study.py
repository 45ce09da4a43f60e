"""Quality against steps: every sampler is measured, and what counts as reached."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from imagen_core.diffusion.samplers import SAMPLERS
from imagen_core.evaluation import sampler_study as samplers
from imagen_core.evaluation.sampler_study import Extent, measure_samplers, steps_to_match
from imagen_core.models.cascade import Cascade


def row(sampler: str, steps: int, frechet: float) -> dict:
    return {"sampler": sampler, "steps": steps, "frechet": frechet}


def test_reached_means_reached_for_good() -> None:
    slow = row(*samplers.SLOW, 1.0)
    fast = [row("dpmpp_2m", steps, value) for steps, value in ((4, 3.0), (8, 1.05), (12, 1.4), (16, 1.1), (25, 0.9))]
    assert steps_to_match([slow, *fast]) == 16
    assert steps_to_match([slow, row("dpmpp_2m", 4, 1.2)]) is None
    assert steps_to_match([slow, row("dpmpp_2m", 4, 1.0), row("ddim", 2, 0.5)]) == 4


def test_every_sampler_is_measured(tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "SLOW", ("ancestral", 4))
    found = measure_samplers(tiny, Extent(64, (1, 2), 3), tmp_path / "cache", tmp_path)
    assert {(cell["sampler"], cell["steps"]) for cell in found["cells"]} == {
        *((name, steps) for name in SAMPLERS for steps in (1, 2)), ("ancestral", 4)
    }  # fmt: skip
    by = {(cell["sampler"], cell["steps"]): cell for cell in found["cells"]}
    assert by["heun", 2]["evaluations"] == 2 and by["ancestral", 2]["distance"] is None
    assert by["dpmpp_2m", 2]["distance"] > 0
    with (tmp_path / "samplers.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["cells"])
