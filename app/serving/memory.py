"""What a crowd leaves in the server's memory: its sessions, the steps of its runs, and blocks that were freed."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from gradio.components import State
from gradio.state_holder import SessionState, StateHolder

if TYPE_CHECKING:
    from imagen_core.records.frames import Frame

# The steps of an ordinary run take 11 MB, so these are the last 18 runs of all visitors; our choice.
MOST_BYTES = 200_000_000
# Who has closed the window and sent nothing for this long is forgotten; our choice.
AWAY = timedelta(minutes=10)
# Visitors that the server knows; a program's session takes 20 kB and never says that it ends. Our choice.
MOST_SESSIONS = 1000
# mallopt(3)'s parameter for the number of arenas, by its number in malloc.h.
M_ARENA_MAX = -8


def share_freed_memory() -> bool:
    """Tell glibc that all threads allocate from one place; False where there is no glibc.

    A run's steps are computed in whichever thread is free. With an arena of its own, each of them would keep the memory
    of the largest step that it ever computed.
    """
    return bool(_glibc("mallopt", M_ARENA_MAX, 1))


def give_back() -> bool:
    """Return freed memory to the system, which takes 2 to 40 ms after a run; whether there was any.

    glibc keeps what lies between blocks in use: after a run to 1024 that is 300 MB.
    """
    return bool(_glibc("malloc_trim", 0))


@contextmanager
def giving_back() -> Iterator[None]:
    """Do so when a block ends, however it ends."""
    try:
        yield
    finally:
        give_back()


def _glibc(name: str, *arguments: int) -> int:
    """What a function of glibc returns; 0 where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return int(getattr(ctypes.CDLL("libc.so.6"), name)(*arguments))
    except (OSError, AttributeError):
        return 0


class Shelf:
    """The steps of finished runs of all visitors: beyond ``most_bytes`` the oldest are forgotten."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._runs: list[dict[str, list[Frame]]] = []

    def put(self, frames: dict[str, list[Frame]]) -> None:
        """Keep a run's steps by rule; those that must go are emptied, wherever else they are known."""
        with self._lock:
            # Emptied by their visitor's own next run, or by time.
            self._runs = [run for run in (*self._runs, frames) if run]
            while self.nbytes > self._most:
                self._runs.pop(0).clear()

    @property
    def nbytes(self) -> int:
        """Size of all kept steps in bytes."""
        return sum(frame.nbytes for run in self._runs for track in list(run.values()) for frame in track)


SHELF = Shelf()


class Session(SessionState):
    """A visitor's state, without the copy of all values that gradio keeps for links that this page does not offer.

    The copy takes 0.3 MB and a fifth of what a new visitor costs (docs/LOG.md), and more with each value of an event.
    """

    def __init__(self, blocks: Any) -> None:
        # The copy is of these blocks: none.
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    @property
    def config_values(self) -> dict[int, Any]:
        """Nothing, and what is written here is not kept."""
        return {}

    @config_values.setter
    def config_values(self, values: dict[int, Any]) -> None: ...

    def __setitem__(self, key: int, value: Any) -> None:
        if isinstance(self.blocks_config.blocks.get(key), State):
            super().__setitem__(key, value)
        else:
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None: ...

    def _update_value_in_config(self, key: int, value: Any) -> None: ...


class Sessions(StateHolder):
    """Gradio's visitors, each with a :class:`Session`."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)


def departed(sessions: Any, now: datetime) -> Sequence[str]:
    """The visitors of gradio's ``StateHolder`` who closed the window and have sent nothing since ``now`` − AWAY."""
    known, used = sessions.session_data, sessions.time_last_used
    return [name for name, session in list(known.items()) if session.is_closed and now - used.get(name, now) > AWAY]
