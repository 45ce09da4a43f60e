"""A Request that exists is valid; it survives JSON and PNG; what anybody may write into them is checked."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from torch.testing import assert_close

from imagen_core import settings
from imagen_core.diffusion.thresholding import PRESETS, THRESHOLDS
from imagen_core.records import png
from imagen_core.settings import (
    DEFAULTS,
    RANGES,
    RULES,
    Request,
    from_json,
    hyper_parameters,
    request,
    to_json,
    vary,
    weight,
    with_preset,
    with_rule,
)
from imagen_core.types import UserError

FULL = request("a red ball", size=1024, seed=5, count=2, guidance=7.5, sampler="ancestral", options={"gamma": 0.4})


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": " \n"}),
        ("prompt", {"prompt": "x" * 2000}),
        ("prompt", {"prompt": 5}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**31}),
        ("seed", {"seed": 1.5}),
        ("count", {"count": 0}),
        ("count", {"count": 5}),
        ("count", {"count": True}),
        ("stages", {"stages": ()}),
        ("stages", {"stages": (DEFAULTS[64], DEFAULTS[1024])}),
    ],
)
def test_a_wrong_request_cannot_be_made(field: str, wrong: dict) -> None:
    with pytest.raises(UserError, match=f"^{field}: ") as caught:
        replace(FULL, **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("size", 8),
        ("steps", 0),
        ("steps", 251),
        ("steps", 2.5),
        ("guidance", math.nan),
        ("guidance", math.inf),
        ("guidance", -1.0),
        ("guidance", "5"),
        ("percentile", {"percentile": 0}),
        ("percentile", {"percentile": 101}),
        ("aug_level", 1.5),
        ("sampler", "euler"),
        ("spacing", None),
        ("threshold", "soft"),
        ("guidance_rule", ["cfg"]),
        ("phi", {"phi": 0.5}),
    ],
)
def test_a_wrong_stage_cannot_be_made(field: str, wrong: object) -> None:
    change = {"options": wrong} if isinstance(wrong, dict) else {field: wrong}
    with pytest.raises(UserError, match=f"^{field}: ") as caught:
        replace(DEFAULTS[256], **change)
    assert "\n" not in str(caught.value)


def test_cfgpp_takes_a_weight_up_to_1_and_a_sampler_that_renoises() -> None:
    chosen = vary(DEFAULTS[64], {"guidance_rule": "cfgpp", "guidance": 0.6, "sampler": "ddim"})
    assert chosen.guidance == 0.6 and chosen.w_schedule == "constant"
    for change in ({"guidance": 5.0}, {"guidance": 0.6, "sampler": "heun"}):
        with pytest.raises(UserError, match="^guidance_rule: cfgpp"):
            vary(DEFAULTS[64], {"guidance_rule": "cfgpp", **change})
    with pytest.raises(UserError, match="^w_schedule: cfgpp takes a constant one"):
        replace(chosen, w_schedule="early")


def test_an_interval_has_two_ends() -> None:
    with pytest.raises(UserError, match="^low: "):
        replace(DEFAULTS[64], w_schedule="interval", options={"low": 3.0, "high": 1.0})


@pytest.mark.parametrize(("convention", "low", "high"), [("paper", 0.0, 30.0), ("ho", -1.0, 29.0)])
def test_a_weight_is_refused_as_it_was_given(convention: str, low: float, high: float) -> None:
    """Both conventions offer the same weights, each by its own numbers."""
    assert [weight(end, convention, "cfg") for end in (low, high)] == list(RANGES["guidance"])
    for wrong in (low - 0.5, high + 0.5, True, "7", math.nan):
        says = f"^guidance: must be a number between {low} and {high}, got {wrong!r}$"
        with pytest.raises(UserError, match=says):
            request("x", guidance=wrong, convention=convention)


def test_half_a_character_is_no_prompt() -> None:
    with pytest.raises(UserError, match="^prompt: "):
        request("a red ball \ud83d")


def test_one_aug_level_and_one_convention_for_all() -> None:
    made = request("x", size=1024, aug_level=0.3, convention="ho", guidance=4)
    assert [stage.aug_level for stage in made.stages] == [None, 0.3, 0.3] and made.stages[0].guidance == 5
    for wrong in ({"aug_level": 1.5}, {"convention": "mine"}, {"convention": ["ho"]}, {"size": 64.0}):
        with pytest.raises(UserError):
            request("x", **wrong)


def test_the_base_has_no_aug_level() -> None:
    with pytest.raises(UserError, match="^aug_level: the base stage has none"):
        Request("x", stages=(replace(DEFAULTS[64], aug_level=0.1),))
    with pytest.raises(UserError, match="^aug_level: must be a number"):
        Request("x", stages=(DEFAULTS[64], replace(DEFAULTS[256], aug_level=None)))


def test_options_follow_the_chosen_rules() -> None:
    config = replace(DEFAULTS[64], w_schedule="interval", options={"low": -2.0, "cap": 3.0})
    assert config.rule("w_schedule").keywords == {"low": -2.0}
    assert config.rule("threshold").keywords == {"percentile": 99.5, "cap": 3.0}
    # The weight changes from step to step, so it is not bound.
    assert config.rule("guidance_rule").keywords == {}
    static = with_rule(config, threshold="static")
    assert static.options == {"low": -2.0} and static.rule("threshold").keywords == {}


@pytest.mark.parametrize("option", ["cap", "eta", "phi", "rest"])
def test_an_option_of_a_rule_that_was_not_chosen_is_refused(option: str) -> None:
    with pytest.raises(UserError, match=f"^{option}: not an option of dpmpp_2m, cfg, early, static"):
        replace(DEFAULTS[64], threshold="static", options={option: 1.0})


@pytest.mark.parametrize(("preset", "threshold"), PRESETS.items())
def test_a_preset_sets_the_threshold_and_nothing_else(preset: str, threshold: tuple) -> None:
    config = replace(DEFAULTS[64], sampler="ddim", options={"eta": 0.5, "cap": 7.0})
    made = with_preset(config, preset)
    rule, options = threshold
    assert made.threshold == rule and made.rule("threshold").keywords == options
    assert made.sampler == "ddim" and made.options["eta"] == 0.5
    with pytest.raises(UserError, match="^preset: "):
        with_preset(config, "theirs")


def test_a_cap_of_1_is_pointed_out() -> None:
    assert with_preset(DEFAULTS[64], "if-2").warnings[0].startswith("cap: ")
    assert not replace(DEFAULTS[64], steps=50, spacing="leading").warnings and not DEFAULTS[64].warnings
    assert replace(DEFAULTS[64], steps=7, spacing="leading").warnings[0].startswith("spacing: ")
    assert replace(DEFAULTS[64], steps=2, times=(0.5, 0.1)).warnings[0].startswith("times: ")
    assert not with_preset(DEFAULTS[64], "if-1").warnings


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_percentile_is_kept_under_any_threshold_and_read_from_older_json(threshold: str) -> None:
    made = request("x", percentile=95.0, threshold=threshold)
    assert made.stages[0].options == {"percentile": 95.0} and made.stages[0].percentile == 95.0
    assert with_rule(made.stages[0], threshold="dynamic").rule("threshold").keywords == {"percentile": 95.0}
    data = json.loads(to_json(made))
    # Before, a percentile stood beside the options of every stage.
    data["stages"][0] |= {"percentile": data["stages"][0]["options"].pop("percentile")}
    assert from_json(json.dumps(data)) == (made, ())
    with pytest.raises(UserError, match="^percentile: must be a number between 50.0 and 100.0, got 9$"):
        request("x", percentile=9, threshold=threshold)


def test_an_option_at_its_rules_own_value_is_none() -> None:
    """So that a model's own cap can be taken off by name; JSON never sees the infinity."""
    capped = request("x", options={"cap": 1.5}).stages[0]
    assert replace(capped, options={"cap": math.inf}) == replace(capped, options={})
    assert request("x", sampler="ancestral", options={"gamma": 0.3}) == request("x", sampler="ancestral")
    for name, options in (("cap", {"cap": math.nan}), ("gamma", {"gamma": math.inf})):
        with pytest.raises(UserError, match=f"^{name}: must be a number between"):
            replace(capped, sampler="ancestral", options=options)


