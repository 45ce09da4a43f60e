"""Headers for safety on every answer, and what one address may ask."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from app_page import run_apart

from app.serving import guard
from app.serving.guard import Allowance, Guard, address


def test_an_allowance_is_used_up_and_refills() -> None:
    allowance = Allowance(most=2, per_second=0.5)
    assert [allowance.take("a", 1, 0.0) for _ in range(3)] == [True, True, False]
    assert allowance.take("b", 2, 0.0) and not allowance.take("a", 1, 1.0) and allowance.take("a", 1, 2.0)
    assert not allowance.take("c", 3, 99.0)


def test_addresses_that_have_all_of_theirs_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_ADDRESSES", 3)
    allowance = Allowance(most=1, per_second=1)
    for number in range(9):
        assert allowance.take(str(number), 1, 10.0 * number)
    assert len(allowance.left) <= 4


def scope(path: str = "/gradio_api/queue/join", client: str = "10.0.0.7", **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "client": (client, 5), "headers": named}


def guarded() -> Guard:
    return Guard(None, scripts=(), most_upload=8_000_000)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (scope(content_length="100"), None), (scope(), None),
        (scope(content_length="1000001"), 413), (scope("/gradio_api/mcp/", content_length="1000001"), 413),
        (scope("/gradio_api/upload", content_length="8000300"), None),
        (scope("/gradio_api/upload/", content_length="8010001"), 413),
        (scope(transfer_encoding="chunked"), 411), (scope(content_length="many", transfer_encoding="chunked"), 411),
        (scope(client="127.0.0.1", content_length="1000001"), 413),
    ],
)  # fmt: skip
def test_a_request_is_refused_for_its_size(asked: dict[str, Any], status: int | None) -> None:
    refusal = guarded().refusal(asked, 0.0)
    assert (refusal and refusal[0]) == status


def test_an_address_is_refused_when_it_sends_too_much_and_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUESTS", 5.0)
    door = guarded()
    answers = [door.refusal(scope(), 0.0) for _ in range(6)]
    assert answers[:5] == [None] * 5 and answers[5] == (429, guard.TOO_MANY)
    assert door.refusal(scope(client="10.0.0.8"), 0.0) is None and door.refusal(scope(), 1.0) is None
    assert all(door.refusal(scope(client="127.0.0.1"), 0.0) is None for _ in range(9))
    uploads = [door.refusal(scope("/gradio_api/upload", "10.0.0.9", content_length="8000000"), 0.1 * i)
               for i in range(40)]  # fmt: skip
    assert uploads.count((429, guard.TOO_MANY)) >= 4


def test_only_a_space_believes_who_was_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    forwarded = scope(x_forwarded_for="6.6.6.6, 10.1.1.1")
    assert address(forwarded) == "10.0.0.7"
    monkeypatch.setenv("SPACE_ID", "me/lab")
    assert address(forwarded) == "10.1.1.1" and address(scope()) == "10.0.0.7"


def test_a_refused_request_is_answered_in_one_line() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    run_apart(guarded()(scope(content_length="9999999"), None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413 and b"at most 1 MB" in sent[1]["body"]


def test_every_answer_carries_the_headers(url: str) -> None:
    page = httpx.get(url, timeout=60)
    policy = page.headers["content-security-policy"]
    script = re.search("script-src ([^;]*)", policy)[1]
    # No inline handler may run: each inline script is named by its digest.
    assert "'unsafe-inline'" not in script and len(re.findall("'sha256-", script)) >= 3
    assert "object-src 'none'" in policy and "base-uri 'self'" in policy
    for answer in (page, httpx.get(f"{url}config", timeout=60)):
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"]


def test_a_visitors_file_runs_nothing(url: str) -> None:
    form = {"files": ("x.html", b"<script>alert(1)</script>", "text/html")}
    (path,) = httpx.post(f"{url}gradio_api/upload", files=form, timeout=60).json()
    answer = httpx.get(f"{url}gradio_api/file={path}", timeout=60)
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_body_that_is_too_large_never_reaches_gradio(url: str) -> None:
    answer = httpx.post(f"{url}gradio_api/run/predict", content=b"x" * 1_000_001, timeout=60)
    assert answer.status_code == 413
