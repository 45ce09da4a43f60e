"""What a visitor's session remembers of its runs."""

from __future__ import annotations

from app import session


def test_a_session_forgets_the_oldest(runs) -> None:
    many: session.Runs = ()
    for _ in range(session.MOST_RUNS + 3):
        many = session.remember(runs[0], many)
    assert len(many) == session.MOST_RUNS and [run.number for run in many][-1] == session.MOST_RUNS + 3
    assert session.remember(None, many) is many
    assert len(session.pictures(runs)) == 3 and session.pictures(runs)[0][1] == "2.0"
