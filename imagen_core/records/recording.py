"""Recordings: what the player shows of runs side by side, small enough to send to a browser; format 3.

A recording is a header (payload.Header) and packed arrays [steps, 3, h, w] of the first picture:

``<track>/raw``    the guided x0_hat before thresholding, as float16.
``<track>/kept``   the same after thresholding, only for rules that the player cannot apply itself.
``<track>/cond``   the conditional estimate, as int8 in units of ``scales["cond"][step] / 127``.
``<track>/delta``  conditional minus unconditional, likewise; the scale follows it as it fades. Absent where no step
                   evaluated an unconditional estimate; 0 at the steps that the track lists as ``unguided``.

A track whose w changes over time lists it for each step as ``weights``. Arrays are packed by packing.py. A recording
holds no z, so no run can be resumed from it: that is what a trace (trace.py) is for.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import settings
from ..diffusion.thresholding import THRESHOLDS
from ..files.writing import written_whole
from ..settings import Request, StageConfig, with_rule
from ..types import UserError
from .frames import Frame
from .packing import QUICK, coarse, pack_eighths, pack_halves, unpack_eighths, unpack_halves
from .payload import Header, Number, Numbers, Recorded, RecordedTrack, mismatch, schema, uneven
from .trace import BROKEN

FORMAT = 3
# Longer runs keep this many steps, evenly spread: nobody scrubs through more.
MOST_STEPS = 64
# A brief recording keeps this many, raw values to a relative 1/256, and no parts of guidance: a third of a megabyte.
BRIEF_STEPS = 9


@dataclass(frozen=True, eq=False)
class Recording:
    """A header, and the packed arrays by name."""

    header: Header
    blobs: dict[str, bytes]


def make(
    requests: Mapping[str, Request],
    frames: Mapping[str, Sequence[Frame]],
    *,
    weights: str,
    title: str = "",
    effort: int = QUICK,
    brief: bool = False,
) -> Recording:
    """A recording of runs in lockstep, one track a label; ``effort`` is zlib's level, ``brief`` as for BRIEF_STEPS.

    Runs that were stopped at different steps are cut to the shortest.

    Raises:
        UserError: there is no step yet.
    """
    steps = min((len(track) for track in frames.values()), default=0)
    if not steps:
        raise UserError("recording: there is no step yet")
    kept = np.unique(np.linspace(0, steps - 1, min(steps, BRIEF_STEPS if brief else MOST_STEPS)).round().astype(int))
    first = next(iter(requests.values()))
    size = int(next(iter(frames.values()))[0].raw.shape[-1])
    tracks: list[RecordedTrack] = []
    blobs: dict[str, bytes] = {}
    for label, request in requests.items():
        config = next(stage for stage in request.stages if stage.size == size)
        track, arrays = _track(label, config, [frames[label][i] for i in kept], effort, brief=brief)
        if config.w_schedule != "constant":
            track["weights"] = [short(frames[label][i].w) for i in kept]
        tracks.append(track)
        blobs |= {f"{label}/{name}": data for name, data in arrays.items()}
    levels = [next(iter(frames.values()))[i].level for i in kept]
    header: Header = {
        "format": FORMAT,
        "title": title,
        "weights": weights,
        "size": size,
        "planned": next(stage.steps for stage in first.stages if stage.size == size),
        "steps": [{"step": int(i) + 1, "t": short(x.t), "log_snr": short(x.log_snr)} for i, x in zip(kept, levels)],
        "request": json.loads(settings.to_json(first)),
        "tracks": tracks,
    }
    return Recording(header, blobs)


def _track(
    label: str, config: StageConfig, frames: list[Frame], effort: int, *, brief: bool
) -> tuple[RecordedTrack, dict[str, bytes]]:
    """The header's entry of one track, and its arrays."""
    arrays = {"raw": pack_halves([coarse(f.raw) if brief else f.raw for f in frames], effort)}
    if not THRESHOLDS[config.threshold].played:
        arrays["kept"] = pack_halves([f.kept for f in frames], effort)
    unguided = [i for i, f in enumerate(frames) if f.uncond is None]
    parts: dict[str, np.ndarray] = {}
    if not brief:
        parts["cond"] = np.stack([f.cond for f in frames]).astype(np.float32)
        if len(unguided) < len(frames):
            uncond = np.stack([f.cond if f.uncond is None else f.uncond for f in frames]).astype(np.float32)
            parts["delta"] = parts["cond"] - uncond
    scales: dict[str, list[float]] = {}
    for name, values in parts.items():
        arrays[name], scales[name] = pack_eighths(values, effort)
    track: RecordedTrack = {
        "label": label,
        "rule": config.threshold,
        "percentile": config.percentile,
        "cap": short(config.options.get("cap", math.inf)),
        "options": config.options,
        "w": config.guidance,
        "w_schedule": config.w_schedule,
        "guidance_rule": config.guidance_rule,
        "scales": scales,
        "numbers": numbers(frames),
    }
    if "delta" in parts and unguided:
        track["unguided"] = unguided
    return track, arrays


