"""Pages that were built before are sent again: gradio copies the whole layout for each visitor, in 20 ms of Python."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from .guard import Message, Receive, Scope, Send

# Addresses under which a server is known, times its pages. Who makes up names of hosts fills no memory; our choice.
MOST_PAGES = 16
# What gradio's page depends on beside its path: they make up its own address.
ADDRESS = (b"host", b"x-forwarded-host", b"x-forwarded-proto")
# Parts of a query with which gradio builds another page. All else is read by the browser, or by the page's events.
BUILDS = (b"deep_link", b"all_endpoints")
Key = tuple[Any, ...]


class Pages:
    """ASGI middleware around ``app`` that keeps its last MOST_PAGES pages, with their headers."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.kept: OrderedDict[Key, list[Message]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key = key_of(scope)
        if key is None:
            await self.app(scope, receive, send)
        elif known := self.kept.get(key):
            self.kept.move_to_end(key)
            for message in known:
                await send({**message})
        else:
            answer = _Answer(send)
            await self.app(scope, receive, answer)
            if answer.is_page:
                self.kept[key] = answer.messages
                while len(self.kept) > MOST_PAGES:
                    self.kept.popitem(last=False)


def key_of(scope: Scope) -> Key | None:
    """What two requests for one page have in common; None for a request of another kind."""
    if scope["type"] != "http" or scope["method"] != "GET" or any(name in scope["query_string"] for name in BUILDS):
        return None
    headers = dict(scope["headers"])
    # Only a browser that opens a page asks for HTML first.
    if not headers.get(b"accept", b"*/*").startswith((b"text/html", b"*/*")):
        return None
    return (scope["path"], scope.get("root_path"), scope.get("scheme"), *(headers.get(name) for name in ADDRESS))


@dataclass
class _Answer:
    """Passes an answer on, and keeps it while it may be a page that is sent in one piece."""

    send: Send
    messages: list[Message] = field(default_factory=list)
    is_page: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            html = any(n == b"content-type" and v.startswith(b"text/html") for n, v in message["headers"])
            self.is_page = html and message["status"] == 200
        elif message.get("more_body"):
            self.is_page = False
        if self.is_page:
            self.messages.append({**message})
        await self.send(message)
