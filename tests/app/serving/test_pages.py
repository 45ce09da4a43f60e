"""Pages that are sent again: what is kept, for whom, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from app_page import run_apart

from app.serving.pages import MOST_PAGES, Pages

HTML = (b"content-type", b"text/html; charset=utf-8")


class Built:
    """An app that counts how often it builds a page, and says whose."""

    def __init__(self, status: int = 200, kind: tuple[bytes, bytes] = HTML) -> None:
        self.count, self.status, self.kind = 0, status, kind

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += 1
        await send({"type": "http.response.start", "status": self.status, "headers": [self.kind]})
        await send({"type": "http.response.body", "body": dict(scope["headers"]).get(b"host", b"")})


def ask(pages: Pages, *, host: str = "a", query: str = "", method: str = "GET", accept: str = "text/html") -> list[Any]:
    """The messages with which one request is answered."""
    sent: list[Any] = []
    headers = [(b"host", host.encode()), (b"accept", accept.encode())]
    scope = {"type": "http", "method": method, "path": "/", "query_string": query.encode(), "headers": headers}

    async def send(message: Any) -> None:
        # A server may write into what it sends.
        sent.append({**message})
        message.clear()

    run_apart(pages(scope, None, send))  # type: ignore[arg-type]
    return sent


def test_a_page_is_built_once_for_each_address() -> None:
    built = Built()
    pages = Pages(built)
    first = ask(pages)
    assert ask(pages) == ask(pages, query="prompt=a+red+ball") == first and built.count == 1
    assert ask(pages, host="b")[1]["body"] == b"b" and built.count == 2
    assert ask(pages)[1]["body"] == b"a" and built.count == 2


@pytest.mark.parametrize(
    "other", [{"query": "deep_link=x"}, {"query": "all_endpoints=1"}, {"method": "POST"}, {"accept": "image/png"}]
)
def test_what_is_not_a_plain_page_is_built_each_time(other: dict[str, str]) -> None:
    built = Built()
    pages = Pages(built)
    for _ in range(2):
        ask(pages, **other)
    assert built.count == 2 and not pages.kept


@pytest.mark.parametrize("built", [Built(status=500), Built(kind=(b"content-type", b"application/json"))])
def test_an_error_and_data_are_not_kept(built: Built) -> None:
    pages = Pages(built)
    ask(pages), ask(pages)
    assert built.count == 2 and not pages.kept


def test_invented_hosts_fill_no_memory() -> None:
    pages = Pages(Built())
    for number in range(3 * MOST_PAGES):
        ask(pages, host=f"host-{number}")
        ask(pages, host="often")
    assert len(pages.kept) == MOST_PAGES
    count = pages.app.count
    ask(pages, host="often")
    assert pages.app.count == count