def test_times_given_outright() -> None:
    config = request("x", times=[1.0, 0.6, 0.2]).stages[0]
    assert config.times == (1.0, 0.6, 0.2) and config.steps == 3
    back, warnings = from_json(to_json(Request("x", stages=(config,))))
    assert back.stages[0] == config and not warnings
    for wrong in ((1.0, 0.6), (0.2, 0.6, 0.8), ("1", 0.6, 0.2), "1,2", 7, (True, 0.5, 0.2), (math.nan, 0.5, 0.2)):
        with pytest.raises(UserError, match="^times: "):
            replace(config, times=wrong)


def test_what_cannot_go_together_is_refused() -> None:
    with pytest.raises(UserError, match="^w_schedule: cfgpp"):
        replace(DEFAULTS[64], guidance_rule="cfgpp", guidance=0.6, w_schedule="linear")
    with pytest.raises(UserError, match="^w_schedule: classifier"):
        replace(DEFAULTS[64], guidance_rule="classifier", w_schedule="interval")
    for rule in ("classifier", "cfgpp"):
        with pytest.raises(UserError, match=f"^convention: the weight of {rule}"):
            request("x", guidance_rule=rule, convention="ho")
    with pytest.raises(UserError, match="^guidance_rule: classifier is for the base"):
        replace(DEFAULTS[256], guidance_rule="classifier")


