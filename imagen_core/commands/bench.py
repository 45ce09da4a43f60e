"""``bench``: what a run costs here; its speed is a ratio to a large matrix product in float32 of the same minute."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import settings
from ..diffusion.guidance import GUIDANCE
from ..diffusion.w_schedules import W_SCHEDULES
from ..models.cascade import Cascade
from ..models.opening import defaults_of, is_deepfloyd, load_cascade, locate, sizes_of
from ..networks.unet import UNet, gflop
from ..run.generate import check, generate
from ..settings import Request
from ..types import Network, StageResult, TextEmbedding, UserError
from . import tab
from .options import add_run_arguments, loading, request_from
from .output import warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and what is compared."""
    add_run_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--guidance-rules",
        action="store_true",
        help="seconds a step of the base stage takes under each guidance rule and schedule of w",
    )
    what.add_argument(
        "--peer", action="store_true", help="DeepFloyd IF: compare with diffusers, seconds a step and peak memory"
    )
    what.add_argument(
        "--tab",
        type=Path,
        metavar="FOLDER",
        help="compare with the same run in wasm with one thread, from an export; needs node",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options ask for; returns the figures."""
    args.size = max(sizes_of(args.model)) if args.size is None else args.size
    request = request_from(args)
    if args.peer:
        return _beside_diffusers(args, request)
    warn(request)
    if args.tab:
        tab.check(args.tab)
    cascade = load_cascade(args.model, loading(args))
    if args.tab:
        return tab.beside_wasm(args.tab, request, cascade)
    return bench_guidance(request, cascade) if args.guidance_rules else bench(request, cascade)


def _beside_diffusers(args: argparse.Namespace, request: Request) -> dict[str, Any]:
    if not is_deepfloyd(args.model):
        raise UserError("--peer: compares with diffusers' pipelines, which only DeepFloyd IF has")
    steps = request.stages[0].steps
    if request != settings.request(args.prompt, size=args.size, steps=steps, defaults=defaults_of(args.model)):
        raise UserError("--peer: both sides sample as diffusers does; of a run's settings give only --steps")
    # Only here: importing it needs what DeepFloyd IF needs.
    from .peer import peer

    return peer(locate(args.model), loading(args), request.prompt, steps)


class Timed:
    """A network that counts its seconds and rows."""

    def __init__(self, network: Network) -> None:
        self.network, self.seconds, self.rows = network, 0.0, 0

    def prepare(self, text: TextEmbedding) -> Any:
        """The network's own, timed."""
        with self._clock():
            return self.network.prepare(text)

    def __call__(
        self,
        z: Tensor,
        log_snr: Tensor,
        context: Any,
        low_res: Tensor | None = None,
        aug_level: Tensor | None = None,
    ) -> Tensor:
        """The network's own, timed, its rows counted."""
        self.rows += len(z)
        with self._clock():
            return self.network(z, log_snr, context, low_res, aug_level)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


def bench(request: Request, cascade: Cascade) -> dict[str, Any]:
    """Run ``request`` once to warm up and once to measure; imports and loading are not counted.

    Raises:
        UserError: the cascade lacks a stage.
    """
    for _ in generate(request, cascade):
        pass
    matmul = _matmul_gflops()
    timed = {stage.spec.name: Timed(stage.network) for stage in cascade.stages}
    stages = tuple(replace(stage, network=timed[stage.spec.name]) for stage in cascade.stages)
    began = time.perf_counter()
    results = [e for e in generate(request, replace(cascade, stages=stages)) if isinstance(e, StageResult)]
    total = time.perf_counter() - began
    figures = {r.stage: _figures(r, timed[r.stage], matmul) for r in results}
    return {
        "seconds": round(total, 3),
        "dtype": str(cascade.dtype).removeprefix("torch."),
        "network_share": round(sum(timed[r.stage].seconds for r in results) / sum(r.seconds for r in results), 3),
        "matmul_gflop_per_s": round(matmul, 1),
        "peak_memory_mb": _peak_memory_mb(),
        "threads": torch.get_num_threads(),
        "stages": figures,
    }


# Every way of guiding, as settings of the base stage; the others are compared with the first.
WAYS: dict[str, dict[str, Any]] = {
    "cfg": {},
    **{rule: {"guidance_rule": rule} for rule in GUIDANCE if rule != "cfg"},
    "cfgpp": {"guidance_rule": "cfgpp", "guidance": 0.6},
    **{f"cfg, {name}": {"w_schedule": name} for name in W_SCHEDULES if name != "constant"},
    "off (w = 1)": {"guidance": 1.0},
}


def bench_guidance(request: Request, cascade: Cascade, repeats: int = 4) -> dict[str, Any]:
    """Seconds a step of the base stage under every way of guiding, and as a ratio to cfg's; the best of ``repeats``.

    The ways take turns, so that other work on the machine slows all of them alike. Ways that the sampler or the cascade
    does not support are left out.
    """
    base = settings.vary(request.stages[0], {"w_schedule": "constant", "guidance_rule": "cfg"})
    ways = {}
    for name, changes in WAYS.items():
        try:
            varied = replace(request, stages=(settings.vary(base, changes),))
            check(varied, cascade)
        except UserError:
            if not changes:
                raise
        else:
            ways[name] = varied
    best = dict.fromkeys(ways, math.inf)
    for _ in range(repeats):
        for name, varied in ways.items():
            *_, result = generate(varied, cascade)
            assert isinstance(result, StageResult)
            best[name] = min(best[name], result.seconds / base.steps)
    figures = {
        name: {"seconds_per_step": round(seconds, 4), "ratio": round(seconds / best["cfg"], 3)}
        for name, seconds in best.items()
    }
    return {**figures, "weights": cascade.digest}


def _figures(result: StageResult, timed: Timed, matmul: float) -> dict[str, float]:
    figures = {
        "seconds": round(result.seconds, 3),
        "network_share": round(timed.seconds / result.seconds, 3),
        "evaluations": timed.rows,
    }
    # Operations are counted of this project's own networks only.
    if not isinstance(timed.network, UNet):
        return figures
    work = gflop(timed.network.config, result.size)
    speed = work * timed.rows / timed.seconds
    counted = {"gflop_per_evaluation": round(work, 2), "gflop_per_s": round(speed, 1)}
    return {**figures, **counted, "ratio_to_matmul": round(speed / matmul, 3)}


def _matmul_gflops(n: int = 1536, repeats: int = 8) -> float:
    a, b = torch.randn(n, n), torch.randn(n, n)
    a @ b
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    return 2e-9 * n**3 * repeats / (time.perf_counter() - began)


def _peak_memory_mb() -> int | None:
    """The process's peak memory in MB; None on Windows, which does not record it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
