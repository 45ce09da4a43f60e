"""What the page's tests share: a short run as controls, how to read what a handler sends, an engine under watch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr

from app.page import Tabs
from app.serving.model import Model
from imagen_core.settings import Request, request, with_stage

SHORT = with_stage(with_stage(request("a red ball", seed=7, size=1024, steps=3), 256, steps=2), 1024, steps=1)
# As SHORT, with time to stop it.
LONG = with_stage(SHORT, 64, steps=250)
MARKUP = "<img src=x onerror=alert(1)>"
# Seconds until a test gives up on something that should end.
PATIENCE = 60.0


def values_of(tabs: Tabs, asked: Request = SHORT, **changes: object) -> dict[Any, Any]:
    """What the page's controls hold for a request, some of them changed by their name."""
    controls = tabs.see.page.controls
    return controls.updates(asked) | {getattr(controls, name): value for name, value in changes.items()}


def at_cascade(
    tabs: Tabs, asked: Request = SHORT, *, runs: Any = (), base: Any = "now", rule: Any = "unchanged", at: Any = 256,
    levels: Any = "0.1", aug: tuple[Any, Any] = (0.1, 0.1), file: Any = None,
) -> dict[Any, Any]:  # fmt: skip
    """As :func:`values_of`, with what stands on the tab Cascade."""
    tab, controls = tabs.cascade, tabs.see.page.controls
    own = {tab.page.runs: runs, tab.base: base, tab.rule: rule, tab.at: at, tab.levels: levels}
    own[tab.own] = file
    return values_of(tabs, asked) | own | dict(zip(controls.aug_levels.values(), aug))


def at_compare(
    tabs: Tabs, asked: Request, row: Any, row_values: Any, column: Any, column_values: Any
) -> dict[Any, Any]:
    """As :func:`values_of`, with what stands on the tab Compare."""
    rows, columns = tabs.compare.rows, tabs.compare.columns
    sides = {rows.setting: row, rows.values: row_values, columns.setting: column, columns.values: column_values}
    return values_of(tabs, asked) | sides


def at_inspect(tabs: Tabs, asked: Request = SHORT, *, runs: Any = (), run: Any = "now", **more: Any) -> dict[Any, Any]:
    """As :func:`values_of`, with what stands on the tab Inspect."""
    tab = tabs.inspect
    own = {tab.page.runs: runs, tab.run: run, tab.size: more.pop("size", 64)}
    return values_of(tabs, asked, **more) | own


def last(updates) -> dict[Any, Any]:
    return list(updates)[-1]


def sent(update: gr.components.Component, name: str) -> object:
    """A property that an update sets."""
    return update.constructor_args[name]


def files_of(update: gr.File) -> list[Path]:
    return [Path(path) for path in sent(update, "value")]


def run_apart(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of asynchronous work, done in a thread: a browser's event loop may run in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def width_of(page: Any) -> int:
    """The document's width in pixels, with what the page would clip (style.css) let out."""
    page.add_style_tag(content=".gradio-container { overflow: visible !important }")
    return page.evaluate("document.documentElement.scrollWidth")


class Run:
    """What the engine computed of one run so far, and whether the run has ended: by itself, or stopped."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.ended = threading.Event()


class Watched:
    """A generator function of the engine, such as ``generate``, each of whose runs is kept in ``runs`` as it goes."""

    def __init__(self, function: Callable[..., Iterator[Any]]) -> None:
        self.function = function
        self.runs: list[Run] = []

    def __call__(self, *args: Any, **options: Any) -> Iterator[Any]:
        run = Run()
        self.runs.append(run)
        try:
            for event in self.function(*args, **options):
                run.events.append(event)
                yield event
        finally:
            run.ended.set()


def stop_and_go_on(model: Model, engine: Watched, first: Iterator[Any], second: Iterator[Any]) -> None:
    """Stop closes a handler's generator where it yields: its run ends there, and the next need not wait for it."""
    model.get()
    next(first)
    (stopped,) = engine.runs
    taken = len(stopped.events)
    assert 0 < taken < 250
    first.close()
    assert stopped.ended.is_set()
    # In a thread: an engine that is never given back fails this test instead of hanging it.
    drained: list[Any] = []
    thread = threading.Thread(target=lambda: drained.extend(second), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive() and drained and len(engine.runs) > 1
    assert engine.runs[1].events and len(stopped.events) == taken


def call_tool(address: str, name: str, watched: bool = False, **given: Any) -> Any:
    """What a tool of the MCP server at ``address`` answers; a ``watched`` call asks for its progress."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def ask() -> Any:
        async def progress(*told: Any) -> None: ...

        async with (
            streamablehttp_client(address) as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            return await session.call_tool(name, given, progress_callback=progress if watched else None)

    return run_apart(ask())