@pytest.mark.parametrize("name", RULES)
def test_every_hyper_parameter_has_a_range_and_a_default_inside(name: str) -> None:
    for rule in RULES[name].values():
        for parameter, default in hyper_parameters(rule).items():
            low, high = settings.RANGES["guidance" if parameter == "w" else parameter]
            # A cap is none unless it is asked for.
            assert low <= default <= high or (parameter, default) == ("cap", math.inf)


def test_seeds_count_up_and_stay_in_range() -> None:
    assert replace(FULL, seed=2**31 - 1).seeds == (2**31 - 1, 0)


def test_json_round_trip() -> None:
    again, warnings = from_json(to_json(FULL))
    assert again == FULL and warnings == ()


def test_unknown_keys_warn_and_do_nothing() -> None:
    data = json.loads(to_json(FULL)) | {"colour": "blue"}
    data["stages"][0]["turbo"] = True
    again, warnings = from_json(json.dumps(data))
    assert again == FULL and [w.split(":")[0] for w in warnings] == ["turbo", "colour"]


@pytest.mark.parametrize("name", ["a\nb", "\ud800", "\u202etxt.exe", "a\0b"])
def test_a_made_up_name_is_shown_in_one_line_of_plain_signs(name: str) -> None:
    data = json.loads(to_json(FULL))
    _, (warning,) = from_json(json.dumps(data | {name: 1}))
    data["stages"][0]["options"] = {name: 1}
    with pytest.raises(UserError, match="not an option of") as caught:
        from_json(json.dumps(data))
    for line in (warning, str(caught.value)):
        assert line.isprintable()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"format": 2}', '{"format": 1, "stages": 5, "prompt": "x"}', "[" * 100_000,
     '{"format": 1, "stages": [[]], "prompt": "x"}', '{"format": 1, "prompt": "x", "stages": [{"size": 64}]}'],
)  # fmt: skip
def test_hostile_json_is_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        from_json(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@given(value=st.one_of(st.none(), st.text(max_size=5), st.floats(), st.lists(st.integers(), max_size=2), st.integers()))
def test_any_value_in_any_field_is_accepted_or_refused(value: object) -> None:
    for field in ("size", "steps", "guidance", "sampler", "percentile", "threshold", "options"):
        data = json.loads(to_json(request("x")))
        data["stages"][0][field] = value
        try:
            made, _ = from_json(json.dumps(data))
        except UserError:
            continue
        assert isinstance(made, Request)


def png_with(**chunks: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in chunks.items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_a_png_carries_its_settings_without_loss(tmp_path: Path) -> None:
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16)
    file = tmp_path / "x.png"
    png.save(image, file, FULL, weights="abc")
    assert png.read_settings(file.read_bytes()) == (FULL.alone(0), ())
    png.save(image, file, FULL, 1, weights="abc")
    assert png.read_settings(file.read_bytes()) == (replace(FULL, seed=6, count=1), ())
    with Image.open(file) as back:
        pixels = torch.from_numpy(np.asarray(back).copy())
        assert back.info["imagen_lab_weights"] == "abc"
    assert_close(pixels.permute(2, 0, 1) / 127.5 - 1, image, atol=1 / 255, rtol=0)


@pytest.mark.parametrize(
    ("number", "seed", "count"), [("0", 5, 1), ("1", 6, 1), ("2", 5, 2), ("-1", 5, 2), ("x", 5, 2)]
)
def test_an_older_picture_is_one_of_its_run(number: str, seed: int, count: int) -> None:
    """It has its run's settings and its number; a number that the run lacks is not its own."""
    data = png_with(imagen_lab=to_json(FULL), imagen_lab_index=number)
    assert png.read_settings(data) == (replace(FULL, seed=seed, count=count), ())


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"imagen_lab_origin": "branch"}, "a branch of another run"),
        ({"imagen_lab_origin": "grid"}, "several pictures"),
        ({"imagen_lab_cells": "w = 1"}, "several pictures"),
        ({"imagen_lab_origin": "<script>"}, None),
        ({}, None),
    ],
)
def test_a_picture_says_what_its_settings_cannot_draw(facts: dict[str, str], says: str | None) -> None:
    told = png.origin(png_with(imagen_lab=to_json(FULL), **facts))
    assert told is None if says is None else told is not None and told.startswith(says)


