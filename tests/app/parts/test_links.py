"""Links that show something: what they open, and that a hostile one opens nothing."""

from __future__ import annotations

import pytest

from app.parts import links
from imagen_core.records.shipped import SHIPPED
from imagen_core.types import UserError


def test_a_link_names_a_lesson_or_a_run_and_leaves_the_settings() -> None:
    lesson, rest = links.read([("lesson", "3"), ("step", "2"), ("lang", "de"), ("seed", "4")])
    assert lesson == links.Link(3, None, None) and rest == [("seed", "4")]
    run, rest = links.read([("run", "strong"), ("step", "1"), ("view", "mask"), ("rule", "none"), ("pixel", "3,63")])
    assert run == links.Link(None, "strong", {"step": 1, "view": "mask", "rule": "none", "pixel": [3, 63]})
    assert rest == []
    assert links.read([("seed", "4")]) == (None, [("seed", "4")])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_link_of_a_run_opens_it(name: str) -> None:
    pairs = [tuple(links.to_run(name).split("="))]
    assert links.followed(pairs) == links.Link(None, name, None)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"lesson": "900"}, "lesson: must be a whole number between 1 and"),
        ({"lesson": "3", "step": "900"}, "step: must be a whole number between 1 and"),
        ({"lesson": "3", "step": "-1"}, "step"),
        ({"lesson": "٣"}, "lesson"),
        ({"lesson": "3", "lang": "../de"}, "lang: must be one of en, de"),
        ({"run": "../../etc/passwd"}, "run: must be one of"),
        ({"run": "__class__"}, "run: must be one of"),
        ({"run": "strong", "step": "1e3"}, "step"),
        ({"run": "strong", "view": "<script>"}, "view: must be one of side"),
        ({"run": "strong", "rule": "toString"}, "rule: must be one of none, static, dynamic"),
        ({"run": "strong", "pixel": "64,0"}, "pixel: must be a whole number between 0 and 63"),
        ({"run": "strong", "pixel": "1"}, "pixel: must be two numbers"),
        ({"step": "3"}, "step needs a lesson or a run"),
    ],
)
def test_a_bad_link_is_refused_in_one_line(query: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refusal:
        links.read(query.items())
    assert "\n" not in str(refusal.value) and "<" not in str(refusal.value)
    assert links.followed(query.items()) is None


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="once"):
        links.read([("run", "strong"), ("run", "off")])
