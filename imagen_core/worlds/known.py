"""The worlds of this program, by name."""

from __future__ import annotations

from collections.abc import Callable

from ..types import UserError
from .world import World


def _tabletop() -> World:
    from .tabletop.tabletop import TableTop

    return TableTop()


# Each is made when it is first asked for.
WORLDS: dict[str, Callable[[], World]] = {"tabletop": _tabletop}
# The world of runs and cascades that were written before worlds had names.
FIRST = "tabletop"


def open_world(name: str, option: str = "world") -> World:
    """The world of this name.

    Raises:
        UserError: there is none; names ``option``.
    """
    if name not in WORLDS:
        raise UserError(f"{option}: must be one of {', '.join(WORLDS)}, got {name!r:.60}")
    return WORLDS[name]()
