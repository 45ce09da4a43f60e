"""How a recording packs its arrays: differences from step to step modulo the word, then zlib.

An estimate hardly moves near the end of a run, so differences are a fifth smaller than the values themselves.
``app/static/player/unpack.js`` unpacks the same bytes in the browser.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

# zlib's levels: a live result must be there at once; a shipped file is made once.
QUICK, SMALL = 1, 9


def pack_halves(steps: Sequence[np.ndarray], effort: int) -> bytes:
    """Float16 arrays, one a step, as a plane of low bytes and a plane of high bytes."""
    words = _differences(np.stack(steps).view("<u2"))
    return zlib.compress(np.ascontiguousarray(words.reshape(-1).view(np.uint8).reshape(-1, 2).T).tobytes(), effort)


def coarse(halves: np.ndarray) -> np.ndarray:
    """Float16 values rounded to 7 bits of their mantissa, which halves what zlib leaves of them."""
    return ((halves.view("<u2") + 4) & 0xFFF8).astype("<u2").view(np.float16)


def unpack_halves(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """What :func:`pack_halves` packed, float32 in ``shape`` [steps, 3, h, w]."""
    planes = np.frombuffer(zlib.decompress(data), np.uint8)
    words = np.ascontiguousarray(planes.reshape(2, -1).T).view("<u2").reshape(shape)
    return np.cumsum(words, axis=0, dtype=np.uint16).view(np.float16).astype(np.float32)


def pack_eighths(values: np.ndarray, effort: int) -> tuple[bytes, list[float]]:
    """Float32 [steps, 3, h, w] as int8 in units of scale / 127, and the scale of each step."""
    # Six digits, as the header stores them: unpacking multiplies by these.
    largest = np.array([float(f"{max(x, 1e-3):.6g}") for x in np.abs(values).max((1, 2, 3))])
    units = np.round(values * (127 / largest)[:, None, None, None])
    words = np.clip(units, -127, 127).astype(np.int8).view(np.uint8)
    return zlib.compress(_differences(words).tobytes(), effort), largest.tolist()


def unpack_eighths(data: bytes, shape: tuple[int, ...], scales: Sequence[float]) -> np.ndarray:
    """What :func:`pack_eighths` packed, float32 in ``shape`` [steps, 3, h, w]."""
    words = np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)
    steps = np.cumsum(words, axis=0, dtype=np.uint8).view(np.int8)
    return steps.astype(np.float32) * (np.array(scales, np.float32) / 127)[:, None, None, None]


def _differences(words: np.ndarray) -> np.ndarray:
    changes = words.copy()
    changes[1:] -= words[:-1]
    return changes
