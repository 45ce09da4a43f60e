"""Reports: a name for each run, and several runs in one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from app_page import files_of, last, values_of

from app.page import Tabs
from app.parts import report
from app.serving import session
from app.serving.session import Runs
from imagen_core.commands.record import record
from imagen_core.models.cascade import Cascade
from imagen_core.records.recording import Recording
from imagen_core.settings import request, with_stage


@pytest.fixture(scope="module")
def made(tiny: Cascade) -> list[Recording]:
    """Two runs, the second of a prompt without a letter that a file's name could hold."""
    asked = request("A red ball, <b>here</b>", seed=3, steps=2, guidance=8.5)
    return [record(asked, tiny), record(request("шар", steps=2), tiny)]


def test_a_report_is_named_after_its_run(made: list[Recording], tiny: Cascade, tmp_path: Path) -> None:
    names = [report.save(run, tmp_path).name for run in made]
    assert re.fullmatch(r"imagen-lab-a-red-ball-b-here-b-w8\.5-seed3-[0-9a-f]{6}\.html", names[0])
    assert re.fullmatch(r"imagen-lab-run-w5-seed0-[0-9a-f]{6}\.html", names[1])
    other = record(request("A red ball, <b>here</b>", seed=3, steps=3, guidance=8.5), tiny)
    assert report.name_of(other) != names[0] and report.name_of(made[0]) == names[0]


def test_several_runs_play_in_one_report(visit: Any, made: list[Recording], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report.page(made), encoding="utf-8")
    page = visit(file.as_uri())
    page.locator("section:nth-of-type(2) .pl-card").first.wait_for()
    assert page.locator("h1").inner_text() == "Imagen Lab: 2 runs"
    heads = page.locator("section > h2").all_inner_texts()
    assert heads == ["A red ball, <b>here</b>, w = 8.5, seed 3", "шар, w = 5, seed 0"]
    first, second = page.locator(".pl-scrubber").all()
    first.press("Home")
    second.press("End")
    assert page.locator(".pl-counter").all_inner_texts() == ["1 / 2", "2 / 2"]


def test_the_last_four_runs_of_a_session_are_one_report(tabs: Tabs) -> None:
    see, runs = tabs.see, ()
    for seed in range(5):
        asked = with_stage(request("a red ball", seed=seed), 64, steps=1)
        run = last(see.generate({**values_of(tabs, asked)}))[see.run]
        runs = session.remember(run, runs)
    # One was deleted after an hour.
    runs[3].file.unlink()
    (path,) = files_of(tabs.compare.report(runs)[tabs.compare.collected])
    text = path.read_text(encoding="utf-8")
    assert path.name == "imagen-lab-4-runs.html"
    assert [f"seed {seed}</h2>" in text for seed in range(5)] == [True, True, True, False, True]


@pytest.mark.parametrize("past", [False, True])
def test_a_report_of_runs_that_are_not_kept_is_refused(tabs: Tabs, runs: Runs, past: bool) -> None:
    with pytest.raises(gr.Error, match="press Generate"):
        tabs.compare.report(runs if past else ())
