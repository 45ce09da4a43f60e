"""Runs that wait: one a visitor, each told its place in words; what needs no engine passes; the server's end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from app_page import PATIENCE, run_apart

from app import api
from app.page import LAUNCH, build
from app.serving import waiting
from app.serving.gate import Gate
from app.serving.model import Model
from app.serving.visitor import Answer, Layout, Visitor, layout
from app.serving.waiting import ENDING, ENOUGH, FULL, Place, Usual, places
from imagen_core.types import UserError


def test_a_place_is_a_sentence() -> None:
    assert Place(2, 40.0).words == "2 people before you, about 40 s; watch a recorded run meanwhile"
    assert Place(1, 3.0).words == "1 person before you, about 3 s"
    assert Place(9, None).words == "9 people before you, time not known yet; watch a recorded run meanwhile"


def test_places_add_up_what_is_before() -> None:
    """The run at work has 8 s of its usual 10 left; one that takes longer than usual has none left."""
    assert places([(10.0, 2.0)], [5.0, 7.0, 1.0]) == [Place(1, 8.0), Place(2, 13.0), Place(3, 20.0)]
    assert places([(10.0, 60.0)], [5.0]) == [Place(1, 0.0)]
    assert places([], [5.0, 5.0]) == [Place(0, 0.0), Place(1, 5.0)]
    # What was never seen to end hides the seconds of those behind it, and of nobody else.
    assert places([(10.0, 2.0)], [None, 7.0]) == [Place(1, 8.0), Place(2, None)]
    assert places([(None, 2.0)], [1.0]) == [Place(1, None)]


def test_what_is_usual_is_the_median_of_the_last_runs() -> None:
    usual = Usual()
    for seconds in (*[50.0] * waiting.LIKE_RUNS, *[4.0] * waiting.LIKE_RUNS, 90.0):
        usual.add(seconds)
    assert usual.avg_time == 4.0


def test_a_clock_that_is_set_back_promises_neither_an_hour_nor_less_than_nothing() -> None:
    assert places([(10.0, -3600.0)], [5.0]) == [Place(1, 10.0)]
    usual = Usual()
    usual.add(-3590.0)
    assert usual.avg_time == 0.0


class Held:
    """The engine's runs of the API: each begins when it may, and ends with a refusal when it is let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go = threading.Event()

    def __call__(self, request: Any, cascade: Any) -> Iterator[Any]:
        self.begun.append(request.seed)
        assert self.go.wait(PATIENCE)
        raise UserError("seed: held")
        yield


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    runs = Held()
    monkeypatch.setattr(api, "generate", runs)
    yield runs
    runs.go.set()


@pytest.fixture
def page(model: Model) -> Iterator[Gate]:
    """A server of this test's own."""
    model.get()
    demo = build(model)
    demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield demo
    demo.close(verbose=False)


def visiting(page: Gate, visit: Callable[[httpx.AsyncClient, Layout], Awaitable[None]]) -> None:
    """Run a visit, given its connections and the page's layout."""

    async def whole() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=page.local_url, timeout=PATIENCE, limits=limits) as http:
            await asyncio.wait_for(visit(http, await layout(http)), PATIENCE)

    run_apart(whole())


def sample(visitor: Visitor, seed: int) -> asyncio.Task[Answer]:
    """Call the API's sample."""
    event = visitor.page.named("sample")
    visitor.values |= dict(zip(event["inputs"], ("a red ball", seed, 64, None, None, None, None, "")))
    return asyncio.create_task(visitor.fire(event))


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def test_sixty_callers_lose_nothing_and_nobody_passes(page: Gate, held: Held) -> None:
    """Each runs once, in the order in which it came; a new visitor's page opens meanwhile, and describe answers."""

    async def visit(http: httpx.AsyncClient, shape: Layout) -> None:
        calls = []
        for seed in range(60):
            calls.append(sample(Visitor(http, shape), seed))
            await until(lambda: held.begun and len(page.waiting.places()) == len(calls) - 1)
        assert [place.before for place in page.waiting.places()] == list(range(1, 60))
        newcomer = Visitor(http, shape)
        assert {answer.error for answer in await newcomer.open()} == {None}
        assert "ready" in str(newcomer.values)
        described = await newcomer.fire(shape.named("describe"))
        assert described.error is None and described.data[0]["model"]["ready"]
        await newcomer.close()
        held.go.set()
        answers = await asyncio.gather(*calls)
        assert {answer.error for answer in answers} == {"seed: held"}
        # The last words before it began.
        assert answers[9].said.startswith("1 person before you, ")

    visiting(page, visit)
    assert held.begun == list(range(60))


def test_a_visitor_has_one_waiting_run(page: Gate, held: Held) -> None:
    """A second one that waits is refused in one line; the first stays, and another visitor's too."""

    async def visit(http: httpx.AsyncClient, shape: Layout) -> None:
        one, other = Visitor(http, shape), Visitor(http, shape)
        first = sample(one, 1)
        await until(lambda: held.begun == [1])
        second, third = sample(one, 2), sample(other, 3)
        await until(lambda: len(page.waiting.places()) == 2)
        assert (await sample(one, 4)).error == ENOUGH
        held.go.set()
        assert {answer.error for answer in await asyncio.gather(first, second, third)} == {"seed: held"}

    visiting(page, visit)
    assert sorted(held.begun) == [1, 2, 3]


def test_a_full_line_is_said(page: Gate, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_WAITING", 1)

    async def visit(http: httpx.AsyncClient, shape: Layout) -> None:
        calls = []
        for number in range(3):
            calls.append(sample(Visitor(http, shape), number))
            await until(lambda: held.begun)
            await until(lambda: len(page.waiting.places()) == min(len(calls) - 1, 1))
        assert (await calls[2]).error == FULL
        held.go.set()
        await asyncio.gather(*calls)

    visiting(page, visit)
    assert held.begun == [0, 1]


def test_a_server_that_ends_finishes_what_runs_and_tells_what_waits(page: Gate, held: Held) -> None:
    async def visit(http: httpx.AsyncClient, shape: Layout) -> None:
        running = sample(Visitor(http, shape), 0)
        await until(lambda: held.begun)
        waits = sample(Visitor(http, shape), 1)
        await until(lambda: page.waiting.places())
        page.waiting.drain()
        assert (await waits).error == ENDING
        assert (await sample(Visitor(http, shape), 2)).error == ENDING
        assert page.waiting.working
        held.go.set()
        assert (await running).error == "seed: held"
        await until(lambda: not page.waiting.working)

    visiting(page, visit)
    assert held.begun == [0]


def test_a_program_cannot_pass_the_queue_by(page: Gate) -> None:
    reply = httpx.post(f"{page.local_url}gradio_api/run/sample", json={"data": ["a red ball"]}, timeout=PATIENCE)
    assert reply.status_code == 404 and "join the queue" in reply.text
