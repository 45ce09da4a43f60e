"""Hugging Face's ZeroGPU, which lends a card for seconds: what needs it runs in a process forked from the server."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from typing import Any

from imagen_core.models.cascade import Cascade
from imagen_core.run.experiments import Work
from imagen_core.run.passing import packed, unpacked
from imagen_core.settings import Request
from imagen_core.types import UserError

from .pace import Pace

# How the package `spaces` reads it.
ON_ZERO = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and find_spec("spaces") is not None
# What a run asks for before a step was timed. A fresh process reads the weights first, which the pace leaves out. A run
# that outlives its time is ended, and a shorter time is lent sooner; all three are our choice.
UNKNOWN_SECONDS, LOADING_SECONDS, MARGIN = 120, 60, 1.5
Timed = Generator[tuple[Any, float], None, None]


def timed(events: Iterator[Any]) -> Timed:
    """Events, each with the seconds that computing it took; what the consumer does between two is not counted."""
    while True:
        began = time.perf_counter()
        event = next(events, None)
        if event is None:
            return
        yield event, time.perf_counter() - began


class Card:
    """A cascade whose runs compute where ZeroGPU lends a card; without it, in this process.

    ``cascade`` is called in the process with the card, which has what the server had when it was forked.
    """

    def __init__(self, cascade: Callable[[], Cascade], pace: Pace) -> None:
        self._cascade, self._pace = cascade, pace
        self._lent: Callable[..., Timed] = self._compute
        if find_spec("spaces") is not None:
            import spaces

            # Outside of ZeroGPU this is the function itself.
            self._lent = spaces.GPU(self._compute, duration=self._seconds)

    def run(self, work: Work, *requests: Request) -> Timed:
        """The timed events of ``work``; closing ends it after the step at hand.

        Raises:
            UserError: as ``work`` raises it.
        """
        for event, seconds in self._lent(work, requests):
            if isinstance(event, UserError):
                raise event
            yield unpacked(event), seconds

    def _compute(self, work: Work, requests: tuple[Request, ...]) -> Timed:
        # An error that is raised there would arrive as its type's name alone.
        try:
            for event, seconds in timed(work(self._cascade())):
                yield packed(event), seconds
        except UserError as error:
            yield error, 0.0

    def _seconds(self, work: Work, requests: tuple[Request, ...]) -> int:
        """How long the card is asked for, from the pace of runs before."""
        image = work.keywords.get("image")
        known = self._pace.seconds(requests, above=0 if image is None else image.shape[-1])
        return UNKNOWN_SECONDS if known is None else LOADING_SECONDS + math.ceil(MARGIN * known)
