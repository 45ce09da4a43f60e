"""Record runs for the player: one request under several threshold rules from the same noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..models.cascade import Cascade
from ..records import recording
from ..records.frames import Frame
from ..records.packing import QUICK, SMALL
from ..records.shipped import SHIPPED
from ..run.generate import compare
from ..settings import SIDE_BY_SIDE, Request
from ..types import StepRecord


def record(
    request: Request, cascade: Cascade, rules: Sequence[str] = SIDE_BY_SIDE, *, title: str = "", effort: int = QUICK
) -> recording.Recording:
    """Run the base stage of a request under each rule and record every step; ``effort`` is zlib's level."""
    requests = recording.under(request, rules)
    frames: dict[str, list[Frame]] = {rule: [] for rule in rules}
    for row in compare(list(requests.values()), cascade):
        for rule, event in zip(rules, row):
            if isinstance(event, StepRecord):
                frames[rule].append(Frame.of(event))
    return recording.make(requests, frames, weights=cascade.digest, title=title, effort=effort)


def record_shipped(cascade: Cascade, folder: Path) -> Iterator[Path]:
    """Record every run of SHIPPED again into ``folder``; yields each file once it is written."""
    for name, (title, request) in SHIPPED.items():
        path = folder / f"{name}.npz"
        recording.save(record(request, cascade, title=title, effort=SMALL), path)
        yield path
