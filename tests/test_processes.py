"""Processes beside this one: they compute, and nothing is left of them when this one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagen_core.processes import pool

BUSY_AND_IDLE = """
import os, sys, time
from imagen_core.processes import pool
def here(seconds):
    # One call, so that two lines cannot mix.
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(seconds)
if __name__ == "__main__":
    with pool(2) as processes:
        list(processes.map(here, (1, 600)))
"""


def test_a_pool_computes() -> None:
    with pool(2) as processes:
        assert list(processes.map(abs, range(-3, 0))) == [3, 2, 1]


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """One works and one waits for work; neither is told."""
    script = tmp_path / "run.py"
    script.write_text(BUSY_AND_IDLE)
    here = Path(__file__).parents[1]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(here)}
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 60
    while any(runs(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # Where nobody collects orphans, one that has ended keeps its number.
    stat = Path(f"/proc/{process}/stat")
    return not (stat.is_file() and stat.read_text().rpartition(") ")[2].startswith("Z"))
