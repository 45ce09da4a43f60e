"""Pictures on disk between two runs of an evaluation: 8 bits a value, a file whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..png import from_bytes, to_bytes
from ..types import Image


def write_once(file: Path, make: Callable[[], Image]) -> None:
    """Write what ``make`` gives to ``file`` (.npy), unless it is there; an interruption leaves nothing behind."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.stem}.{os.getpid()}.npy")
    try:
        # Opened before the work: a place that cannot be written to costs nothing then.
        with aside.open("wb") as out:
            np.save(out, to_bytes(make()))
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def kept_in(file: Path, shape: tuple[int, ...], make: Callable[[], Image]) -> Image:
    """The pictures of this ``shape`` in ``file``, in [-1, 1] to 8 bits; made and written where they are missing or the
    file is damaged."""
    if file.exists() and not _is_whole(file, shape):
        file.unlink()
    write_once(file, make)
    return from_bytes(np.load(file))


def _is_whole(file: Path, shape: tuple[int, ...]) -> bool:
    try:
        values = np.load(file, mmap_mode="r")
    except (OSError, EOFError, ValueError):
        return False
    return values.dtype == np.uint8 and values.shape == shape
