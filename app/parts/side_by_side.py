"""A base run under several rules at once, as a visitor watches it: its steps, its pictures, and a Stop at any time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from imagen_core.models.cascade import Cascade
from imagen_core.records import recording
from imagen_core.records.frames import Frame
from imagen_core.run.experiments import compare
from imagen_core.settings import SIDE_BY_SIDE, Request, StageConfig
from imagen_core.settings.text import to_short_query
from imagen_core.types import StageResult, StepRecord

from ..handlers import FRAME_SECONDS, folder
from ..serving import memory, session
from ..serving.model import Model
from ..serving.pace import about
from . import player, report


@dataclass(eq=False)
class Run:
    """A visitor's latest base run: the request of each rule, its steps so far, and at the end its pictures.

    ``images`` are each rule's pictures [b, 3, s, s] for people, ``onward`` the same for the next stage. ``file`` is
    its recording, kept for an hour.
    """

    request: Request
    weights: str
    model: str
    defaults: Mapping[int, StageConfig]
    requests: dict[str, Request]
    frames: dict[str, list[Frame]] | None = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    onward: dict[str, Any] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))
    file: Path | None = None
    stopped: bool = False
    delivered: bool = False

    @property
    def picked(self) -> str:
        """The rule whose picture is kept."""
        return self.request.stages[0].threshold

    def recorded(self) -> tuple[str, Path]:
        """The steps so far: (the player's value, the report's file)."""
        steps = recording.make(self.requests, self.frames or {}, weights=self.weights)
        place = folder()
        self.file = place / "run.npz"
        recording.save(steps, self.file)
        path = report.save(steps, place, self.model, self.defaults)
        link = to_short_query(self.request)
        return player.recorded(steps, run_id=self.run_id, picked=self.picked, link=link), path

    def deliver(self) -> None:
        """Note that the page has the whole run: a Stop then changes nothing, and only few steps are kept."""
        self.delivered, self.frames = True, session.kept(self.frames or {})
        if self.frames:
            memory.SHELF.put(self.frames)


def forget(run: Run | None) -> None:
    """Let go of the steps of a run that the page has; the session's list of runs holds the same ones."""
    if run is not None and run.delivered and run.frames:
        run.frames.clear()


def begin(request: Request, cascade: Cascade, model: str) -> Run:
    """A base run that has not taken a step yet."""
    requests = requests_of(request)
    return Run(
        request=request,
        weights=cascade.digest,
        model=model,
        defaults=cascade.defaults,
        requests=requests,
        frames={rule: [] for rule in requests},
    )


def requests_of(request: Request) -> dict[str, Request]:
    """The base run under the paper's rules, and under the chosen one where that is another."""
    return recording.under(request, tuple(dict.fromkeys((*SIDE_BY_SIDE, request.stages[0].threshold))))


def watch(run: Run, model: Model, cascade: Cascade) -> Iterator[str]:
    """Take the run's steps in lockstep; yields the player's value with the first, then at most eight a second.

    Ends early where the run was stopped.
    """
    frames = run.frames or {}
    last_update = 0.0
    work = partial(compare, list(run.requests.values()))
    for row in model.in_turn(work, cascade, *run.requests.values()):
        for rule, event in zip(run.requests, row):
            if isinstance(event, StageResult):
                run.images[rule], run.onward[rule] = event.image, event.unmarked
            else:
                frames[rule].append(Frame.of(event))
        if run.stopped:
            return
        now = time.monotonic()
        if isinstance(row[0], StepRecord) and now - last_update > FRAME_SECONDS:
            last_update, done = now, row[0].index + 1
            left = f"{about(model.pace.seconds(list(run.requests.values()), taken=done))} left"
            yield player.live(run.requests, frames, note=left, run_id=run.run_id, picked=run.picked)
