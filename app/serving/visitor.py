"""A visitor without a browser: opens the page, sets controls, presses buttons, by gradio's own protocol over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from gradio_client.utils import apply_diff

API = "/gradio_api"
# Seconds until a request without an answer is lost.
PATIENCE = 300.0


@dataclass(frozen=True)
class Layout:
    """What the page's config says: its parts by their number, and its events."""

    parts: Mapping[int, Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]

    def part(self, elem_id: str) -> int:
        """The number of the part with this ``elem_id``; KeyError where there is none."""
        for number, part in self.parts.items():
            if part["props"].get("elem_id") == elem_id:
                return number
        raise KeyError(elem_id)

    def events_of(self, elem_id: str | None, kind: str) -> list[Mapping[str, Any]]:
        """The events of a part, such as ("generate", "click"); of the whole page where ``elem_id`` is None."""
        number = None if elem_id is None else self.part(elem_id)
        return [
            event for event in self.events
            if any(k == kind and number in (None, part) for part, k in event["targets"])
        ]  # fmt: skip

    def named(self, api_name: str) -> Mapping[str, Any]:
        """The API's function of this name."""
        return next(event for event in self.events if event["api_name"] == api_name)

    def after(self, event: Mapping[str, Any], success: bool) -> list[Mapping[str, Any]]:
        """The events that follow when this one has ended."""
        return [
            other for other in self.events
            if other["trigger_after"] == event["id"] and (success or not other["trigger_only_on_success"])
        ]  # fmt: skip


def browser(address: str) -> httpx.AsyncClient:
    """The connections of one visitor; in one client for a crowd, each request would look through everybody's."""
    # The server closes a connection that was idle for five seconds; a browser would send a request of then again.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0)
    # On this machine there is no TLS, and reading its certificates takes longer than a page.
    return httpx.AsyncClient(base_url=address, limits=limits, timeout=PATIENCE, verify=False)


async def layout(http: httpx.AsyncClient) -> Layout:
    """Read the config of the page at the client's address."""
    config = (await http.get("/config")).json()
    return Layout({part["id"]: part for part in config["components"]}, config["dependencies"])


@dataclass
class Answer:
    """How an event went: its error, if any, and its times in seconds.

    ``waited`` is the time in the queue, None without one; ``said`` the last words about its place there.
    """

    error: str | None = None
    seconds: float = 0.0
    waited: float | None = None
    said: str = ""
    updates: int = 0
    data: list[Any] = field(default_factory=list)


