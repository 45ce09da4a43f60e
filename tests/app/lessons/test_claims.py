"""The expressions of lessons: what they compute, and that nothing else can be written in them."""

from __future__ import annotations

from typing import Any

import pytest

from app.lessons.claims import FORMATS, MAX_LENGTH, Series, result
from imagen_core.types import UserError

TRACK = {"s": Series((4.0, 2.0, 1.0), 2), "burnt": Series((0.5, 0.25, 0.125), 2)}
NAMES: dict[str, Any] = {"run": {"w": 12.0, "steps": 3, "dynamic": TRACK}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("run.dynamic.s > 1", True),
        ("run.dynamic.s == 2", True),
        ("run.dynamic.s[1] == 4 and not run.dynamic.s[last] > 1", True),
        ("run.dynamic.s[3] > 1 or run.w < 1", False),
        ("1 < run.dynamic.s <= 2", True),
        ("1 < run.dynamic.s < 2", False),
        ("abs(-run.w) == 12", True),
        ("peak(run.dynamic.s) / lowest(run.dynamic.burnt) == 32", True),
        ("(run.w - 2) * 2 + 1 >= 21", True),
    ],
)
def test_a_claim_is_computed(text: str, value: bool) -> None:
    assert result(text, NAMES) == (value, None)


def test_a_number_names_its_format() -> None:
    value, shown = result("run.dynamic.burnt[last] | percent", NAMES)
    assert FORMATS[shown or ""](float(value)) == "12 %"


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.0004, "< 0.1 %"), (0.0437, "4.4 %"), (0.0994, "9.9 %"), (0.1407, "14 %")]
)
def test_percentages_are_written_as_in_the_player(share: float, text: str) -> None:
    assert FORMATS["percent"](share) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run.",
        "True",
        "'a' < 'b'",
        "run.dynamic",
        "run.dynamic.s",
        "run.dynamic.s | percent | percent",
        "run.dynamic.s | nothing",
        "run.w > 1 | percent",
        "run.walrus > 1",
        "walrus > 1",
        "run.__class__ > 1",
        "run.dynamic.s.values > 1",
        "run.dynamic.s[0] > 1",
        "run.dynamic.s[4] > 1",
        "run.dynamic.s[True] > 1",
        "run.dynamic.s[run.w] > 1",
        "run.w[1] > 1",
        "run.w ** 9 ** 9 > 1",
        "run.w / 0 > 1",
        "__import__('os').system('true') > 1",
        "peak(run.w) > 1",
        "peak(x for x in run) > 1",
        "(lambda: 1)() > 0",
        "[1][0] > 0",
        "run.w if run.w else 1",
        "(y := 1) > 0",
        "max(1, 2) > 0",
        "(" * 90 + ")" * 90,
        "1 < " * MAX_LENGTH + "1",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        result(text, NAMES)
