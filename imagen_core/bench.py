"""What a run costs: counted operations, and speed as a ratio to a large matrix product of the same minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .cascade import StageResult, generate
from .checkpoints import Cascade
from .settings import Request
from .types import Network, TextEmbedding
from .unet import UNet, gflop


class Timed:
    """A network that keeps count of the seconds and rows it was called for."""

    def __init__(self, network: Network) -> None:
        self.network, self.seconds, self.rows = network, 0.0, 0

    def prepare(self, text: TextEmbedding) -> Any:
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
        self.rows += len(z)
        with self._clock():
            return self.network(z, log_snr, context, low_res, aug_level)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


def bench(request: Request, cascade: Cascade) -> dict[str, Any]:
    """Run ``request`` once to warm up and once for the figures; imports and loading are not counted.

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
        "network_share": round(sum(timed[r.stage].seconds for r in results) / sum(r.seconds for r in results), 3),
        "matmul_gflop_per_s": round(matmul, 1),
        "peak_memory_mb": _peak_memory_mb(),
        "threads": torch.get_num_threads(),
        "stages": figures,
    }


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
    """The process's largest memory so far; None on Windows, which does not keep it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
