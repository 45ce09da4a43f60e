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

Each array is stored as differences from step to step modulo its word, float16 as a plane of low and a plane of high
bytes, then zlib: an estimate hardly moves near the end, so this is a fifth smaller than the values themselves.
There is no z: a recording is for looking, a trace (trace.py) for going on from.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import settings
from ..diffusion.saturation import measure
from ..files.assets import ASSETS
from ..files.writing import written_whole
from ..models.checkpoints import Cascade
from ..run.generate import compare, weights_of
from ..settings import SIDE_BY_SIDE, Request, StageConfig, with_rule
from ..types import Level, StepRecord, UserError
from .trace import BROKEN, StageTrace, Trace, levels_of

FORMAT = 3
# More steps than anybody scrubs through; longer runs keep this many, evenly spread.
MOST_STEPS = 64
# zlib's effort: a live result must be there at once, a shipped file is made once.
QUICK, SMALL = 1, 9
# The rules whose arithmetic the player knows; of all others it is sent what they kept.
PLAYED = SIDE_BY_SIDE
# How still figures draw a rule: Okabe & Ito's colours with a dash and a marker, so that none is told by hue alone.
STYLES: dict[str, dict[str, Any]] = {
    "none": {"color": "#D55E00", "linestyle": ":", "marker": "o"},
    "static": {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    "dynamic": {"color": "#009E73", "linestyle": "-", "marker": "^"},
}
FOLDER = ASSETS / "recordings"
_SPHERE = "a large red sphere to the left of a small blue cube on grass at sunset"
# The recorded runs that the page opens with: what each one shows, and what was asked.
SHIPPED: dict[str, tuple[str, Request]] = {
    "strong": ("Strong guidance", settings.request(_SPHERE, seed=1, guidance=12.0)),
    "paper": ("The paper's weight", settings.request(_SPHERE, seed=1, guidance=5.0)),
    "off": ("No guidance", settings.request(_SPHERE, seed=1, guidance=1.0)),
    "night": ("In the dark", settings.request("a big shiny purple sphere on marble at night", seed=7, guidance=8.0)),
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of a run's first picture, slim enough to keep: float16 [3, h, w], z float32, and the engine's numbers.

    ``numbers``: s; outside and largest of x0_raw; burnt, colourfulness and contrast of x0_hat (saturation.py).
    """

    index: int
    level: Level
    next: Level
    z: np.ndarray
    raw: np.ndarray
    kept: np.ndarray
    cond: np.ndarray
    uncond: np.ndarray | None
    numbers: dict[str, float]

    @property
    def nbytes(self) -> int:
        """What its arrays take in memory."""
        return sum(array.nbytes for array in (self.z, self.raw, self.kept, self.cond, self.uncond) if array is not None)

    @property
    def pixels(self) -> np.ndarray:
        """The kept estimate as shown, uint8 [h, w, 3]."""
        shown = (np.clip(self.kept.astype(np.float32), -1, 1) + 1) * 127.5
        return np.round(shown).astype(np.uint8).transpose(1, 2, 0)

    def histogram(self, most: float, bins: int = 64) -> list[int]:
        """Counts of the raw estimate's values over [-most, most] in equal bins."""
        # The largest value may have been rounded up.
        values = np.clip(self.raw.astype(np.float32), -most, most)
        counts: list[int] = np.histogram(values, bins, (-most, most))[0].tolist()
        return counts


@dataclass(frozen=True, eq=False)
class Recording:
    """A header that is JSON, and the compressed arrays by name."""

    header: dict[str, Any]
    blobs: dict[str, bytes]


def frame(record: StepRecord) -> Frame:
    """What a recording needs of one step."""
    out = record.out
    raw, kept = measure(out.x0_raw[:1]), measure(out.x0_hat[:1])
    numbers = {
        "s": float(out.s[0]),
        "outside": float(raw.outside),
        "largest": float(raw.largest),
        "burnt": float(kept.burnt),
        "colourfulness": float(kept.colourfulness),
        "contrast": float(kept.contrast),
    }
    uncond = None if out.x0_uncond is None else _half(out.x0_uncond)
    z = record.z[0].float().cpu().numpy()
    parts = (_half(out.x0_raw), _half(out.x0_hat), _half(out.x0_cond), uncond)
    return Frame(record.index, record.now, record.next, z, *parts, numbers)


def to_trace(request: Request, weights: str, frames: Sequence[Frame]) -> Trace:
    """The trace (trace.py) of a base run of one picture, from its frames; a stopped run is a shorter trace."""
    columns = {
        "z": [f.z for f in frames],
        "x0_raw": [f.raw for f in frames],
        "x0_cond": [f.cond for f in frames],
    }
    if any(f.uncond is not None for f in frames):
        columns["x0_uncond"] = [np.full_like(f.cond, np.nan) if f.uncond is None else f.uncond for f in frames]
    arrays = {name: torch.from_numpy(np.stack(column)[:, None]) for name, column in columns.items()}
    arrays["s"] = torch.tensor([[f.numbers["s"]] for f in frames])
    base = request.stages[0]
    levels = levels_of(base, [*(f.level for f in frames), frames[-1].next])
    return Trace(request, weights, {base.name: StageTrace(levels, arrays)})


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
            visited = [*(f.level for f in frames[label]), frames[label][-1].next]
            weights_at = weights_of(config, levels_of(config, visited))
            track["weights"] = [_short(weights_at[frames[label][i].level]) for i in kept]
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
    arrays = {"raw": _pack_half([f.raw for f in frames], effort)}
    if config.threshold not in PLAYED:
        arrays["kept"] = _pack_half([f.kept for f in frames], effort)
    cond = np.stack([f.cond for f in frames]).astype(np.float32)
    parts = {"cond": cond}
    unguided = [i for i, f in enumerate(frames) if f.uncond is None]
    if len(unguided) < len(frames):
        parts["delta"] = cond - np.stack([f.cond if f.uncond is None else f.uncond for f in frames]).astype(np.float32)
    scales: dict[str, list[float]] = {}
    for name, values in parts.items():
        # As the header has them: whoever unpacks multiplies by these.
        largest = np.array([float(f"{max(x, 1e-3):.6g}") for x in np.abs(values).max((1, 2, 3))])
        scales[name] = largest.tolist()
        steps = (
            np.clip(np.round(values * (127 / largest)[:, None, None, None]), -127, 127).astype(np.int8).view(np.uint8)
        )
        arrays[name] = zlib.compress(_differences(steps).tobytes(), effort)
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


def record(
    request: Request, cascade: Cascade, rules: Sequence[str] = SIDE_BY_SIDE, *, title: str = "", effort: int = QUICK
) -> Recording:
    """Run a base request under several rules from the same noise, and keep what the player shows of it."""
    requests = under(request, rules)
    frames: dict[str, list[Frame]] = {rule: [] for rule in rules}
    for row in compare(list(requests.values()), cascade):
        for rule, event in zip(rules, row):
            if isinstance(event, StepRecord):
                frames[rule].append(frame(event))
    return make(requests, frames, weights=cascade.digest, title=title, effort=effort)


def record_shipped(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Make every recorded run of SHIPPED again in ``folder``; yields each file as it is written."""
    for name, (title, request) in SHIPPED.items():
        path = folder / f"{name}.npz"
        save(record(request, cascade, title=title, effort=SMALL), path)
        yield path


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
    data = np.frombuffer(zlib.decompress(recording.blobs[name]), np.uint8)
    if kind in ("raw", "kept"):
        words = np.ascontiguousarray(data.reshape(2, -1).T).view("<u2").reshape(shape)
        return np.cumsum(words, axis=0, dtype=np.uint16).view(np.float16).astype(np.float32)
    track = next(track for track in recording.header["tracks"] if track["label"] == label)
    steps = np.cumsum(data.reshape(shape), axis=0, dtype=np.uint8).view(np.int8)
    return steps.astype(np.float32) * (np.array(track["scales"][kind], np.float32) / 127)[:, None, None, None]


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


def _half(image: Tensor) -> np.ndarray:
    # What lies beyond the type's range would be infinite.
    largest = torch.finfo(torch.half).max
    return image[0].clamp(-largest, largest).half().cpu().numpy()


def _short(value: float) -> float | None:
    """Six digits; JSON has no infinity."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _differences(words: np.ndarray) -> np.ndarray:
    changes = words.copy()
    changes[1:] -= words[:-1]
    return changes


def _pack_half(steps: list[np.ndarray], effort: int) -> bytes:
    words = _differences(np.stack(steps).view("<u2"))
    return zlib.compress(np.ascontiguousarray(words.reshape(-1).view(np.uint8).reshape(-1, 2).T).tobytes(), effort)
