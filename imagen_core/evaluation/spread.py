"""Evaluation by several processes, as torchrun or accelerate starts them: each draws its share of every cell."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..processes import PATIENCE, on_cpu, started
from ..records.png import from_bytes, to_bytes
from ..types import Image
from .disk import is_whole, kept_in, write_once

if TYPE_CHECKING:
    from accelerate import PartialState


@once
def together() -> PartialState | None:
    """The processes that work beside this one; None if it is alone."""
    if started() < 2:
        return None
    from accelerate import PartialState

    return PartialState(cpu=on_cpu(False), timeout=PATIENCE)


def is_first() -> bool:
    """Whether this process speaks for all."""
    state = together()
    return state is None or state.is_main_process


def kept_by_all(file: Path, shape: tuple[int, ...], draw: Callable[[slice], Image]) -> Image:
    """The pictures of this ``shape`` in ``file``, as :func:`.disk.kept_in`; each process draws a share of missing ones.

    ``draw`` gets the share. Picture i is drawn by process i modulo their number. All processes return all pictures. The
    first one alone reads and writes ``file``.
    """
    state = together()
    if state is None:
        return kept_in(file, shape, lambda: draw(slice(None)))
    from accelerate.utils import broadcast_object_list, gather_object

    n, rank = state.num_processes, state.process_index
    # The first decides for all, since the others may see another disk.
    (whole,) = broadcast_object_list([np.load(file) if is_first() and is_whole(file, shape) else None])
    if whole is None:
        mine = to_bytes(draw(slice(rank, None, n))) if rank < shape[0] else np.empty((0, *shape[1:]), np.uint8)
        whole = np.empty(shape, np.uint8)
        for i, share in enumerate(gather_object([mine])):
            whole[i::n] = share
        if is_first():
            write_once(file, shape, lambda: from_bytes(whole))
    return from_bytes(whole)