def under(request: Request, rules: Sequence[str]) -> dict[str, Request]:
    """A request under each threshold rule, with those of its options that the rule takes."""
    base, later = request.stages[0], request.stages[1:]
    return {rule: replace(request, stages=(with_rule(base, threshold=rule), *later)) for rule in rules}


def requests(recording: Recording) -> dict[str, Request]:
    """The request of each track: the recording's own, under that track's rule and options."""
    first, _ = settings.from_json(json.dumps(recording.header["request"]))
    base, *later = first.stages

    def of(track: RecordedTrack) -> StageConfig:
        # In older recordings the percentile is not among the options.
        options = {"percentile": track["percentile"], **track.get("options", base.options)}
        return with_rule(base, threshold=track["rule"], options=options)

    return {track["label"]: replace(first, stages=(of(track), *later)) for track in recording.header["tracks"]}


def unpack(recording: Recording, name: str) -> np.ndarray:
    """One array of a recording, float32 [steps, 3, h, w], as the player unpacks it."""
    shape = (len(recording.header["steps"]), 3, recording.header["size"], recording.header["size"])
    label, _, kind = name.rpartition("/")
    if kind in ("raw", "kept"):
        return unpack_halves(recording.blobs[name], shape)
    track = next(track for track in recording.header["tracks"] if track["label"] == label)
    return unpack_eighths(recording.blobs[name], shape, track["scales"][kind])


def payload(
    recording: Recording, *, run: str = "", picked: str = "", others: Mapping[str, str] | None = None
) -> Recorded:
    """A recording as the player takes it: header and arrays in one value that JSON can hold."""
    blobs = {name: base64.b64encode(data).decode() for name, data in recording.blobs.items()}
    return {
        "kind": "recording",
        **recording.header,
        "run": run,
        "picked": picked,
        "others": dict(others or {}),
        "blobs": blobs,
    }


def save(recording: Recording, path: Path) -> None:
    """Write a recording whole or not at all."""
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in recording.blobs.items()}
    with written_whole(path) as aside, aside.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(recording.header).encode()), **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Recording:
    """Read a recording that :func:`save` wrote; nothing is unpickled.

    Raises:
        UserError: not a recording of this format, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].item())
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise UserError(f"recording: {path} is not of format {FORMAT}")
            blobs = {name: file[name].tobytes() for name in file.files if name != "header"}
            damage = mismatch(header, schema(Header), "header") or uneven(header, "header") or _absent(header, blobs)
            if damage:
                raise UserError(f"recording: {path} is damaged: {damage}")
            return Recording(cast(Header, header), blobs)
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"recording: {path} is not a readable recording") from error


def numbers(frames: Sequence[Frame]) -> Numbers:
    """The numbers of each frame as the player takes them."""
    return cast(Numbers, {name: [short(f.numbers[name]) for f in frames] for name in frames[0].numbers})


def short(value: float) -> Number:
    """Six digits, and None for infinity, which JSON does not have."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _absent(header: Mapping[str, Any], blobs: Mapping[str, bytes]) -> str | None:
    """Which array a track lacks; None where it has all that the player needs."""
    needed = (f"{track['label']}/{name}" for track in header["tracks"] for name in ("raw", *track["scales"]))
    return next((f"{name} is missing" for name in needed if name not in blobs), None)
