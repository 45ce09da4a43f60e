"""What every answer of the server carries for safety, and how much one address may ask of it; MCP's callers too."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# No event sends more than its controls' values, some kilobytes; our choice.
MOST_BYTES = 1_000_000
# Requests that change something. A page at work sends about one a second, and one address may be a whole school.
REQUESTS, REQUESTS_A_SECOND = 2000.0, 100.0
# Bytes sent to the server: a class drops a hundred pictures of 2 MB at once; our choice.
BYTES, BYTES_A_SECOND = 256e6, 1e6
MOST_ADDRESSES = 10_000
# The machine itself, as behind a proxy that names no address: it shares one allowance with nobody.
LOOPBACK = ("127.0.0.1", "::1")
TOO_MANY = "This address sends too much. Wait a minute and try again."

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
# Gradio makes functions of text (its js=… and js_on_load) and writes style attributes. A Space is shown in a frame.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
)
# A file that a visitor sent or made runs nothing, should it be opened in a window.
FILE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


@dataclass
class Allowance:
    """What each address may take: ``most`` at once, refilled by ``per_second``."""

    most: float
    per_second: float
    left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, who: str, amount: float, now: float) -> bool:
        """Take an amount, if there is as much left at the time ``now`` in seconds."""
        if len(self.left) > MOST_ADDRESSES:
            self.left = {w: state for w, state in self.left.items() if self._at(state, now) < self.most}
        level = self._at(self.left.get(who, (self.most, now)), now)
        enough = level >= amount
        self.left[who] = (level - amount if enough else level, now)
        return enough

    def _at(self, state: tuple[float, float], now: float) -> float:
        level, then = state
        return min(self.most, level + (now - then) * self.per_second)


class Guard:
    """ASGI middleware around ``app``.

    ``scripts`` are the texts of the page's own inline scripts that gradio adds in the browser. ``most_upload`` is the
    largest upload in bytes.
    """

    def __init__(self, app: Any, *, scripts: Sequence[str], most_upload: int) -> None:
        self.app, self.most_upload = app, most_upload
        self.scripts = [_digest(script.encode()) for script in scripts]
        self.requests, self.bytes = Allowance(REQUESTS, REQUESTS_A_SECOND), Allowance(BYTES, BYTES_A_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD", "OPTIONS") and (refusal := self.refusal(scope, time.monotonic())):
            await _refuse(send, *refusal)
        else:
            try:
                await self.app(scope, receive, _Answer(send, self.scripts, "/file=" in scope["path"]))
            except OSError as error:
                if not _is_upload(scope):
                    raise
                # Nothing is answered before the file is kept.
                await _refuse(send, 507, f"disk: the server cannot keep this file ({error.strerror})")

    def refusal(self, scope: Scope, now: float) -> tuple[int, str] | None:
        """The status and the line with which a request is refused; None where it may pass."""
        length = _header(scope, b"content-length")
        if not length.isdigit() and _header(scope, b"transfer-encoding"):
            return 411, "The length of the request must be given."
        size = int(length or 0)
        # An upload's form takes some bytes more than its file.
        most = self.most_upload + 10_000 if _is_upload(scope) else MOST_BYTES
        if size > most:
            return 413, f"The request must have at most {most // 1_000_000} MB."
        who = address(scope)
        if who in LOOPBACK:
            return None
        return None if self.requests.take(who, 1, now) and self.bytes.take(who, size, now) else (429, TOO_MANY)


@dataclass
class _Answer:
    """Adds the headers to one answer; a page's is held until its scripts are known."""

    send: Send
    scripts: Sequence[str]
    file: bool
    start: Message | None = None
    body: bytes = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS]
            if self.file:
                message["headers"].append((b"content-security-policy", FILE_POLICY.encode()))
            elif any(name == b"content-type" and b"text/html" in value for name, value in message["headers"]):
                self.start = message
                return
        elif self.start is not None:
            self.body += message.get("body", b"")
            if message.get("more_body"):
                return
            digests = [*self.scripts, *(_digest(script) for script in INLINE.findall(self.body))]
            policy = POLICY.format(scripts=" ".join(dict.fromkeys(digests)))
            self.start["headers"].append((b"content-security-policy", policy.encode()))
            await self.send(self.start)
            message, self.start = {"type": "http.response.body", "body": self.body}, None
        await self.send(message)


def address(scope: Scope) -> str:
    """Whose request it is. On a Space the proxy before it says so, in the last entry of X-Forwarded-For."""
    through = _header(scope, b"x-forwarded-for").rpartition(",")[2].strip()
    return through if through and "SPACE_ID" in os.environ else (scope.get("client") or ("",))[0]


def _is_upload(scope: Scope) -> bool:
    return scope["path"].rstrip("/").endswith("/upload")


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _digest(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


async def _refuse(send: Send, status: int, line: str) -> None:
    # Gradio's page reads "error" of an event's answer and "detail" of others.
    body = orjson.dumps({"error": line, "detail": line})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
