"""Runs that wait for the engine: one a visitor, in their order, each told its place; and the end of the server."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage, ProgressMessage, ProgressUnit
from gradio.utils import error_payload, run_coro_in_background

from imagen_core.types import UserError

from ..handlers import ENGINE, refuse
from .memory import departed
from .pace import about

# A waiting run takes some kilobytes. A class of a hundred waits with one each; our choice.
MOST_WAITING = 200
# The seconds of a kind of run are the median of its last ones; our choice.
LIKE_RUNS = 9
# How often visitors who left are looked for; our choice.
SWEEP_SECONDS = 30.0
# From here on it is worth to look at something else meanwhile; our choice.
LONG_SECONDS = 10.0
ENOUGH = "queue: you already have a run waiting here. It starts by itself; press Stop to leave the queue."
FULL = f"queue: {MOST_WAITING} runs are waiting, and no more can. Try again in some minutes."
ENDING = "queue: this server is about to stop. Your run was not started; press the button again in a minute."


@dataclass(frozen=True)
class Place:
    """How many people a run waits for, the one at work included, and for how many seconds; None where not known."""

    before: int
    seconds: float | None

    @property
    def people(self) -> str:
        """What follows the number of people in a sentence."""
        people = "person" if self.before == 1 else "people"
        long = self.seconds is None or self.seconds >= LONG_SECONDS
        meanwhile = "; watch a recorded run meanwhile" if long else ""
        return f"{people} before you, {about(self.seconds)}{meanwhile}"

    @property
    def words(self) -> str:
        """The place as a sentence, such as "2 people before you, about 40 s; watch a recorded run meanwhile"."""
        return f"{self.before} {self.people}"


def places(at_work: Sequence[tuple[float | None, float]], waiting: Sequence[float | None]) -> list[Place]:
    """The place of each waiting run, first to last.

    ``at_work`` holds (usual seconds, seconds since the start) of each run at work, ``waiting`` the usual seconds of
    each run that waits. None is a kind of run that was never seen to end.
    """
    before = len(at_work)
    seconds: float | None = 0.0
    for usual, since in at_work:
        seconds = None if usual is None or seconds is None else seconds + max(0.0, usual - max(0.0, since))
    found = []
    for usual in waiting:
        found.append(Place(before, seconds))
        before += 1
        seconds = None if usual is None or seconds is None else seconds + usual
    return found


class Usual:
    """How long one kind of run usually takes: the median of the last ones. Gradio's own estimates read it too."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=LIKE_RUNS)

    def add(self, seconds: float) -> None:
        """Note a run that has ended by itself."""
        # Gradio reads the wall clock, which may have been set back meanwhile.
        self._last.append(max(0.0, seconds))

    @property
    def avg_time(self) -> float:
        """The median in seconds, under the name that gradio reads."""
        return median(self._last) if self._last else 0.0


class Waiting(Queue):
    """Gradio's queue, in which each visitor has one waiting run of the engine and is told its place in words.

    Events that do not need the engine pass at once, however many runs wait.
    """

    process_time_per_fn: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.process_time_per_fn = defaultdict(Usual)
        self._ending = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def compute_analytics_summary(self, records: Any) -> Any:
        """Nothing: gradio would group the last ten thousand events by name after each of them, for nobody."""
        return self.cached_event_analytics_summary

    def start(self) -> None:
        """Begin to work; called in the server's event loop."""
        self._ending, self._loop = False, asyncio.get_running_loop()
        super().start()
        run_coro_in_background(self._forget_departed)

    async def _forget_departed(self) -> None:
        """Let go of visitors who left; gradio would keep them until ten thousand have come."""
        while not self.stopped:
            await asyncio.sleep(SWEEP_SECONDS)
            sessions = self.blocks.state_holder
            for name in departed(sessions, datetime.now()):
                for known in (sessions.session_data, sessions.time_last_used, self.pending_messages_per_session,
                              self.pending_event_ids_session):  # fmt: skip
                    known.pop(name, None)

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """Let an event wait, or turn it away with one line; see ``Queue.push``."""
        answer = await super().push(body, request, username)
        event = self.event_ids_to_events.get(str(answer[1])) if answer[0] else None
        # Looked at afterwards, because pushing lets other events in between.
        if event is not None and (reason := self._reason(event)):
            await self._turn_away(event, reason)
        return answer

    @property
    def _runs(self) -> list[Event]:
        """The engine's waiting runs, first to last."""
        line = self.event_queue_per_concurrency_id.get(ENGINE["concurrency_id"])
        return line.queue if line is not None else []

    def _reason(self, event: Event) -> str | None:
        """Why this event, the newest, may not wait; None where it may."""
        if event not in self._runs:
            return None
        if self._ending:
            return ENDING
        mine = [run for run in self._runs if visitor(run) == visitor(event)]
        return ENOUGH if len(mine) > 1 else FULL if len(self._runs) > MOST_WAITING else None

    async def _turn_away(self, event: Event, reason: str) -> None:
        await self.remove_from_queue(event._id)
        message = error_payload(refuse(UserError(reason)), False)
        self.send_message(event, ProcessCompletedMessage(output=message, success=False))

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        """Tell every waiting run its place, or those from the place ``after`` on."""
        super().broadcast_estimations(concurrency_id, after)
        if concurrency_id == ENGINE["concurrency_id"]:
            for run, place in list(zip(self._runs, self.places()))[after or 0 :]:
                # The page shows a unit of progress as its number, then its words.
                unit = ProgressUnit(index=place.before, unit=place.people)
                self.send_message(run, ProgressMessage(progress_data=[unit]))

    def places(self) -> list[Place]:
        """The places of the waiting runs, first to last."""
        line, now = self.event_queue_per_concurrency_id.get(ENGINE["concurrency_id"]), time.time()
        starts = line.start_times_per_fn.items() if line is not None else ()
        at_work = [(self._usual(fn), now - start) for fn, times in starts for start in times]
        return places(at_work, [self._usual(run.fn) for run in self._runs])

    def _usual(self, fn: Any) -> float | None:
        return self.process_time_per_fn[fn].avg_time if fn in self.process_time_per_fn else None

    @property
    def working(self) -> bool:
        """Whether a run is at work or on its way out of the queue."""
        line = self.event_queue_per_concurrency_id.get(ENGINE["concurrency_id"])
        return line is not None and (line.current_concurrency > 0 or bool(line.queue))

    def drain(self) -> None:
        """Turn away every waiting run, and those that come; what is at work goes on. From any thread."""
        self._ending = True
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._turn_all_away(), self._loop)

    async def _turn_all_away(self) -> None:
        for run in list(self._runs):
            await self._turn_away(run, ENDING)


def visitor(event: Event) -> tuple[Any, ...]:
    """Who asks: a page or a program by its session. All MCP callers share one, so each of their calls counts alone."""
    through_mcp = event.request is not None and event.request.headers.get("x-gradio-user") == "mcp"
    return (event.session_hash, event._id) if through_mcp else (event.session_hash,)
