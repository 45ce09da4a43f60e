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

from imagen_core import png, settings
from imagen_core.settings import CHOICES, DEFAULTS, Request, from_json, hyper_parameters, request, to_json
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
        ("size", 128),
        ("steps", 0),
        ("steps", 251),
        ("steps", 2.5),
        ("guidance", math.nan),
        ("guidance", math.inf),
        ("guidance", -1.0),
        ("guidance", "5"),
        ("percentile", 0),
        ("percentile", 101),
        ("aug_level", 1.5),
        ("aug_level", None),
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
    assert replace(DEFAULTS[64], guidance_rule="cfgpp", guidance=0.6, sampler="ddim").guidance == 0.6
    for change in ({"guidance": 5.0}, {"guidance": 0.6, "sampler": "heun"}):
        with pytest.raises(UserError, match="^guidance_rule: cfgpp"):
            replace(DEFAULTS[64], guidance_rule="cfgpp", **change)


def test_an_interval_has_two_ends() -> None:
    with pytest.raises(UserError, match="^low: "):
        replace(DEFAULTS[64], guidance_rule="interval", options={"low": 3.0, "high": 1.0})


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
    with pytest.raises(UserError, match="^aug_level: "):
        replace(DEFAULTS[64], aug_level=0.1)


def test_options_follow_the_chosen_rules() -> None:
    config = replace(DEFAULTS[64], guidance_rule="interval", options={"low": -2.0})
    assert config.options_of(CHOICES["guidance_rule"]["interval"]) == {"w": 5.0, "low": -2.0}
    assert config.options_of(CHOICES["threshold"]["dynamic"]) == {"percentile": 99.5}
    assert config.options_of(CHOICES["threshold"]["static"]) == {}


@pytest.mark.parametrize("name", [name for name in CHOICES if name != "spacing"])
def test_every_hyper_parameter_has_a_range_and_a_default_inside(name: str) -> None:
    for rule in CHOICES[name].values():
        for parameter, default in hyper_parameters(rule).items():
            low, high = settings.RANGES["guidance" if parameter == "w" else parameter]
            assert low <= default <= high


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


def test_a_png_carries_its_settings_without_loss() -> None:
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16)
    file = io.BytesIO()
    png.save(image, file, FULL, weights="abc")
    assert png.read_settings(file.getvalue()) == (FULL, ())
    with Image.open(file) as back:
        pixels = torch.from_numpy(np.asarray(back).copy())
        assert back.info["imagen_lab_weights"] == "abc"
    assert_close(pixels.permute(2, 0, 1) / 127.5 - 1, image, atol=1 / 255, rtol=0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        png_with(),
        png_with(imagen_lab="<script>"),
        png_with(imagen_lab="x" * 10_000),
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
