"""All runs are computed by one thread, which lets those that answer visitors go first."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest
from app_page import SHORT

from app.serving.model import NICE, Model
from imagen_core.types import UserError


def seen(model: Model, *, fails: bool = False) -> list[tuple[int, int]]:
    """Where a run's events are computed: (thread, its niceness), each."""

    def work(_: object) -> Iterator[tuple[int, int]]:
        for _ in range(2):
            here = threading.get_native_id()
            yield here, os.getpriority(os.PRIO_PROCESS, here) if sys.platform.startswith("linux") else NICE
        if fails:
            raise UserError("steps: a mistake")

    return list(model.in_turn(work, model.get(), SHORT))  # type: ignore[arg-type]


def test_one_thread_computes_and_steps_back(model: Model) -> None:
    first = seen(model)
    assert set(first) == set(seen(model)) and len(set(first)) == 1
    ((thread, nice),) = set(first)
    own = os.getpriority(os.PRIO_PROCESS, 0) if sys.platform.startswith("linux") else 0
    assert thread != threading.get_native_id() and nice == min(own + NICE, 19)


def test_an_error_arrives_where_the_run_was_asked_for(model: Model) -> None:
    with pytest.raises(UserError, match="steps: a mistake"):
        seen(model, fails=True)
    assert seen(model)
