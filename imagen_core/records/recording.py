"""Recordings: what the player shows of runs side by side, small enough to send to a browser; format 2.

A recording is a header (JSON: the request, and for each track its rule and the engine's numbers at each step) and
compressed arrays [steps, 3, h, w] of the first picture:

``<track>/raw``    the guided x0_hat before thresholding, float16 bit patterns.
``<track>/kept``   the same after thresholding, only for rules that the player cannot apply itself.
``<track>/cond``   the conditional estimate, and ``<track>/delta`` conditional minus unconditional, to be looked at:
                   int8 in units of ``scales[name][step] / 127``, since the difference fades as a run goes on. Where w
                   is 1 most rules make no unconditional estimate: no delta where no step has one; else 0 at the steps
                   that the track lists as ``unguided``.

A track whose w runs over time lists it for each step as ``weights``.

Arrays are packed by packing.py.
There is no z: a recording is for looking, a trace (trace.py) for going on from.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import settings
from ..diffusion.thresholding import THRESHOLDS
from ..files.writing import written_whole
from ..settings import Request, StageConfig, with_rule
from ..types import UserError
from .frames import Frame
from .packing import QUICK, pack_eighths, pack_halves, unpack_eighths, unpack_halves
from .trace import BROKEN

FORMAT = 3
# More steps than anybody scrubs through; longer runs keep this many, evenly spread.
MOST_STEPS = 64


@dataclass(frozen=True, eq=False)
class Recording:
    """A header that is JSON, and the compressed arrays by name."""

    header: dict[str, Any]
    blobs: dict[str, bytes]


def make(
    requests: Mapping[str, Request],
    frames: Mapping[str, Sequence[Frame]],
    *,
    weights: str,
    title: str = "",
    effort: int = QUICK,
) -> Recording:
    """A recording of runs in lockstep, one track a label; where they were stopped apart, up to the shortest.

    Raises:
        UserError: nothing was recorded yet.
    """
    steps = min((len(track) for track in frames.values()), default=0)
    if not steps:
        raise UserError("recording: there is no step to show yet")
    kept = np.unique(np.linspace(0, steps - 1, min(steps, MOST_STEPS)).round().astype(int))
    first = next(iter(requests.values()))
    size = int(next(iter(frames.values()))[0].raw.shape[-1])
    tracks: list[dict[str, Any]] = []
    blobs: dict[str, bytes] = {}
    for label, request in requests.items():
        config = next(stage for stage in request.stages if stage.size == size)
        track, arrays = _track(label, config, [frames[label][i] for i in kept], effort)
        if config.w_schedule != "constant":
            track["weights"] = [_short(frames[label][i].w) for i in kept]
        tracks.append(track)
        blobs |= {f"{label}/{name}": data for name, data in arrays.items()}
    levels = [next(iter(frames.values()))[i].level for i in kept]
    header = {
        "format": FORMAT,
        "title": title,
        "weights": weights,
        "size": size,
        "planned": next(stage.steps for stage in first.stages if stage.size == size),
        "steps": [{"step": int(i) + 1, "t": _short(x.t), "log_snr": _short(x.log_snr)} for i, x in zip(kept, levels)],
        "request": json.loads(settings.to_json(first)),
        "tracks": tracks,
    }
    return Recording(header, blobs)


def _track(
    label: str, config: StageConfig, frames: list[Frame], effort: int
) -> tuple[dict[str, Any], dict[str, bytes]]:
    arrays = {"raw": pack_halves([f.raw for f in frames], effort)}
    if not THRESHOLDS[config.threshold].played:
        arrays["kept"] = pack_halves([f.kept for f in frames], effort)
    cond = np.stack([f.cond for f in frames]).astype(np.float32)
    parts = {"cond": cond}
    unguided = [i for i, f in enumerate(frames) if f.uncond is None]
    if len(unguided) < len(frames):
        parts["delta"] = cond - np.stack([f.cond if f.uncond is None else f.uncond for f in frames]).astype(np.float32)
    scales: dict[str, list[float]] = {}
    for name, values in parts.items():
        arrays[name], scales[name] = pack_eighths(values, effort)
    cap = config.options.get("cap", math.inf)
    track = {
        "label": label,
        "rule": config.threshold,
        "percentile": config.percentile,
        "cap": cap if math.isfinite(cap) else None,
        "options": config.options,
        "w": config.guidance,
        "w_schedule": config.w_schedule,
        "guidance_rule": config.guidance_rule,
        "scales": scales,
        "numbers": {name: [_short(f.numbers[name]) for f in frames] for name in frames[0].numbers},
    }
    if "delta" in parts and unguided:
        track["unguided"] = unguided
    return track, arrays


def under(request: Request, rules: Sequence[str]) -> dict[str, Request]:
    """The same base run under each of several threshold rules, with those of its options that the rule takes."""
    base, later = request.stages[0], request.stages[1:]
    return {rule: replace(request, stages=(with_rule(base, threshold=rule), *later)) for rule in rules}


def requests(recording: Recording) -> dict[str, Request]:
    """What was asked of each track: the recording's request under that track's rule, with its options."""
    first, _ = settings.from_json(json.dumps(recording.header["request"]))
    base, *later = first.stages
    return {
        track["label"]: replace(
            first, stages=(with_rule(base, threshold=track["rule"], options=track.get("options", base.options)), *later)
        )
        for track in recording.header["tracks"]
    }


def unpack(recording: Recording, name: str) -> np.ndarray:
    """One array of a recording as it was, float32 [steps, 3, h, w]: what the player decodes, for whoever has Python."""
    shape = (len(recording.header["steps"]), 3, recording.header["size"], recording.header["size"])
    label, _, kind = name.rpartition("/")
    if kind in ("raw", "kept"):
        return unpack_halves(recording.blobs[name], shape)
    track = next(track for track in recording.header["tracks"] if track["label"] == label)
    return unpack_eighths(recording.blobs[name], shape, track["scales"][kind])


def to_json(recording: Recording, **more: str) -> str:
    """A recording as the player takes it: the header, and ``more``, with the arrays inside, safe within any HTML."""
    blobs = {name: base64.b64encode(data).decode() for name, data in recording.blobs.items()}
    return json.dumps({"kind": "recording", **recording.header, **more, "blobs": blobs}).replace("<", "\\u003c")


def save(recording: Recording, path: Path) -> None:
    """Write a recording whole or not at all."""
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in recording.blobs.items()}
    with written_whole(path) as aside, aside.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(recording.header)), **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Recording:
    """Read a recording that :func:`save` wrote; nothing is unpickled.

    Raises:
        UserError: not a recording of this format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if not isinstance(header, dict) or header.get("format") != FORMAT or "tracks" not in header:
                raise UserError(f"recording: {path} is not of format {FORMAT}")
            return Recording(header, {name: file[name].tobytes() for name in file.files if name != "header"})
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"recording: {path} is not a readable recording") from error


def _short(value: float) -> float | None:
    """Six digits; JSON has no infinity."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
