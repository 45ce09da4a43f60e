"""The recorded runs that ship with the page: their titles, requests and folder."""

from __future__ import annotations

from .. import settings
from ..files.assets import ASSETS
from ..settings import Request

FOLDER = ASSETS / "recordings"
_SPHERE = "a large red sphere to the left of a small blue cube on grass at sunset"
# By file name: the title of each run, and its request.
SHIPPED: dict[str, tuple[str, Request]] = {
    "strong": ("Strong guidance", settings.request(_SPHERE, seed=1, guidance=12.0)),
    "paper": ("The paper's weight", settings.request(_SPHERE, seed=1, guidance=5.0)),
    "off": ("No guidance", settings.request(_SPHERE, seed=1, guidance=1.0)),
    "night": ("In the dark", settings.request("a big shiny purple sphere on marble at night", seed=7, guidance=8.0)),
}