class Visitor:
    """One session. ``values`` holds what its page shows, by the parts' numbers."""

    def __init__(self, http: httpx.AsyncClient, page: Layout) -> None:
        self.http, self.page, self.session = http, page, secrets.token_hex(8)
        self.values = {number: part["props"].get("value") for number, part in page.parts.items()}
        self._inboxes: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        # Messages that came before the event's own number did.
        self._early: dict[str, list[dict[str, Any]]] = {}
        self._running: dict[int, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ear: asyncio.Task[None] | None = None

    def set(self, elem_id: str, value: Any) -> None:
        """Set a control, without its events."""
        self.values[self.page.part(elem_id)] = value

    def shown(self, elem_id: str) -> Any:
        """What a part shows."""
        return self.values[self.page.part(elem_id)]

    async def open(self) -> list[Answer]:
        """Load the page, and all that it asks for by itself."""
        began = time.monotonic()
        await self.http.get("/")
        first = Answer(seconds=time.monotonic() - began)
        self._keep(self._hold())
        loads = [self.fire(event) for event in self.page.events_of(None, "load")]
        return [first, *await asyncio.gather(*loads)]

    async def press(self, elem_id: str, kind: str = "click", on_update: Callable[[], None] | None = None) -> Answer:
        """Fire a part's events of this kind, and those that follow; the first one's answer."""
        events = [event for event in self.page.events_of(elem_id, kind) if event["backend_fn"] or event["cancels"]]
        answers = [await self.fire(event, on_update) for event in events]
        return answers[0]

    async def fire(self, event: Mapping[str, Any], on_update: Callable[[], None] | None = None) -> Answer:
        """Fire one event, and those that follow it."""
        for number in event["cancels"]:
            if running := self._running.get(number):
                body = {"session_hash": self.session, "fn_index": number, "event_id": running}
                await self.http.post(f"{API}/cancel", json=body)
        answer = Answer()
        if event["backend_fn"]:
            began = time.monotonic()
            await (self._queued if event["queue"] else self._direct)(event, answer, on_update)
            answer.seconds = time.monotonic() - began
        for other in self.page.after(event, answer.error is None):
            await self.fire(other)
        return answer

    async def close(self) -> None:
        """Leave, as a browser's window does that is closed."""
        tasks = [*self._tasks, *([self._ear] if self._ear else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _body(self, event: Mapping[str, Any]) -> dict[str, Any]:
        # The server keeps a session's states.
        hidden = {number for number, part in self.page.parts.items() if part["type"] == "state"}
        data = [None if number in hidden else self.values[number] for number in event["inputs"]]
        return {"data": data, "fn_index": event["id"], "session_hash": self.session, "trigger_id": None}

    async def _direct(self, event: Mapping[str, Any], answer: Answer, _: Any) -> None:
        reply = await self.http.post(f"{API}/run/predict", json=self._body(event))
        told = reply.json()
        if reply.status_code == 200:
            answer.data = told["data"]
            self._take(event, told["data"])
        else:
            answer.error = str(told.get("error") or told.get("detail"))

    async def _queued(
        self, event: Mapping[str, Any], answer: Answer, on_update: Callable[[], None] | None = None
    ) -> None:
        began = time.monotonic()
        reply = await self.http.post(f"{API}/queue/join", json=self._body(event))
        if reply.status_code != 200:
            answer.error = str(reply.json().get("detail"))
            return
        event_id = reply.json()["event_id"]
        inbox = self._inboxes[event_id] = asyncio.Queue()
        self._running[event["id"]] = event_id
        early = self._early.pop(event_id, [])
        for message in early:
            inbox.put_nowait(message)
        ended = any(message["msg"] == "process_completed" for message in early)
        if not ended and (self._ear is None or self._ear.done()):
            self._ear = asyncio.create_task(self._listen())
        try:
            while (message := await inbox.get())["msg"] != "process_completed":
                self._hear(message, answer, began)
                if message["msg"] == "process_generating":
                    self._take(event, answer.data)
                    if on_update is not None:
                        on_update()
            output = message["output"]
            if message["success"]:
                # The last answer is whole; a cancelled event has none.
                answer.data = output.get("data") or answer.data
                self._take(event, answer.data)
            else:
                answer.error = str(output.get("error"))
        finally:
            self._inboxes.pop(event_id, None)
            self._running.pop(event["id"], None)

    def _hear(self, message: Mapping[str, Any], answer: Answer, began: float) -> None:
        if message["msg"] == "process_starts":
            answer.waited = time.monotonic() - began
        elif message["msg"] == "process_generating":
            self._merge(message["output"].get("data", []), answer)
        elif message["msg"] == "progress":
            answer.said = "; ".join(f"{unit['index']} {unit['unit']}" for unit in message["progress_data"])

    @staticmethod
    def _merge(data: list[Any], answer: Answer) -> None:
        """The first update is whole; each later one says what changed in each output."""
        answer.updates += 1
        whole = answer.updates == 1
        answer.data = data if whole else [apply_diff(old, diff) for old, diff in zip(answer.data, data)]

    def _take(self, event: Mapping[str, Any], data: Sequence[Any]) -> None:
        """Show what an event answered."""
        for number, value in zip(event["outputs"], data):
            if not isinstance(value, dict) or value.get("__type__") != "update":
                self.values[number] = value
            elif "value" in value:
                self.values[number] = value["value"]

    async def _listen(self) -> None:
        """Hand each message of the session to the event that it is of, as long as one waits for an answer."""
        while self._inboxes:
            try:
                async for message in self._messages():
                    self._deliver(message)
            except httpx.HTTPError as error:
                self._deliver({"msg": "unexpected_error", "message": f"{type(error).__name__}: {error}"})

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        params = {"session_hash": self.session}
        async with self.http.stream("GET", f"{API}/queue/data", params=params, timeout=None) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if message["msg"] == "close_stream":
                    return
                yield message

    def _deliver(self, message: dict[str, Any]) -> None:
        if message["msg"] == "unexpected_error":
            lost = {"msg": "process_completed", "success": False, "output": {"error": message.get("message")}}
            for waiting in list(self._inboxes):
                self._inboxes.pop(waiting).put_nowait(lost)
        elif event_id := message.get("event_id"):
            inbox = self._inboxes.get(event_id)
            if inbox is not None:
                inbox.put_nowait(message)
            else:
                self._early.setdefault(event_id, []).append(message)

    async def _hold(self) -> None:
        """The connection by which the server knows that the window is open."""
        with contextlib.suppress(httpx.HTTPError):
            async with self.http.stream("GET", f"{API}/heartbeat/{self.session}", timeout=None) as stream:
                async for _ in stream.aiter_lines():
                    pass

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
