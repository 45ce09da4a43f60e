"""The limits of the page hold for programs too: over plain HTTP and over MCP, each refusal one line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from app_page import PATIENCE, call_tool

from app import api
from app.page import LAUNCH, build
from app.serving import guard, waiting
from app.serving.gate import Gate
from app.serving.model import Model
from imagen_core.types import UserError

DOORS = ("gradio_api/queue/join", "gradio_api/call/sample", "gradio_api/mcp/")
CALL = {"data": ["a red ball", 1, 64, None, None, None, None, ""]}


@pytest.fixture(scope="module")
def page(model: Model) -> Iterator[Gate]:
    """A server with MCP that takes eight requests of each address, for as long as the tests last."""
    pytest.importorskip("mcp", reason="pip install gradio[mcp]")
    model.get()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "REQUESTS", 8.0)
        patch.setattr(guard, "REQUESTS_A_SECOND", 0.0)
        demo = build(model)
        demo.launch(prevent_thread_lock=True, quiet=True, mcp_server=True, **LAUNCH)
        yield demo
    demo.close(verbose=False)


def post(page: Gate, door: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{page.local_url}{door}", timeout=PATIENCE, **options)


@pytest.mark.parametrize("door", DOORS)
def test_a_request_that_is_too_large_is_refused_at_every_door(page: Gate, door: str) -> None:
    answer = post(page, door, content=b"x" * 1_000_001)
    assert answer.status_code == 413 and answer.json()["detail"] == "The request must have at most 1 MB."


def test_an_upload_that_is_too_large_is_refused(page: Gate) -> None:
    answer = post(
        page, "gradio_api/upload", files={"files": ("x.png", b"x" * (LAUNCH["max_file_size"] + 20_000), "image/png")}
    )
    assert answer.status_code == 413 and answer.json()["detail"] == "The request must have at most 8 MB."


@pytest.mark.parametrize("door", DOORS)
def test_an_address_that_asks_too_often_is_refused_at_every_door(
    page: Gate, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a Space's proxy, which names the address. What is asked is no run: that is refused or answered at once."""
    monkeypatch.setenv("SPACE_ID", "me/lab")
    busy, other = ({"X-Forwarded-For": f"10.0.{DOORS.index(door)}.{last}"} for last in (1, 2))
    answers = [post(page, door, json={}, headers=busy) for _ in range(9)]
    assert 429 not in {answer.status_code for answer in answers[:8]} and answers[8].status_code == 429
    assert answers[8].json() == {"error": guard.TOO_MANY, "detail": guard.TOO_MANY} and "\n" not in guard.TOO_MANY
    assert post(page, door, json={}, headers=other).status_code != 429


def test_a_full_line_is_said_over_http_and_mcp(page: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def held(*_: Any) -> Iterator[Any]:
        assert go.wait(PATIENCE)
        raise UserError("seed: held")
        yield

    monkeypatch.setattr(api, "generate", held)
    monkeypatch.setattr(waiting, "MOST_WAITING", 1)
    try:
        events = []
        for number in range(2):
            events.append(post(page, "gradio_api/call/sample", json=CALL).json()["event_id"])
            wait_for(page, working=True, waits=number)
        answer = call_tool(f"{page.local_url}gradio_api/mcp/", "sample", prompt="a red ball")
        assert answer.isError and [part.text for part in answer.content] == [waiting.FULL]
        refused = post(page, "gradio_api/call/sample", json=CALL).json()["event_id"]
        assert said(page, refused) == waiting.FULL and "\n" not in waiting.FULL
    finally:
        go.set()
    assert [said(page, event) for event in events] == ["seed: held"] * 2


def wait_for(page: Gate, working: bool, waits: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while page.waiting.working != working or len(page.waiting.places()) != waits:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def said(page: Gate, event: str) -> str:
    """The error with which a call over HTTP ends."""
    answer = httpx.get(f"{page.local_url}gradio_api/call/sample/{event}", timeout=PATIENCE)
    assert "event: error" in answer.text, answer.text
    return str(json.loads(answer.text.rpartition("data: ")[2])["error"])
