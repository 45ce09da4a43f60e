"""Processes that work beside this one: a pool that ends with it, and those that torchrun or accelerate starts."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context, parent_process
from threading import Thread

# A process waits for as long as the slowest one renders or draws.
PATIENCE = timedelta(days=2)


def started() -> int:
    """How many processes torchrun or accelerate started, this one with them; 1 for none."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def on_cpu(asked: bool) -> bool:
    """Whether accelerate must be told ``cpu=True``: it takes several processes without a card for single ones else."""
    import torch

    return asked or (started() > 1 and not torch.cuda.is_available())


def pool(workers: int) -> ProcessPoolExecutor:
    """A pool of processes that end when this one does, also by ``kill -9``.

    Spawned, not forked: a fork copies locks that other threads hold, and torch's threads do not survive it.
    """
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow)


def _follow() -> None:
    """In a worker: end with the parent. Its queue would stay open, since the workers themselves may write to it."""
    Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        # Whatever the worker is at: written_whole leaves no half file.
        os._exit(1)
