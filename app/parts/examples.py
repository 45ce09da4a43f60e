"""The recorded runs that come with the page: what it opens with, and the examples."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from imagen_core.records import recording
from imagen_core.records.payload import State
from imagen_core.records.shipped import FOLDER, SHIPPED
from imagen_core.types import UserError

from . import links, player, report

# The recorded runs, which are the examples as well: their prompts and settings are what the controls begin with.
RECORDED = tuple(SHIPPED)
# Their reports, which stay as long as the server runs.
REPORTS = tempfile.TemporaryDirectory(prefix="imagen-lab-reports-")
OPENING = SHIPPED[RECORDED[0]][1]


def recorded(name: str, begin: State | None = None) -> tuple[str, Path | None]:
    """A recorded run: (the player's value, the report's file); only a hint where it cannot be read.

    With ``begin`` the player rests in that state.
    """
    try:
        view, file = _made(name)
        return (
            player.recorded(recording.load(FOLDER / f"{name}.npz"), link=links.to_run(name), begin=begin)
            if begin
            else view
        ), file
    except UserError:
        return player.waiting("Press Generate to run three threshold rules from the same noise."), None


@cache
def _made(name: str) -> tuple[str, Path]:
    """A recorded run for the player, and its report: made once, since every visitor is given them."""
    run = recording.load(FOLDER / f"{name}.npz")
    return player.recorded(run, link=links.to_run(name)), report.save(run, Path(tempfile.mkdtemp(dir=REPORTS.name)))


def opening() -> tuple[str, Path | None]:
    """The recorded run that the page opens with."""
    return recorded(RECORDED[0])
