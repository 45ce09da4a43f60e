"""What is done with estimates, as graphs traced from the engine's own rules: guide, limit, measure, step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..diffusion.denoiser import Rules
from ..diffusion.guidance import GUIDANCE, Moment
from ..diffusion.samplers import SAMPLERS
from ..diffusion.saturation import measure
from ..diffusion.schedules import alpha_sigma
from ..diffusion.thresholding import THRESHOLDS
from ..settings.ranges import hyper_parameters
from ..types import Denoised, Level, StepRecord
from .tracing import Inputs, Traced

# What a tab offers of each.
GUIDED_BY = "cfg"
LIMITED_BY = ("none", "static", "dynamic")
STEPPED_BY = ("dpmpp_2m", "ddim")
# The numbers of an estimate, in the order in which a rule's graph returns them (records/frames.py).
NUMBERS = ("s", "outside", "largest", "burnt", "colourfulness", "contrast")


class Rule(nn.Module):
    """Two estimates [b, 3, h, w], w and the percentile (float64) → guided, limited, and NUMBERS [b]."""

    def __init__(self, threshold: str) -> None:
        super().__init__()
        self.guide, self.threshold = GUIDANCE[GUIDED_BY], THRESHOLDS[threshold]
        self.takes_percentile = "percentile" in hyper_parameters(self.threshold)

    def forward(self, cond: Tensor, uncond: Tensor, w: Tensor, percentile: Tensor) -> tuple[Tensor, ...]:
        options = {"percentile": percentile.item()} if self.takes_percentile else {}
        threshold = replace(self.threshold, fn=partial(self.threshold.fn, **options))
        out, _ = Rules(self.guide, threshold).apply(cond, uncond, Moment(cast(float, w)))
        raw, kept = measure(out.x0_raw), measure(out.x0_hat)
        numbers = (out.s, raw.outside, raw.largest, kept.burnt, kept.colourfulness, kept.contrast)
        return (out.x0_raw, out.x0_hat, *numbers)


@dataclass(frozen=True)
class _Level:
    """A level whose numbers are tensors; ``clean`` only decides between formulas, and so is known when tracing."""

    log_snr: Tensor
    alpha: Tensor
    sigma: Tensor
    clean: bool = False


def _at(log_snr: Tensor) -> Level:
    return cast(Level, _Level(log_snr, *alpha_sigma(log_snr)))


def _denoised(x0: Tensor) -> Denoised:
    return Denoised(x0_hat=x0, x0_renoise=x0, x0_raw=x0, x0_cond=x0, x0_uncond=None, s=x0)


class Step(nn.Module):
    """z and x0_hat [b, 3, h, w] at log_snr ``now`` → z at log_snr ``next`` (both float64)."""

    def __init__(self, sampler: str) -> None:
        super().__init__()
        self.fn = SAMPLERS[sampler].fn

    def forward(self, z: Tensor, hat: Tensor, now: Tensor, next: Tensor) -> tuple[Tensor]:
        return (self.step(z, hat, now, next, ()),)

    def step(self, z: Tensor, hat: Tensor, now: Tensor, next: Tensor, past: tuple[StepRecord, ...]) -> Tensor:
        def denoise(z: Tensor, level: Level) -> Denoised:
            return _denoised(hat)

        moved: Tensor = self.fn(denoise, z, _at(now), _at(next), None, past)[0]
        return moved


class Second(Step):
    """The same from the second step on, of a sampler that looks back one step: ``hat_before`` at ``before``.

    Not for the last step, whose ``next`` is clean: :class:`Step` takes that.
    """

    def forward(  # type: ignore[override]
        self, z: Tensor, hat: Tensor, now: Tensor, next: Tensor, hat_before: Tensor, before: Tensor
    ) -> tuple[Tensor]:
        past = StepRecord("", 0, _at(before), _at(now), z, _denoised(hat_before))
        return (self.step(z, hat, now, next, (past,)),)


_PICTURE = {0: "b", 2: "h", 3: "w"}


def rule(threshold: str) -> Traced:
    """The graph of a threshold rule after guidance."""

    def inputs(rows: int, side: int, w: float, percentile: float) -> Inputs:
        made = torch.Generator().manual_seed(side)
        return {
            "cond": torch.randn(rows, 3, side, side, generator=made),
            "uncond": torch.randn(rows, 3, side, side, generator=made),
            "w": torch.tensor(w),
            "percentile": torch.tensor(percentile, dtype=torch.float64),
        }

    free = {"cond": _PICTURE, "uncond": _PICTURE}
    names = ["raw", "hat", *NUMBERS]
    return Traced(Rule(threshold), inputs(2, 64, 5.0, 99.5), free, names, inputs(3, 32, 12.0, 80.0))


def steps(sampler: str) -> dict[str, Traced]:
    """The graphs of a sampler's step: "first", and "second" where it looks back."""
    looks_back = SAMPLERS[sampler].history > 0
    made = {"first": _step(Step(sampler), ())}
    return {**made, "second": _step(Second(sampler), ("hat_before", "before"))} if looks_back else made


def _step(module: nn.Module, more: tuple[str, ...]) -> Traced:
    def inputs(rows: int, side: int, levels: tuple[float, ...]) -> Inputs:
        made = torch.Generator().manual_seed(side)
        given: dict[str, Any] = {
            name: torch.randn(rows, 3, side, side, generator=made) for name in ("z", "hat", "hat_before")
        }
        given |= {
            name: torch.tensor(level, dtype=torch.float64) for name, level in zip(("before", "now", "next"), levels)
        }
        return {name: given[name] for name in ("z", "hat", "now", "next", *more)}

    free = dict.fromkeys(("z", "hat", *more[:1]), _PICTURE)
    return Traced(module, inputs(2, 64, (-6.0, -4.0, -3.0)), free, ["z_next"], inputs(1, 32, (1.0, 2.5, 7.0)))