def test_the_longest_settings_come_back_too(tmp_path: Path) -> None:
    times = tuple(1 - i / 1009 - 1e-7 for i in range(250))
    stages = tuple(replace(stage, times=times, steps=250) for stage in DEFAULTS.values())
    asked, file = Request("\N{GRINNING FACE}" * 500, stages=stages), tmp_path / "x.png"
    png.save(torch.zeros(3, 8, 8), file, asked, weights="abc")
    assert png.read_settings(file.read_bytes()) == (asked, ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        png_with(),
        png_with(imagen_lab="<script>"),
        png_with(imagen_lab="x" * 40_000),
        png_with(imagen_lab=to_json(FULL))[:60],
    ],
)
def test_a_foreign_png_is_refused(data: bytes) -> None:
    with pytest.raises(UserError) as caught:
        png.read_settings(data)
    assert "\n" not in str(caught.value) and "<" not in str(caught.value)


def test_a_grid_has_a_cell_for_each_picture(tmp_path) -> None:
    png.save_grid([torch.zeros(3, 64, 64)] * 5, list("abcde"), 3, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width == 3 * 256 and grid.height == 2 * (256 + 18)


def test_a_grids_labels_keep_all_their_words(tmp_path) -> None:
    """A long label takes another line, in letters that grow with the cells."""
    png.save_grid([torch.zeros(3, 1024, 1024)] * 2, ["short", "word " * 40], 2, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.height - 1024 == 3 * round(1.3 * round(1024 / 40)) + 2


@pytest.mark.parametrize("options", [{"steps": 2}, {"guidance": 3.0}, None, [1]])
def test_options_hold_options_only(options: object) -> None:
    with pytest.raises(UserError, match="^options: must be options of the chosen rules"):
        request("x", options=options)


def test_other_options_leave_the_percentile_alone() -> None:
    stage = with_rule(DEFAULTS[64], percentile=70.0)
    assert with_rule(stage, options={"cap": 3.0}).options == {"percentile": 70.0, "cap": 3.0}
