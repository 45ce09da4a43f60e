"""Temporary folders that bear the number of their process: a later page removes what a killed one left."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

_OURS = re.compile(r"imagen-lab-[a-z]+-(\d+)-\w+")


def own(kind: str) -> tempfile.TemporaryDirectory:
    """A folder for this process, which goes when the process ends; ``kind`` is one word in small letters."""
    return tempfile.TemporaryDirectory(prefix=f"imagen-lab-{kind}-{os.getpid()}-")


def remove_left() -> None:
    """Remove the folders of pages that were killed: visitors' pictures must not stay on the disk."""
    # On Windows no signal asks whether a process is there.
    if os.name != "posix":
        return
    for place in Path(tempfile.gettempdir()).iterdir():
        named = _OURS.fullmatch(place.name)
        if named and place.is_dir() and not place.is_symlink() and not _runs(int(named[1])):
            # What belongs to another user stays.
            shutil.rmtree(place, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
