"""Stills: what was made is read back, the shipped ones are of the shipped weights, damaged ones are named."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imagen_core.commands.record import record_stills
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.records import stills
from imagen_core.records.shipped import EXHIBITS, FOLDER, STILLS
from imagen_core.types import UserError


def made() -> stills.Stills:
    image = torch.linspace(-1, 1, 16).reshape(4, 4).expand(3, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    pictures = [stills.Picture(image, "a ramp", {"snr": None}), stills.Picture(-image, "its negative", {"snr": 2.0})]
    return stills.make(pictures, title="Two", weights="abc")


def test_what_was_made_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    stills.save(made(), path)
    assert stills.load(path) == made()
    shown = Image.open(io.BytesIO(base64.b64decode(made()["stills"][0]["picture"]))).convert("L")
    # WebP is lossy; the ramp still rises from black to white.
    values = np.asarray(shown, float)[4::8, 4::8].ravel()
    assert shown.size == (32, 32) and values[0] < 10 and values[-1] > 245 and (np.diff(values) > 0).all()


def test_shipped_stills_are_of_the_shipped_weights() -> None:
    others = {path.name for path in EXHIBITS.values()}
    assert {path.name for path in FOLDER.glob("*.json")} - others == {f"{name}.json" for name in STILLS}
    weights = load_cascade("tabletop").digest
    for name in STILLS:
        path = FOLDER / f"{name}.json"
        assert stills.load(path)["weights"] == weights, "make them again: python -m imagen_core record"
        assert path.stat().st_size <= 200_000


def test_the_command_makes_those_that_ship(tiny: Cascade, tmp_path: Path) -> None:
    paths = list(record_stills(tiny, tmp_path))
    assert [path.stem for path in paths] == list(STILLS)
    for path in paths:
        shipped, again = stills.load(FOLDER / path.name), stills.load(path)
        assert [still["label"] for still in again["stills"]] == [still["label"] for still in shipped["stills"]]
        assert again["stills"][0]["numbers"].keys() == shipped["stills"][0]["numbers"].keys()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.pop("size"), "stills.size: is missing"),
        (lambda value: value.update(format=9), "must be of format 1"),
        (lambda value: value["stills"].clear(), "hold pictures"),
        (lambda value: value["stills"][0].update(label=3), "stills.stills.0.label"),
        (lambda value: value["stills"][0]["numbers"].update(more=1), "the same numbers"),
    ],
)
def test_damaged_stills_are_named(tmp_path: Path, change: Any, reason: str) -> None:
    value = json.loads(json.dumps(made()))
    change(value)
    path = tmp_path / "two.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=reason):
        stills.load(path)


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    path.write_text("{")
    for place in (path, tmp_path / "none.json"):
        with pytest.raises(UserError, match="cannot be read"):
            stills.load(place)
