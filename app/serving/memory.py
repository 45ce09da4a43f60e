"""What a crowd leaves in the server's memory: the steps of its runs, visitors who left, and blocks that were freed."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

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
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 1))
    except (OSError, AttributeError):
        return False


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


def departed(sessions: Any, now: datetime) -> Sequence[str]:
    """The visitors of gradio's ``StateHolder`` who closed the window and have sent nothing since ``now`` − AWAY."""
    known, used = sessions.session_data, sessions.time_last_used
    return [name for name, session in list(known.items()) if session.is_closed and now - used.get(name, now) > AWAY]
