"""Frames: one step of a run's first picture, small enough to keep for a whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion.saturation import measure
from ..models.cascade import Cascade
from ..settings import Plan, Request
from ..types import Level, StepRecord
from .trace import StageTrace, Trace


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of a run's first picture: estimates float16 [3, h, w], z float32 [3, h, w], and the engine's numbers.

    ``numbers``: s; outside and largest of x0_raw; burnt, colourfulness and contrast of x0_hat (saturation.py).
    """

    index: int
    level: Level
    w: float
    z: np.ndarray
    raw: np.ndarray
    kept: np.ndarray
    cond: np.ndarray
    uncond: np.ndarray | None
    numbers: dict[str, float]

    @classmethod
    def of(cls, record: StepRecord) -> Frame:
        """The frame of one step."""
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
        return cls(
            index=record.index,
            level=record.now,
            w=out.w,
            z=record.z[0].float().cpu().numpy(),
            raw=_half(out.x0_raw),
            kept=_half(out.x0_hat),
            cond=_half(out.x0_cond),
            uncond=None if out.x0_uncond is None else _half(out.x0_uncond),
            numbers=numbers,
        )

    @property
    def nbytes(self) -> int:
        """Size of its arrays in bytes."""
        return sum(array.nbytes for array in (self.z, self.raw, self.kept, self.cond, self.uncond) if array is not None)

    @property
    def pixels(self) -> np.ndarray:
        """The kept estimate as a screen shows it, uint8 [h, w, 3]."""
        grey_values = (np.clip(self.kept.astype(np.float32), -1, 1) + 1) * 127.5
        return np.round(grey_values).astype(np.uint8).transpose(1, 2, 0)

    def histogram(self, most: float, bins: int = 64) -> list[int]:
        """Counts of the raw estimate's values over [-most, most] in equal bins."""
        # The largest value may have been rounded up.
        values = np.clip(self.raw.astype(np.float32), -most, most)
        counts: list[int] = np.histogram(values, bins, (-most, most))[0].tolist()
        return counts


def to_trace(request: Request, cascade: Cascade, frames: Sequence[Frame]) -> Trace:
    """The trace (trace.py) of a base run of one picture, from its frames; a stopped run gives a shorter trace."""
    columns = {
        "z": [f.z for f in frames],
        "x0_raw": [f.raw for f in frames],
        "x0_cond": [f.cond for f in frames],
    }
    if any(f.uncond is not None for f in frames):
        columns["x0_uncond"] = [np.full_like(f.cond, np.nan) if f.uncond is None else f.uncond for f in frames]
    arrays = {name: torch.from_numpy(np.stack(column)[:, None]) for name, column in columns.items()}
    arrays["s"] = torch.tensor([[f.numbers["s"]] for f in frames])
    plan = Plan(request.stages[0], cascade.stages[0].spec.schedule)
    return Trace(request, cascade.digest, {plan.config.name: StageTrace(plan.trained, plan.levels, arrays)})


def _half(image: Tensor) -> np.ndarray:
    # Values beyond the type's range would become infinite.
    largest = torch.finfo(torch.half).max
    return image[0].clamp(-largest, largest).half().cpu().numpy()
