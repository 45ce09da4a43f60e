"""Traces: a run's steps as one ``.npz`` file, format 1, enough to look at any step again.

``header`` is JSON: format, request, weights digest, and for each stage the levels of its steps (``stages``) and the
schedule that it was trained with (``schedules``; older traces lack it). Each recorded stage has ``<stage>/z`` float32
and ``<stage>/x0_raw``, ``x0_cond``, ``x0_uncond`` float16, all [steps, b, 3, h, w], and ``<stage>/s`` float32
[steps, b]. ``x0_uncond`` is nan at steps where it was not evaluated, and missing where it never was. The noise of a
step follows from its seed and number (samplers.unit_noise), so no random state is stored.
Stages above MAX_SIZE are left out: six steps at 1024 would be 150 MB.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..diffusion.schedules import SCHEDULES
from ..files.writing import written_whole
from ..models.cascade import Cascade
from ..settings import Plan, Request, StageConfig, from_json, to_json
from ..types import Event, Level, StageResult, StepRecord, UserError

FORMAT = 1
MAX_SIZE = 256
# 250 steps of four pictures at 256 take 2 GB; nothing larger is ever opened.
MAX_BYTES = 2_500_000_000
# What numpy, zip and JSON raise over a damaged or hostile file.
BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, OverflowError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
ARRAYS: dict[str, type[np.floating[Any]]] = {
    "z": np.float32,
    "x0_raw": np.float16,
    "x0_cond": np.float16,
    "x0_uncond": np.float16,
    "s": np.float32,
}


@dataclass(frozen=True)
class StageTrace:
    """The steps of one stage.

    ``trained`` is the schedule that the stage was trained with. ``levels`` are those of the whole run, also where it
    was stopped early: the weights of a run depend on all of them. ``x0_uncond`` may be missing from ``arrays``.
    """

    trained: str
    levels: tuple[Level, ...]
    arrays: dict[str, Tensor]

    @property
    def steps(self) -> int:
        """How many steps were recorded."""
        return len(self.arrays["z"])


@dataclass(frozen=True)
class Trace:
    """A recorded run: its request, the digest of the weights, and the steps of each stage by name."""

    request: Request
    weights: str
    stages: dict[str, StageTrace]


class Recorder:
    """Collects the steps of a run while somebody else drains it."""

    def __init__(self, request: Request, cascade: Cascade) -> None:
        self.request, self.cascade = request, cascade
        self._records: dict[str, list[StepRecord]] = {}

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass a run's events on, keeping the steps of stages up to MAX_SIZE."""
        for event in events:
            # Latents are no pictures.
            if not isinstance(event, StageResult) and event.z.shape[-1] <= MAX_SIZE and event.z.shape[1] == 3:
                self._records.setdefault(event.stage, []).append(event)
            yield event

    def trace(self) -> Trace:
        """The trace of the steps so far; a stopped run gives a shorter trace."""
        stages = {
            config.name: _stack(Plan(config, self.cascade.stage(config.size).spec.schedule), self._records[config.name])
            for config in self.request.stages
            if config.name in self._records
        }
        return Trace(self.request, self.cascade.digest, stages)


def _stack(plan: Plan, steps: list[StepRecord]) -> StageTrace:
    columns = {
        "z": [step.z for step in steps],
        "x0_raw": [step.out.x0_raw for step in steps],
        "x0_cond": [step.out.x0_cond for step in steps],
        "s": [step.out.s for step in steps],
    }
    # Where w is 1 there is no unconditional estimate.
    if any(step.out.x0_uncond is not None for step in steps):
        pairs = [(step.out.x0_uncond, step.z) for step in steps]
        columns["x0_uncond"] = [torch.full_like(z, math.nan) if x is None else x for x, z in pairs]
    arrays = {name: torch.stack(column) for name, column in columns.items()}
    return StageTrace(plan.trained, plan.levels, arrays)


