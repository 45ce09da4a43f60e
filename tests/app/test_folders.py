"""Temporary folders: what a killed page left is removed, what anybody uses is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.folders import own, remove_left

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no signal asks whether a process is there")


def test_only_what_a_killed_page_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; from app.folders import own; x = own('a'); print(x.name, flush=True); time.sleep(99)"
    page = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert page.stdout is not None
    left = Path(page.stdout.readline().strip())
    (left / "a red ball.png").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine, foreign = own("reports"), tmp_path / "imagen-lab-of-somebody"
    foreign.mkdir()
    aim = tmp_path / "kept"
    aim.mkdir()
    link = tmp_path / f"imagen-lab-a-{page.pid}-link"
    link.symlink_to(aim)
    remove_left()
    assert left.is_dir()
    page.send_signal(signal.SIGKILL)
    page.wait()
    page.stdout.close()
    remove_left()
    assert not left.exists()
    assert Path(mine.name).is_dir() and foreign.is_dir() and aim.is_dir()
    mine.cleanup()
