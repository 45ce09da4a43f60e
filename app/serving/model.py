"""The model behind the page: loaded once, in the background, so that the server answers at once."""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from imagen_core.models.cascade import Cascade, Loading
from imagen_core.models.opening import defaults_of, load_cascade, locate, sizes_of, unbroken, world_of
from imagen_core.run.experiments import Work
from imagen_core.run.generate import generate
from imagen_core.settings import DEFAULT_SIZES, Request, StageConfig, request
from imagen_core.types import StepRecord, UserError
from imagen_core.worlds.world import World

from .memory import giving_back
from .pace import Pace
from .zero import ON_ZERO, Card, timed

# The pace of a model that needs longer than this for a few steps is learnt from its first run instead.
MEASURE_SECONDS = 4.0
# How long the end of the process waits for a thread that loads: at most one stage's file, or one step.
EXIT_SECONDS = 5.0
# How far the thread that computes steps back behind those that answer visitors, as for nice(1); our choice.
NICE = 5


def step_back() -> None:
    """Let other threads go before this one and those that it starts, where the system (Linux) can tell them apart."""
    if sys.platform.startswith("linux"):
        here = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, here, min(os.getpriority(os.PRIO_PROCESS, here) + NICE, 19))


class Model:
    """A cascade that loads itself in a thread; whoever needs it waits for it."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._leaving = threading.Event()
        # One thread for all runs: each thread that computes keeps helpers of its own.
        self._engine = ThreadPoolExecutor(1, "engine", initializer=step_back)
        self._take(name)

    @property
    def label(self) -> str:
        """The model's name without owner or folders; a cascade of several goes by its first."""
        return re.sub(r"[^\w.-]+", " ", self.name.partition(",")[0].rstrip("/").rpartition("/")[2])[:40] or "model"

    @property
    def slug(self) -> str:
        """The label as the last part of an address."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-") or "model"

    def use(self, name: str, loading: Loading | None = None) -> None:
        """Take another model; it is loaded when :meth:`start` or :meth:`get` is first called.

        Raises:
            UserError: there is no such model.
        """
        locate(name)
        self._take(name, loading)

    def _take(self, name: str, loading: Loading | None = None) -> None:
        self.name, self._loading = name, loading
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()
        self._cascade: Cascade | None = None
        self._error: Exception | None = None
        self.pace = Pace()
        self._card = Card(self.get, self.pace)

    def start(self) -> None:
        """Begin to load, unless that was done before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._load, name="model", daemon=True)
                self._thread.start()
                atexit.register(self._leave, self._thread)

    def _leave(self, thread: threading.Thread) -> None:
        """A thread that is still inside torch when the interpreter goes would abort the process."""
        self._leaving.set()
        thread.join(EXIT_SECONDS)

    def _load(self) -> None:
        try:
            cascade = load_cascade(self.name, self._loading)
            if not self._leaving.is_set():
                cascade.encode.warm_up()
            self._cascade = cascade
        except Exception as error:
            self._error = error
        finally:
            self._tried.set()
        # A large model would keep its first visitor waiting for this.
        if self._cascade is not None and self._cascade.folder is not None:
            self._measure(self._cascade)

    def _measure(self, cascade: Cascade) -> None:
        """Run two steps of each stage to warm up and to estimate the first run's time."""
        small = request("a red ball", size=cascade.sizes[-1], defaults=cascade.defaults)
        warm_up = replace(small, stages=tuple(replace(stage, steps=2) for stage in small.stages))
        began = time.monotonic()
        for _ in self.in_turn(partial(generate, warm_up), cascade, warm_up):
            if self._leaving.is_set() or time.monotonic() - began > MEASURE_SECONDS:
                return

    def in_turn(self, work: Work, cascade: Cascade, *requests: Request) -> Iterator[Any]:
        """The events of ``work``, each computed while no other run computes; ``requests`` are what it runs.

        The queue already lets one run in at a time, but forgets a cancelled one before its last step has ended.
        """
        # This project's cascades are small and compute on the processor wherever they are.
        far = ON_ZERO and cascade.folder is None
        trained = {stage.spec.name: stage.spec.schedule for stage in cascade.stages}
        drawn = closing(self._card.run(work, *requests) if far else timed(work(cascade)))
        with drawn as events, giving_back():
            while True:
                with self._busy:
                    try:
                        step = self._engine.submit(next, events, (None, 0.0))
                    except RuntimeError:
                        # The process ends.
                        return
                    event, seconds = step.result()
                if event is None:
                    return
                first = event[0] if isinstance(event, tuple) else event
                if isinstance(first, StepRecord):
                    self.pace.note(first, seconds, requests, trained[first.stage])
                yield event

    @property
    def ready(self) -> bool:
        return self._cascade is not None

    @property
    def defaults(self) -> Mapping[int, StageConfig]:
        """The settings that suit the model, by size, known before it is loaded; UserError as for :meth:`get`."""
        return self._cascade.defaults if self._cascade is not None else defaults_of(self.name)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the pictures that the model makes, known before it is loaded; the shipped ones if it fails."""
        try:
            if self._cascade is not None:
                return unbroken(self._cascade.defaults, self._cascade.sizes) or self._cascade.sizes
            return sizes_of(self.name)
        except UserError:
            return DEFAULT_SIZES

    @property
    def world(self) -> World | None:
        """The world that the model was trained on, known before it is loaded; None where it has none."""
        if self._cascade is not None:
            return self._cascade.world
        try:
            return world_of(self.name)
        except UserError:
            return None

    def get(self) -> Cascade:
        """The cascade, once it is there.

        Raises:
            UserError: it could not be loaded; one line says why.
        """
        self.start()
        self._tried.wait()
        if self._cascade is None:
            if isinstance(self._error, UserError):
                raise self._error
            raise UserError(f"model: {self.name} could not be loaded ({type(self._error).__name__})")
        return self._cascade
