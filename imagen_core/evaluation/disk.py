"""Pictures cached on disk between evaluations: 8 bits a value; a file is written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..files.writing import written_whole
from ..records.png import from_bytes, to_bytes
from ..types import Image


def write_once(file: Path, shape: tuple[int, ...], make: Callable[[], Image]) -> None:
    """Write the pictures that ``make`` returns, of this ``shape``, to ``file`` (.npy), unless it is there undamaged."""
    if _is_whole(file, shape):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # Opened before the work, so that a folder that cannot be written to fails at once.
    with written_whole(file) as aside, aside.open("wb") as out:
        np.save(out, to_bytes(make()))


def kept_in(file: Path, shape: tuple[int, ...], make: Callable[[], Image]) -> Image:
    """The pictures of this ``shape`` in ``file``, in [-1, 1], 8 bits; ``make`` fills in a missing or damaged file."""
    write_once(file, shape, make)
    return from_bytes(np.load(file))


def _is_whole(file: Path, shape: tuple[int, ...]) -> bool:
    try:
        values = np.load(file, mmap_mode="r")
    except (OSError, EOFError, ValueError):
        return False
    return values.dtype == np.uint8 and values.shape == shape
