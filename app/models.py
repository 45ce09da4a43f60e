"""The model behind the page: loaded once, in the background, so that the server answers at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TypeVar

from imagen_core.checkpoints import load_cascade, locate
from imagen_core.models import Cascade, Loading
from imagen_core.types import UserError

T = TypeVar("T")


class Model:
    """A cascade that loads itself in a thread; whoever needs it waits for it."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._take(name)

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
        self._cascade: Cascade | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin to load, unless that was done before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._load, name="model", daemon=True)
                self._thread.start()

    def _load(self) -> None:
        try:
            cascade = load_cascade(self.name, self._loading)
            cascade.encode.warm_up()
            self._cascade = cascade
        except Exception as error:
            self._error = error

    def in_turn(self, events: Iterator[T]) -> Iterator[T]:
        """A run's events, each computed while no other run computes.

        The queue already lets one run in at a time, but forgets a cancelled one before its last step has ended.
        """
        while True:
            with self._busy:
                event = next(events, None)
            if event is None:
                return
            yield event

    @property
    def ready(self) -> bool:
        return self._cascade is not None

    def get(self) -> Cascade:
        """The cascade, once it is there.

        Raises:
            UserError: it could not be loaded; one line says why.
        """
        self.start()
        assert self._thread is not None
        self._thread.join()
        if self._cascade is None:
            if isinstance(self._error, UserError):
                raise self._error
            raise UserError(f"model: {self.name} could not be loaded ({type(self._error).__name__})")
        return self._cascade
