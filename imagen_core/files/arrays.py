"""Arrays in .npy files of any origin, as memory maps."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

# What numpy's reading of a damaged file ends in.
_DAMAGED = (
    ValueError,
    EOFError,
    SyntaxError,
    TokenError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


def open_array(file: Path) -> np.ndarray:
    """A .npy file as a memory map; nothing is unpickled.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a whole .npy file.
    """
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except _DAMAGED as error:
        raise ValueError(f"{file} is not a whole .npy file") from error
