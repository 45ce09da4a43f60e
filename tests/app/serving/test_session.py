"""What a visitor's session remembers of its runs."""

from __future__ import annotations

import numpy as np

from app.serving import session
from imagen_core.records.frames import Frame
from imagen_core.run.generate import generate
from imagen_core.settings import request
from imagen_core.types import StepRecord


def test_a_session_forgets_the_oldest(runs) -> None:
    many: session.Runs = ()
    for _ in range(session.MOST_RUNS + 3):
        many = session.remember(runs[0], many)
    assert len(many) == session.MOST_RUNS and [run.number for run in many][-1] == session.MOST_RUNS + 3
    assert session.remember(None, many) is many
    assert [label[label.index("seed") :][:6] for label, _ in session.pictures(runs)] == ["seed 7", "seed 8", "seed 7"]
    assert len(session.pictures(runs)) == 3 and session.pictures(runs)[0][1] == "2.0"


def test_the_steps_of_a_long_run_are_not_kept(tiny) -> None:
    """25 steps under three rules are, 250 are not: a hundred visitors' would fill the server."""
    step = next(e for e in generate(request("a ball", steps=1), tiny) if isinstance(e, StepRecord))
    frame = Frame.of(step)
    arrays = [array for array in vars(frame).values() if isinstance(array, np.ndarray)]
    assert frame.nbytes == sum(array.nbytes for array in arrays) > 3 * 64 * 64 * 4
    short, long = ({rule: [frame] * steps for rule in ("none", "static", "dynamic")} for steps in (25, 250))
    assert session.kept(short) is short and session.kept(long) is None
