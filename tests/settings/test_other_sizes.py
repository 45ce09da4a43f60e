"""Runs of a cascade of any sizes: what is a way up, its defaults by place, and its forms as text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from test_link import parsed

from app.parts import reproduce
from imagen_core.settings import (
    DEFAULT_SIZES,
    DEFAULTS,
    Request,
    check_sizes,
    defaults_at,
    from_json,
    in_full,
    later_stages,
    placed,
    request,
    to_json,
)
from imagen_core.settings.text import flat, from_query, to_query, to_short_query, unflat, with_more, with_words
from imagen_core.types import UserError

OWN = defaults_at((16, 64))
WHOLE = request("a red ball", seed=7, size=64, defaults=OWN, guidance=3.0)


@pytest.mark.parametrize("sizes", [(16,), (1024,), (32, 128), (16, 128, 1024), (64, 192), (128, 256), DEFAULT_SIZES])
def test_a_way_up_has_defaults_by_place(sizes: tuple[int, ...]) -> None:
    check_sizes("sizes", sizes)
    own = defaults_at(sizes)
    assert [*own] == [*sizes] and own[sizes[0]] == replace(DEFAULTS[64], size=sizes[0])
    made = request("x", size=sizes[-1], defaults=own)
    assert made.sizes == sizes and [stage.steps for stage in made.stages] == [25, 8, 6][: len(sizes)]
    assert [stage.name for stage in made.stages] == [f"base{sizes[0]}", *(f"sr{size}" for size in sizes[1:])]


@pytest.mark.parametrize(
    "sizes", [(), (8,), (2048,), (64, 64), (256, 64), (64, 96), (16, 144), (16, 32, 64, 128), (64.0,), (True,), ("x",)]
)
def test_no_way_up_is_refused_in_one_line(sizes: Sequence[int]) -> None:
    with pytest.raises(
        UserError, match="^--sizes: must be 1 to 3 sizes from 16 to 1024, .* each 2 to 8 times"
    ) as caught:
        check_sizes("--sizes", sizes)
    assert "\n" not in str(caught.value)


def test_a_run_is_refused_where_its_stages_are_no_way_up() -> None:
    with pytest.raises(UserError, match="^stages: must be 1 to 3 sizes"):
        Request("x", stages=(OWN[16], replace(OWN[64], size=1024)))
    with pytest.raises(UserError, match="^size: must be one of 16, 64, got 256"):
        later_stages(256, defaults=OWN)
    with pytest.raises(UserError, match="^guidance_rule: .* its classifier reads 64 × 64"):
        replace(OWN[16], guidance_rule="classifier", w_schedule="constant")


def test_what_a_usual_model_lacks_is_at_the_defaults_but_nothing_is_added_to_others() -> None:
    assert [*in_full({64: DEFAULTS[64]})] == [*in_full(None)] == [*DEFAULT_SIZES]
    assert in_full(OWN) == OWN


def test_the_second_stage_may_be_of_64() -> None:
    """What 64 is depends on the cascade: here it is a super-resolution stage, with its own names."""
    changed = with_words(WHOLE, ["steps=3", "sr64.steps=4", "base16.guidance=2"], source="--set")
    assert [stage.steps for stage in changed.stages] == [3, 4] and changed.stages[0].guidance == 2
    with pytest.raises(UserError, match="--set: base64 is not a stage of this run; it has base16, sr64"):
        with_words(WHOLE, ["base64.steps=3"], source="--set")
    base = replace(WHOLE, stages=WHOLE.stages[:1])
    assert with_more(base, "sr64.aug_level=0.3", defaults=OWN).stages[1].aug_level == 0.3


@pytest.mark.parametrize("asked", [WHOLE, replace(WHOLE, stages=WHOLE.stages[:1])])
def test_every_form_restores_the_run(asked: Request) -> None:
    assert from_json(to_json(asked)) == (asked, ())
    query = to_query(asked)
    assert f"&sizes={','.join(map(str, asked.sizes))}&" in query.replace("%2C", ",")
    assert from_query(parse_qsl(query[1:]), {}) == (asked, ())
    command = reproduce.command_line(asked, "mine", OWN).replace(" --model mine", "")
    assert "--guidance 3.0" in command and f"--size {asked.stages[-1].size}" in command


def test_a_short_link_names_the_sizes_and_what_differs() -> None:
    base = replace(WHOLE, stages=WHOLE.stages[:1])
    link = to_short_query(base)
    assert dict(parse_qsl(link)) == {"prompt": "a red ball", "seed": "7", "sizes": "16", "guidance": "3.0"}
    assert from_query(parse_qsl(link), {}) == (base, ())


def test_a_link_without_sizes_takes_those_of_the_page() -> None:
    own = {"prompt": "x", "seed": 1, "sizes": (16, 64)}
    found = from_query([("size", "64"), ("sr64.steps", "3")], own)
    assert found is not None and found[0].sizes == (16, 64) and found[0].stages[1].steps == 3 and not found[1]
    with pytest.raises(UserError, match="^size: must be one of 16, 64, got 256"):
        from_query([("size", "256")], own)
    for wrong in ("", "64,8", "a", "16,1e9", "16," * 900):
        with pytest.raises(UserError, match="^(sizes: must be|link: )"):
            from_query([("sizes", wrong)], own)


def test_usual_runs_do_not_name_their_sizes() -> None:
    assert "sizes" not in flat(request("x", size=1024)) and "sizes" not in to_query(request("x"))


def test_settings_move_to_another_cascade_by_place() -> None:
    moved = placed(request("x", size=1024, aug_level=0.3, guidance=2.0), (16, 64))
    assert moved.sizes == (16, 64) and moved.stages[0].guidance == 2 and moved.stages[1].aug_level == 0.3


def test_a_command_of_the_shipped_sizes_is_as_before() -> None:
    asked = request("a red ball", seed=7, size=256, steps=3, options={"percentile": 90.0})
    words = with_words(asked, ["sr256.steps=4", "eta=0.5", "sampler=ddim"], source="--set")
    command = reproduce.command_line(words, "tabletop")
    assert "base64.eta=0.5" in command and parsed(command) == words and shlex.split(command)[0] == "python"


@pytest.mark.parametrize("sizes", [32, [32], (32,)])
def test_one_size_alone_may_come_without_a_list(sizes: object) -> None:
    assert unflat({"sizes": sizes}, {"prompt": "x"})[0].sizes == (32,)
