"""What the player is sent, written down once: Python checks a value against these types, and so does the browser.

``app/static/player/payload.js`` checks the same by the schema that :func:`schema` emits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

# JSON has no infinity: null stands for it.
Number = float | None


class Numbers(TypedDict):
    """The engine's numbers, one a step (diffusion/saturation.py)."""

    s: list[Number]
    outside: list[Number]
    largest: list[Number]
    burnt: list[Number]
    colourfulness: list[Number]
    contrast: list[Number]


class Step(TypedDict):
    """A recorded step: its number from 1, and the level it was at."""

    step: int
    t: Number
    log_snr: Number


class RequestFacts(TypedDict):
    """The parts of a request that the player shows."""

    prompt: str
    seed: int


class _Track(TypedDict):
    label: str
    rule: str
    w: float
    numbers: Numbers


class _RecordedTrack(_Track):
    percentile: float
    cap: Number
    options: dict[str, Any]
    w_schedule: str
    guidance_rule: str
    scales: dict[str, list[float]]


class RecordedTrack(_RecordedTrack, total=False):
    """A run under one rule; recording.py says what each field is for."""

    weights: list[Number]
    unguided: list[int]


class Header(TypedDict):
    """A recording without its arrays."""

    format: int
    title: str
    weights: str
    size: int
    planned: int
    steps: list[Step]
    request: RequestFacts
    tracks: list[RecordedTrack]


class State(TypedDict, total=False):
    """What a player shows of a recording: a step from 1, a view, the rule in front, a pixel [x, y]."""

    step: int
    view: str
    rule: str
    pixel: list[int]


class _Recorded(Header):
    kind: Literal["recording"]
    blobs: dict[str, str]


class Recorded(_Recorded, total=False):
    """A recording with its arrays in base64; ``picked`` is the rule in front, ``run`` the run that it is the end of.

    With ``begin`` the player rests in that state instead of playing. ``link`` is the query of a link to the recording.
    ``others`` has the addresses of the same run at other guidance weights, by the weight.
    """

    run: str
    picked: str
    begin: State
    link: str
    others: dict[str, str]


class LiveTrack(_Track):
    """A live run under one rule: its newest picture uint8 [h, w, 3] in base64, and the histogram of its raw x0_hat."""

    pixels: str
    histogram: list[int]


class Live(TypedDict):
    """The newest frame of a live run, and the numbers of all steps so far."""

    kind: Literal["live"]
    run: str
    picked: str
    size: int
    planned: int
    note: str
    request: RequestFacts
    largest: float
    tracks: list[LiveTrack]


class Waiting(TypedDict):
    """A note in place of a run."""

    kind: Literal["waiting"]
    note: str


KINDS: dict[str, Any] = {"recording": Recorded, "live": Live, "waiting": Waiting}

_NAMES = {str: "string", float: "number", int: "integer", dict: "object", list: "array", type(None): "null"}


def schema(kind: Any) -> dict[str, Any]:
    """A type in JSON Schema: the part of it that payload.js reads."""
    inner = get_args(kind)
    if is_typeddict(kind):
        properties = {name: schema(field) for name, field in get_type_hints(kind).items()}
        return {"type": "object", "properties": properties, "required": sorted(kind.__required_keys__)}
    if kind is Any:
        return {}
    if get_origin(kind) is Literal:
        return {"const": inner[0]}
    if get_origin(kind) in (Union, UnionType):
        return {"anyOf": [schema(option) for option in inner]}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": schema(inner[1])}
    if get_origin(kind) is list:
        return {"type": "array", "items": schema(inner[0])}
    return {"type": _NAMES[kind]}


def mismatch(value: Any, expected: Mapping[str, Any], path: str) -> str | None:
    """Where a value first differs from a schema, in one line; None where it fits."""
    if "const" in expected:
        return None if value == expected["const"] else f"{path}: must be {expected['const']}"
    if "anyOf" in expected:
        fits = any(mismatch(value, option, path) is None for option in expected["anyOf"])
        return None if fits else f"{path}: has the wrong type"
    if "type" not in expected:
        return None
    if not _is_of(value, expected["type"]):
        return f"{path}: must be of type {expected['type']}"
    for name in expected.get("required", ()):
        if name not in value:
            return f"{path}.{name}: is missing"
    if isinstance(value, list):
        inner = [(str(i), entry, expected["items"]) for i, entry in enumerate(value)]
    elif isinstance(value, dict):
        properties, rest = expected.get("properties", {}), expected.get("additionalProperties", {})
        inner = [(name, entry, properties.get(name, rest)) for name, entry in value.items()]
    else:
        return None
    differences = (mismatch(entry, of, f"{path}.{name}") for name, entry, of in inner)
    return next((difference for difference in differences if difference), None)


def uneven(value: Mapping[str, Any], path: str) -> str | None:
    """Which list of a track has another length than the run has steps; None where all fit."""
    if not value["tracks"]:
        return f"{path}.tracks: is empty"
    count = len(value["steps"] if "steps" in value else value["tracks"][0]["numbers"]["s"])
    if not count:
        return f"{path}.steps: is empty"
    for i, track in enumerate(value["tracks"]):
        lists = {**track["numbers"], **track.get("scales", {})}
        if "weights" in track:
            lists["weights"] = track["weights"]
        for name, entries in lists.items():
            if len(entries) != count:
                return f"{path}.tracks.{i}.{name}: must have {count} entries"
    return None


def _is_of(value: Any, name: str) -> bool:
    if name == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return _NAMES[type(value)] == name if type(value) in _NAMES else False
