"""How long a run will take, from the steps that this server has timed."""

from __future__ import annotations

from collections.abc import Sequence

from imagen_core.run.generate import path_of, rows_of
from imagen_core.settings import Request, StageConfig
from imagen_core.types import StepRecord

# How much a new step counts against what was known: a busy machine shows within a few steps.
WEIGHT = 0.3


class Pace:
    """Seconds a network row of each stage takes, learnt from steps as they are timed."""

    def __init__(self) -> None:
        self._row_seconds: dict[str, float] = {}

    def note(self, record: StepRecord, seconds: float, requests: Sequence[Request]) -> None:
        """Learn from one step that ``requests`` took together, in lockstep."""
        configs = [stage for request in requests for stage in request.stages if stage.name == record.stage]
        rows = sum(_rows(stage)[record.index] for stage in configs) * requests[0].count if configs else 0
        known = self._row_seconds.get(record.stage)
        if rows and (known is None or record.index > 0):
            # A stage's first step also encodes text and warms up, so it only stands in until the second.
            first = known is None or record.index == 1
            new = seconds / rows
            self._row_seconds[record.stage] = new if first or known is None else known + WEIGHT * (new - known)

    def seconds(self, requests: Sequence[Request], *, above: int = 0) -> float | None:
        """Seconds that the stages larger than ``above`` take in all; None where one was never timed."""
        stages = [(stage, request.count) for request in requests for stage in request.stages if stage.size > above]
        if any(stage.name not in self._row_seconds for stage, _ in stages):
            return None
        return sum(self._row_seconds[stage.name] * sum(_rows(stage)) * count for stage, count in stages)


def _rows(stage: StageConfig) -> list[int]:
    """Rows through the network at each step; an estimate need not know which schedule the network was trained with."""
    return rows_of(stage, path_of("cosine", stage))


def about(seconds: float | None) -> str:
    """An estimate in words that claim no more than it knows."""
    if seconds is None:
        return "time not known yet"
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min"
