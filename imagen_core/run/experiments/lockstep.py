"""Runs in lockstep, and how a run is drained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ...models.cascade import Cascade
from ...settings import Request
from ...types import Event, Image, UserError
from ..generate import generate

# What is to be run of a cascade: ``generate`` or ``compare`` with all else they need. It can be sent to a process.
Work = partial[Iterator[Any]]
# ``turn(work, cascade, *requests)`` yields the events of those requests. The page's own (Model.in_turn) lets one run
# compute at a time.
Turn = Callable[..., Iterator[Any]]


def at_once(work: Work, cascade: Cascade, *requests: Request) -> Iterator[Any]:
    """The Turn of a single user: events pass straight through."""
    return work(cascade)


def compare(
    requests: Sequence[Request], cascade: Cascade, *, image: Image | None = None
) -> Iterator[tuple[Event, ...]]:
    """Several requests in lockstep, one event of each at a time, all from ``image`` where it is given.

    The same request with another threshold, or another guidance weight, starts from the same noise: what then
    differs is the rule alone.

    Raises:
        UserError: there are no requests, or they do not have the same stages and steps.
    """
    if not requests:
        raise UserError("runs: there must be one at least to compare")
    shapes = {tuple((stage.size, stage.steps) for stage in request.stages) for request in requests}
    if len(shapes) != 1:
        raise UserError("steps: runs that are compared side by side must have the same stages and steps")
    return zip(*(generate(request, cascade, image=image) for request in requests))
