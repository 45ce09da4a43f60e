"""The crowd on a page, in small, and what its report says."""

from __future__ import annotations

import argparse
import asyncio
import random
from pathlib import Path

import pytest
from app_page import run_apart

from app import load
from app.load import quantile, report_of
from app.serving import crowd
from app.serving.crowd import DEEDS, Person, Tally
from app.serving.visitor import Answer, browser, layout
from imagen_core.types import UserError


def test_each_deed_is_answered_and_shows_ones_own_picture(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two visitors do everything once, side by side."""
    monkeypatch.setattr(crowd, "LOOK", (0.0, 0.01))
    monkeypatch.setattr(crowd, "STEPS", 2)
    tally = Tally()

    async def visit() -> None:
        async with browser(url) as http:
            page = await layout(http)
            people = [Person(http, page, tally, number, random.Random(number)) for number in (1, 2)]
            await asyncio.gather(*(person.arrive() for person in people))
            for _, deed in DEEDS.values():
                await asyncio.gather(*(deed(person) for person in people))
            await asyncio.gather(*(person.at.close() for person in people))

    run_apart(asyncio.wait_for(visit(), 240))
    assert (tally.lost, tally.crossed) == ([], [])
    # Two generate, two generate and upscale, two compare.
    assert len(tally.waits) >= 8 and sum(map(len, tally.answers.values())) > 30


def test_another_ones_picture_is_noted_as_crossed() -> None:
    tally = Tally()
    person = Person(None, None, tally, 1, random.Random(0))  # type: ignore[arg-type]
    person.owns(10_001, 10_001)
    assert tally.crossed == []
    person.owns(10_001, 20_003)
    assert tally.crossed == ["10001 was shown 20003"]


def test_the_report_counts_what_was_lost_and_how_long_turns_took() -> None:
    tally = Tally()
    tally.page("open", [Answer(seconds=s / 100) for s in range(1, 101)])
    for waited in (1.0, 2.0, 6.0):
        tally.run("generate", Answer(waited=waited))
    tally.run("generate", Answer(error="queue: full"))
    memory = [(0.0, 500.0), (301.0, 600.0), (400.0, 630.0)]
    told = report_of(tally, memory)
    assert (told["lost"], told["lost_because"], told["crossed"], told["runs"]) == (1, ["generate: queue: full"], 0, 3)
    assert told["page_answer_s"] == {"median": 0.5, "p99": 0.99}
    assert told["page_answer_s_to"] == {"open": {"median": 0.5, "p99": 0.99}}
    assert told["wait_s"] == {"mean": 3.0, "longest": 6.0} and told["longest_wait_to_mean"] == 2.0
    minutes = {"0": 500, "5": 600, "6": 630}
    assert told["memory_mb"] == {
        "first": 500, "last": 630, "most": 630, "drift_from_minute_5": None, "spread_from_minute_5": 0.049,
        "at_minute": minutes,
    }  # fmt: skip
    table = load.as_markdown({**told, "visitors": 3, "minutes": 7.0, "model": "tiny"})
    assert "| lost; shown a picture of another | 1; 0 |" in table and "| 500, 600, 630 |" in table
    assert load.drift([500, 900, 500, 510, 500, 505, 900, 550, 550]) == 0.1
    assert quantile([], 0.5) is None and report_of(Tally(), [])["wait_s"]["mean"] is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"visitors": 0}, "--visitors: must be between 1 and 200"), ({"visitors": 201}, "--visitors: "),
        ({"minutes": 0.0}, "--minutes: must be between 0.1 and 120"), ({"minutes": float("nan")}, "--minutes: "),
        ({"out": Path("x.txt")}, "--out: must end in .json"),
    ],
)  # fmt: skip
def test_a_load_is_bounded(change: dict[str, object], says: str) -> None:
    asked = argparse.Namespace(**{"visitors": 5, "minutes": 1.0, "out": None, **change})
    with pytest.raises(UserError, match=says):
        load.check(asked)
