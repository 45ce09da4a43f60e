"""The model behind the page: loaded once, in the background, so that the server answers at once."""

from __future__ import annotations

import threading

from imagen_core.checkpoints import Cascade, load_cascade, locate
from imagen_core.types import UserError


class Model:
    """A cascade that loads itself in a thread; whoever needs it waits for it."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self.use(name)

    def use(self, name: str) -> None:
        """Take another model; it is loaded when :meth:`start` or :meth:`get` is first called.

        Raises:
            UserError: there is no such model.
        """
        self.folder = locate(name)
        self.name = name
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
            cascade = load_cascade(self.folder)
            cascade.encode.warm_up()
            self._cascade = cascade
        except Exception as error:
            self._error = error

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
