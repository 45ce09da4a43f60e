"""What the player is sent, by the schema that Python and the browser share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.parts import player
from imagen_core.commands.record import record
from imagen_core.models.cascade import Cascade
from imagen_core.records import recording
from imagen_core.records.frames import Frame
from imagen_core.records.payload import KINDS, Live, Recorded, Waiting, mismatch, schema, uneven
from imagen_core.run.generate import generate
from imagen_core.settings import request
from imagen_core.types import StepRecord


@pytest.fixture(scope="module")
def recorded(tiny: Cascade) -> dict[str, Any]:
    made = record(request("a red ball", steps=2, guidance=9.0, w_schedule="cosine"), tiny, ("none", "squash"))
    value: dict[str, Any] = json.loads(player.recorded(made, run_id="r", picked="none"))
    return value


def test_what_is_sent_fits_its_schema(tiny: Cascade, recorded: dict[str, Any]) -> None:
    asked = request("a red ball", steps=2)
    frames = {"static": [Frame.of(event) for event in generate(asked, tiny) if isinstance(event, StepRecord)]}
    live = json.loads(player.live({"static": asked}, frames))
    waiting = json.loads(player.waiting("a note"))
    for value, kind in ((recorded, Recorded), (live, Live), (waiting, Waiting)):
        assert value["kind"] in KINDS and mismatch(value, schema(kind), "payload") is None
    assert uneven(recorded, "payload") is None and uneven(live, "payload") is None


def test_shipped_recordings_fit_the_schema() -> None:
    from imagen_core.records.shipped import FOLDER, SHIPPED

    for name in SHIPPED:
        value = recording.payload(recording.load(FOLDER / f"{name}.npz"))
        assert mismatch(value, schema(Recorded), "payload") is None


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("size", "64", "payload.size: must be of type integer"),
        ("size", True, "payload.size: must be of type integer"),
        ("kind", "live", "payload.kind: must be recording"),
        ("tracks", {}, "payload.tracks: must be of type array"),
        ("tracks.0.w", None, "payload.tracks.0.w: must be of type number"),
        ("tracks.0.numbers.s.1", "1", "payload.tracks.0.numbers.s.1: has the wrong type"),
        ("tracks.1.scales.cond", 1, "payload.tracks.1.scales.cond: must be of type array"),
        ("request", {"seed": 1}, "payload.request.prompt: is missing"),
        ("blobs.none/raw", None, "payload.blobs.none/raw: must be of type string"),
    ],
)
def test_damage_is_named_by_its_place(recorded: dict[str, Any], path: str, value: Any, reason: str) -> None:
    damaged = json.loads(json.dumps(recorded))
    *keys, last = path.split(".")
    at = damaged
    for key in keys:
        at = at[int(key)] if isinstance(at, list) else at[key]
    at[int(last) if isinstance(at, list) else last] = value
    assert mismatch(damaged, schema(Recorded), "payload") == reason


def test_lists_of_a_track_are_as_long_as_the_run(recorded: dict[str, Any]) -> None:
    damaged = json.loads(json.dumps(recorded))
    damaged["tracks"][1]["numbers"]["burnt"].pop()
    assert uneven(damaged, "payload") == "payload.tracks.1.burnt: must have 2 entries"
    assert uneven({**recorded, "tracks": []}, "payload") == "payload.tracks: is empty"
    assert uneven({**recorded, "steps": []}, "payload") == "payload.steps: is empty"
