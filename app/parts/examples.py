"""The recorded runs that come with the page: what it opens with, and the examples."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imagen_core.records import recording
from imagen_core.records.payload import State
from imagen_core.records.shipped import SETS, SHIPPED, at_weights, file_of
from imagen_core.types import UserError
from imagen_core.worlds.collected.collected import Collected
from imagen_core.worlds.world import World

from .. import folders
from . import links, player, report

# The recorded runs, which are the examples as well: their prompts and settings are what the controls begin with.
RECORDED = tuple(SHIPPED)
# Their reports, which stay as long as the server runs.
REPORTS = folders.own("reports")
OPENING = SHIPPED[RECORDED[0]][1]


def first_prompt(world: World | None) -> str:
    """The prompt that a page begins with: the opening run's, or what a model of people's own pictures understands."""
    return next(iter(world.prompts), OPENING.prompt) if isinstance(world, Collected) else OPENING.prompt


def label(world: World | None) -> str:
    """What the list of recorded runs is called on the page of a model of this world."""
    return f"Recorded examples{' of the table top' if isinstance(world, Collected) else ''}"


def recorded(name: str, begin: State | None = None) -> tuple[str, Path | None]:
    """A recorded run: (the player's value, the report's file); only a hint where it cannot be read.

    With ``begin`` the player rests in that state.
    """
    try:
        view, file = _made(name)
        return view_of(name, others=others_of(name), begin=begin) if begin else view, file
    except UserError:
        return player.waiting("Press Generate to run three threshold rules from the same noise."), None


def view_of(name: str, *, others: Mapping[str, str] | None = None, begin: State | None = None) -> str:
    """The player's value of a recorded run, with its link; ``others`` and ``begin`` as in player.recorded.

    Raises:
        UserError: there is no such run, or it cannot be read.
    """
    return player.recorded(recording.load(_path_of(name)), link=links.to_run(name), others=others, begin=begin)


@cache
def _made(name: str) -> tuple[str, Path]:
    """A recorded run for the player, and its report: made once, since every visitor is given them."""
    run = recording.load(_path_of(name))
    told = view_of(name, others=others_of(name))
    return told, report.save(run, Path(tempfile.mkdtemp(dir=REPORTS.name)))


def _path_of(name: str) -> Path:
    path = file_of(name)
    if path is None:
        raise UserError(f"run: must be one of {', '.join(SHIPPED)}, got {name!r:.60}")
    return path


def others_of(name: str) -> dict[str, str]:
    """The addresses of a run at the weights that it is recorded at, by the weight."""
    family = next((one for one in SETS if name == one or name in at_weights(one).values()), "")
    return {f"{w:g}": f"recorded/{brief}" for w, brief in at_weights(family).items()}


def weighed(name: str) -> str:
    """The player's value of a recorded run, brief ones included, as the slider of w shows it: without a link.

    Raises:
        UserError: there is no such run, or it cannot be read.
    """
    return player.recorded(recording.load(_path_of(name)), others=others_of(name))


def answer(visit: Request) -> Response:
    """A recorded run by its name, as the player takes it."""
    name = visit.path_params["name"]
    try:
        text = weighed(name)
    except UserError:
        return Response(status_code=404)
    return Response(text, media_type="application/json", headers={"Cache-Control": "max-age=600"})


# The page's slider of w shows these without a queue.
ROUTE = Route("/recorded/{name}", answer)


def opening() -> tuple[str, Path | None]:
    """The recorded run that the page opens with."""
    return recorded(RECORDED[0])
