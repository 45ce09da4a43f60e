"""How long a run will take, from the steps that this server has timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from imagen_core.settings import Plan, Request
from imagen_core.types import StepRecord

# A row's seconds are the median of the last like steps, so one step beside a busy process changes nothing; our choice.
LIKE_STEPS = 9


class Pace:
    """Seconds a network row of each stage takes, learnt from steps as they are timed."""

    def __init__(self) -> None:
        self._timed: dict[str, _Timed] = {}

    def note(self, record: StepRecord, seconds: float, requests: Sequence[Request], trained: str) -> None:
        """Learn from one step that ``requests`` took in lockstep, in a stage whose schedule is ``trained``."""
        plans = [Plan(stage, trained) for request in requests for stage in request.stages if stage.name == record.stage]
        rows = sum(plan.rows[record.index] for plan in plans) * requests[0].count if plans else 0
        known = self._timed.get(record.stage)
        if rows and (known is None or record.index > 0):
            # A stage's first step also encodes text and warms up, so it only stands in until the second.
            before = () if known is None or known.warming else known.last[1 - LIKE_STEPS :]
            self._timed[record.stage] = _Timed(trained, (*before, seconds / rows), warming=record.index == 0)

    def seconds(self, requests: Sequence[Request], *, above: int = 0, taken: int = 0) -> float | None:
        """Seconds that the stages larger than ``above`` take in all; None where one was never timed.

        Of each stage's steps the first ``taken`` are done.
        """
        stages = [(stage, request.count) for request in requests for stage in request.stages if stage.size > above]
        if any(stage.name not in self._timed for stage, _ in stages):
            return None
        timed = [(stage, count, self._timed[stage.name]) for stage, count in stages]
        return sum(t.row_seconds * sum(Plan(stage, t.trained).rows[taken:]) * count for stage, count, t in timed)


@dataclass(frozen=True)
class _Timed:
    """A stage that was timed: the schedule it was trained with, and the seconds of a network row in its last steps."""

    trained: str
    last: tuple[float, ...]
    warming: bool

    @property
    def row_seconds(self) -> float:
        return median(self.last)


def about(seconds: float | None) -> str:
    """Seconds as rounded words, such as "about 40 s"."""
    if seconds is None:
        return "time not known yet"
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min"