def save(trace: Trace, path: Path) -> None:
    """Write a trace whole or not at all."""
    header = {
        "format": FORMAT,
        "request": json.loads(to_json(trace.request)),
        "weights": trace.weights,
        "schedules": {name: stage.trained for name, stage in trace.stages.items()},
        "stages": {
            # JSON has no infinity; the clean level is written as null.
            name: [
                [level.t, level.log_snr if math.isfinite(level.log_snr) else None]
                for level in stage.levels[: stage.steps + 1]
            ]
            for name, stage in trace.stages.items()
        },
    }
    arrays = {
        f"{name}/{key}": _within(value.cpu().numpy(), ARRAYS[key])
        for name, stage in trace.stages.items()
        for key, value in stage.arrays.items()
    }
    with written_whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]


def _within(values: np.ndarray, kind: type[np.floating[Any]]) -> np.ndarray:
    """The values in a narrower type, clipped to its range: infinities would turn into nan later."""
    largest = np.finfo(kind).max
    return values.clip(-largest, largest).astype(kind)


def load(path: Path) -> Trace:
    """Read a trace of any origin. Nothing is unpickled; sizes are checked before anything is unpacked.

    Levels, shapes and values are checked against the settings in the file.

    Raises:
        UserError: not a trace of this format, or one whose parts do not fit together.
    """
    try:
        _check_sizes(path)
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise UserError(f"trace: {path} is not of format {FORMAT}")
            request, _ = from_json(json.dumps(header["request"]))
            weights, configs = header["weights"], {config.name: config for config in request.stages}
            if not isinstance(weights, str) or not header["stages"].keys() <= configs.keys():
                raise UserError(f"trace: {path} names no weights, or a stage that its settings lack")
            stages, trained = {}, header.get("schedules", {})
            for name, visited in header["stages"].items():
                plan = _plan(configs[name], trained.get(name), visited)
                stages[name] = _stage(file, plan, len(visited) - 1, request.count)
            return Trace(request, weights, stages)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"trace: there is no file {path}") from error
    except BROKEN as error:
        raise UserError(f"trace: {path} is not a readable trace") from error


def _check_sizes(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise UserError(f"trace: {path} would unpack to more than {MAX_BYTES / 1e9} GB")


def _plan(config: StageConfig, trained: str | None, written: Any) -> Plan:
    """The plan whose levels match the file's.

    Levels are computed, not read: the last digit may differ between two machines. Older files do not name the schedule:
    it is the one with these levels.

    Raises:
        UserError: no schedule has these levels.
    """
    visited = [Level(float(t), math.inf if log_snr is None else float(log_snr)) for t, log_snr in written]
    for schedule in SCHEDULES if trained is None else (trained,):
        try:
            plan = Plan(config, schedule)
        except UserError:
            # Times that one schedule cannot tell apart may be another's.
            continue
        if 1 < len(visited) <= len(plan.levels) and all(map(_agree, plan.levels, visited)):
            return plan
    raise UserError(f"trace: the levels of {config.name} are not those of its settings")


def _agree(a: Level, b: Level) -> bool:
    return math.isclose(a.t, b.t, rel_tol=1e-9) and math.isclose(a.log_snr, b.log_snr, rel_tol=1e-9, abs_tol=1e-9)


def _stage(file: Any, plan: Plan, steps: int, count: int) -> StageTrace:
    name, size = plan.config.name, plan.config.size
    arrays = {key: file[f"{name}/{key}"] for key in ARRAYS if f"{name}/{key}" in file.files}
    for key, value in arrays.items():
        shape = (steps, count) if key == "s" else (steps, count, 3, size, size)
        if value.dtype != ARRAYS[key] or value.shape != shape:
            raise UserError(f"trace: {name}/{key} is not of the kind and shape that its settings say")
    if not {"z", "x0_raw", "x0_cond", "s"} <= arrays.keys():
        raise UserError(f"trace: {name} lacks some of its arrays")
    for key, value in arrays.items():
        # x0_uncond alone may be nan, and then all of it, at steps where it was not evaluated.
        if not all(np.isfinite(step).all() or (key == "x0_uncond" and np.isnan(step).all()) for step in value):
            raise UserError(f"trace: {name} holds values that are not finite")
    if (arrays["s"] <= 0).any():
        raise UserError(f"trace: {name} was divided by a scale s that is not positive")
    return StageTrace(plan.trained, plan.levels, {key: torch.from_numpy(value) for key, value in arrays.items()})
