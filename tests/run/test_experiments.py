"""Experiments: cells and levels are what single runs draw, limits and checks are the same for every face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from imagen_core.diffusion.saturation import consistency, measure
from imagen_core.models.cascade import Cascade
from imagen_core.run.experiments import (
    DrawnCell,
    SweptLevel,
    Work,
    draw,
    grids,
    lockstep,
    make_grid,
    make_sweep,
    sweep,
    sweeps,
)
from imagen_core.run.generate import generate
from imagen_core.settings import Request, request, with_stage
from imagen_core.types import Image, StageResult, StepRecord, UserError

BASE = request("a red ball", seed=3, steps=2)
TO_256 = with_stage(request("a red ball", seed=3, size=256, steps=2), 256, steps=2)


def last(asked: Request, cascade: Cascade, image: Image | None = None) -> StageResult:
    return [event for event in generate(asked, cascade, image=image) if isinstance(event, StageResult)][-1]


def test_cells_are_single_runs_and_their_facts_are_measured(tiny: Cascade) -> None:
    grid = make_grid(replace(BASE, count=2), "guidance", [1, 9.0], "threshold", ["none", "dynamic"])
    events = list(draw(grid, tiny))
    cells = [event for event in events if isinstance(event, DrawnCell)]
    assert [cell.cell for cell in cells] == list(grid.cells) and grid.columns == 2 and grid.start.count == 1
    assert [cell.label for cell in grid.cells] == ["w = 1, none", "w = 1, dynamic", "w = 9, none", "w = 9, dynamic"]
    assert sum(isinstance(event, StepRecord) for event in events) == 4 * 2
    for cell in cells:
        result = last(cell.cell.request, tiny)
        assert torch.equal(cell.image, result.image[0])
        assert cell.facts.burnt == float(measure(result.image).burnt) and not cell.withheld
    assert set(cells[0].facts.rounded()) == {"burnt", "colourfulness", "contrast"}


def test_levels_are_single_runs_from_one_picture(tiny: Cascade) -> None:
    plan = make_sweep(TO_256, [0, 0.5])
    events = list(sweep(plan, tiny))
    levels = [event for event in events if isinstance(event, SweptLevel)]
    before = last(plan.before, tiny)
    for level, aug_level in zip(levels, (0, 0.5), strict=True):
        result = last(with_stage(TO_256, 256, aug_level=aug_level), tiny)
        assert torch.equal(level.result.image, result.image) and level.facts.aug_level == aug_level
        assert level.facts.consistency == float(consistency(result.image, before.unmarked)[0])
    assert levels[0].facts.rounded()["snr"] is None
    # With the picture before it, the same without drawing it again.
    again = list(sweep(plan, tiny, image=before.unmarked))
    assert len(again) < len(events) and all(isinstance(event, tuple | SweptLevel) for event in again)
    assert torch.equal(again[-1].result.image, levels[-1].result.image)


def test_each_run_waits_its_turn_and_says_what_it_is(tiny: Cascade) -> None:
    turns: list[tuple[Request, ...]] = []

    def turn(work: Work, cascade: Cascade, *requests: Request) -> Iterator[Any]:
        turns.append(requests)
        yield from work(cascade)

    grid = make_grid(BASE, "steps", [1, 2], "threshold", ["none"])
    assert list(draw(grid, tiny, turn)) and turns == [(one,) for one in grid.requests]
    turns.clear()
    plan = make_sweep(TO_256, [0, 0.1])
    assert list(sweep(plan, tiny, turn)) and turns == [(plan.before,), plan.requests]


@pytest.mark.parametrize(
    ("sides", "says"),
    [
        (("seed", [1], "threshold", ["none"]), "rows: must be one of guidance"),
        (("guidance", [1], "guidance", [2]), "columns: must be another setting"),
        (("guidance", [1, 1.0], "threshold", ["none"]), "guidance: has a value twice"),
        (("guidance", [1], "threshold", ["none", "none"]), "threshold: has a value twice"),
        (
            ("guidance", [1, 2, 3, 4, 5, 6, 7, 8, 9], "threshold", ["none", "static", "dynamic"]),
            "cells: at most 25, got 9 × 3",
        ),
        (("guidance", [99], "threshold", ["none"]), "guidance: must be a number between"),
        (("guidance", [1], "threshold", ["soft"]), "threshold: must be one of"),
    ],
)
def test_a_wrong_grid_is_one_line(sides: tuple[Any, ...], says: str) -> None:
    with pytest.raises(UserError) as caught:
        make_grid(BASE, *sides)
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "levels", "says"),
    [
        (BASE, [0.1], "size: must be that of a later stage"), (TO_256, [], "aug_levels: there must be one at least"),
        (TO_256, [level / 12 for level in range(12)], "aug_levels: at most 11, got 12"),
        (TO_256, [0.1, 0.1], "aug_level: has a value twice"), (TO_256, [2], "aug_level: must be a number between"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_is_one_line(asked: Request, levels: list[float], says: str) -> None:
    with pytest.raises(UserError) as caught:
        make_sweep(asked, levels)
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def test_what_a_cascade_lacks_is_refused_before_anything_is_drawn(
    tiny: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (grids, sweeps, lockstep):
        monkeypatch.setattr(module, "generate", lambda *_, **__: pytest.fail("nothing may be drawn"))
    with pytest.raises(UserError, match="^guidance_rule: tiny has no classifier"):
        draw(make_grid(BASE, "guidance_rule", ["cfg", "classifier"], "steps", [1]), tiny)
    small = replace(tiny, stages=tiny.stages[:1])
    with pytest.raises(UserError, match="^size: 256 is not offered"):
        sweep(make_sweep(TO_256, [0.1]), small)
