"""Settings as words and flat names: one language for the page, links and the command line."""

from __future__ import annotations

import json

import pytest

from imagen_core.settings import DEFAULTS, from_json, request, to_json
from imagen_core.settings.text import flat, from_query, option_names, read, unflat, with_more, with_words, write
from imagen_core.types import UserError

BASE = request("a red ball")
WHOLE = request("a red ball", size=256)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("steps=7", 7), ("guidance=2.5", 2.5), ("guidance=.5", 0.5), ("threshold=static", "static"),
        ("times=1,0.5", [1, 0.5]), ("times=[1,0.5]", [1, 0.5]), ("times=", []), ("cap=Infinity", float("inf")),
        ("steps=many", "many"), ("sampler=7", "7"), ("sr256.steps=3", 3),
    ],
)  # fmt: skip
def test_a_value_is_read_as_a_number_where_it_is_one(word: str, value: object) -> None:
    name, _, text = word.partition("=")
    assert read(name, text) == value


def test_every_flat_value_comes_back_from_its_text() -> None:
    settings = flat(with_more(WHOLE, "threshold=squash knee=0.4 sr256.aug-level=0.3 times=1,0.7,0.2"))
    assert {name: read(name, write(value)) for name, value in settings.items()} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


def test_words_change_the_stage_that_they_name() -> None:
    changed = with_words(WHOLE, ["steps=3", "base64.guidance=2", "sr256.steps=4"], source="--set")
    assert [stage.steps for stage in changed.stages] == [3, 4] and changed.stages[0].guidance == 2


def test_times_bring_their_number_of_steps() -> None:
    for words in (["times=1,0.5"], ["times=[1,0.5]"], ["times=1,0.5", "steps=2"]):
        assert with_words(BASE, words, source="--set").stages[0].steps == 2
    with pytest.raises(UserError, match="^times: has 2 entries for 3 steps"):
        with_words(BASE, ["times=1,0.5", "steps=3"], source="--set")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("steps", "--set: must be name=value, such as sr256.steps=20, got 'steps'"),
        ("=3", "--set: must be name=value"), ("seed=3", "--set: must be name=value"),
        ("sr1024.steps=3", "--set: sr1024 is not a stage of this run; it has base64, sr256"),
        ("sr256.stepz=3", "--set: 'sr256.stepz' is no setting of any stage"),
        ("aug_level=0.1", "aug_level: the base stage has none"),
        ("sr256.aug-level=0.1", "--set: aug_level is set by --aug-levels"),
        ("phi=0.5", "phi: not an option of"), ("steps=many", "steps: must be a whole number between 1 and 250"),
        ("times=1,half", "times: must be a list of numbers"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_one_line(word: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        with_words(WHOLE, [word], source="--set", elsewhere={"sr256.aug_level": "--aug-levels"})
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["threshold", "sampler", "guidance_rule", "w_schedule", "spacing", "schedule"])
def test_an_unknown_rule_is_one_line_in_every_text_form(field: str) -> None:
    """As in a picture of a later version of this project: the message names the field and the rules that there are."""
    data = json.loads(to_json(BASE))
    data["stages"][0][field] = "from_the_future"
    forms = (
        lambda: from_json(json.dumps(data)),
        lambda: unflat({"prompt": "a ball", field: "from_the_future"}, {}),
        lambda: from_query([("prompt", "a ball"), (field, "from_the_future")], {}),
        lambda: with_words(BASE, [f"{field}=from_the_future"], source="--set"),
        lambda: with_more(BASE, f"{field}=from_the_future"),
    )
    for form in forms:
        with pytest.raises(UserError, match=f"^{field}: must be one of .*, got 'from_the_future'$") as caught:
            form()
        assert getattr(DEFAULTS[64], field) in str(caught.value) and "\n" not in str(caught.value)


def test_options_are_those_of_the_rules() -> None:
    assert {"cap", "knee", "percentile", "gamma", "eta"} <= option_names() and "guidance" not in option_names()
