"""Timing beside diffusers: a card's clock is read when its work is done, and both sides run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_deepfloyd import PROMPT

from imagen_core.commands import peer
from imagen_core.models.cascade import Loading


def test_a_cards_work_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of which 2 seconds' work is still queued when a run begins, and 3 are queued by the run itself."""
    now, queued = 0.0, 2.0

    def run() -> None:
        nonlocal queued
        queued += 3.0

    def synchronize() -> None:
        nonlocal now, queued
        now, queued = now + queued, 0.0

    monkeypatch.setattr(peer.time, "perf_counter", lambda: now)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert peer.seconds_of(run, card=True) == 3.0


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_ours_runs_beside_diffusers(stage_1: Path) -> None:
    told = peer.peer((str(stage_1),), Loading(), PROMPT, 2)
    assert told["stages"]["base64"]["ratio"] > 0
    assert all(megabytes > 100 for megabytes in told["peak_memory_mb"].values())
