"""What a crowd leaves in memory: steps of the last runs only, nobody who left, one place for all threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from app_page import PATIENCE, SHORT, last, run_apart, values_of

from app.page import LAUNCH, build
from app.serving import memory, waiting
from app.serving.memory import AWAY, Session, Shelf, departed
from app.serving.model import Model
from app.serving.session import remember, steps
from app.serving.visitor import Visitor, layout

# Frees what many threads allocated, and prints how much of it the process still holds, in MB.
HELD = """
import ctypes, sys, threading
from app.serving.memory import share_freed_memory
assert sys.argv[1] == "0" or share_freed_memory()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
turn = threading.Lock()
def work():
    with turn:
        blocks = [libc.malloc(100_000) for _ in range(400)]
        for block in blocks:
            ctypes.memset(block, 1, 100_000)
        kept.append(libc.malloc(1000))
        for block in blocks:
            libc.free(block)
    leave.wait()
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
kept, leave, before = [], threading.Event(), resident()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
while len(kept) < 12 or turn.locked():
    pass
print(resident() - before)
leave.set()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this is about glibc")
def test_threads_do_not_each_keep_what_they_freed() -> None:
    """Twelve threads use 40 MB after one another; together the process keeps less than twice that, not twelve times."""

    def held(shared: str) -> float:
        done = subprocess.run([sys.executable, "-c", HELD, shared], capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert held("1") < 80 < held("0")


def test_the_steps_of_the_oldest_runs_go(tabs) -> None:
    first = last(tabs.see.generate(values_of(tabs, SHORT)))[tabs.see.run]
    second = last(tabs.see.generate(values_of(tabs, SHORT)))[tabs.see.run]
    runs, others = remember(first, ()), remember(second, ())
    shelf = Shelf(most_bytes=sum(frame.nbytes for track in second.frames.values() for frame in track))
    shelf.put(first.frames)
    read = steps(runs, "1")
    assert read is not None
    shelf.put(second.frames)
    # Inspect draws the first run again; a reader that already has its steps keeps them.
    assert steps(runs, "1") is None and steps(others, "1") and read["dynamic"]
    assert shelf.nbytes == sum(frame.nbytes for track in second.frames.values() for frame in track)


def test_a_stopped_run_keeps_no_steps(tabs) -> None:
    updates = tabs.see.generate(values_of(tabs, SHORT))
    run = next(update for update in updates if tabs.see.run in update)[tabs.see.run]
    assert run.frames["dynamic"]
    assert tabs.see.stopped(run)[tabs.see.player] and run.frames is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own count of memory")
def test_freed_memory_goes_back_to_the_system() -> None:
    """In a process of its own: blocks below one that is still used stay, until they are given back."""
    code = """
from app.serving.memory import give_back, share_freed_memory
def pages():
    return int(open("/proc/self/statm").read().split()[1])
assert share_freed_memory()
blocks = [bytearray(100_000) for _ in range(2000)]
last = bytearray(100_000)
del blocks
before = pages()
assert give_back()
print(before - pages())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 4096 > 150_000_000


def test_who_left_is_forgotten_after_a_while() -> None:
    now = datetime(2026, 1, 1)
    closed, open_ = SimpleNamespace(is_closed=True), SimpleNamespace(is_closed=False)
    sessions = SimpleNamespace(
        session_data={"left": closed, "just left": closed, "there": open_},
        time_last_used={"left": now - 1.1 * AWAY, "just left": now - 0.9 * AWAY, "there": now - 9 * AWAY},
    )
    assert departed(sessions, now) == ["left"]


def test_the_server_lets_go_of_who_left(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor that is there has no copy of the page's values on the server; one that left has nothing at all."""
    monkeypatch.setattr(memory, "AWAY", 0 * AWAY)
    monkeypatch.setattr(waiting, "SWEEP_SECONDS", 0.1)
    demo = build(model)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)

    async def visit() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            shape = await layout(http)
            stays, leaves = Visitor(http, shape), Visitor(http, shape)
            for visitor in (stays, leaves):
                assert {answer.error for answer in await visitor.open()} == {None}
            known = demo.app.state_holder.session_data
            assert isinstance(known[stays.session], Session) and known[stays.session].config_values == {}
            assert leaves.session in known
            await leaves.close()
            while leaves.session in known:
                await asyncio.sleep(0.05)
            assert stays.session in known and leaves.session not in demo.waiting.pending_messages_per_session
            await stays.close()

    try:
        run_apart(asyncio.wait_for(visit(), PATIENCE))
    finally:
        demo.close(verbose=False)
