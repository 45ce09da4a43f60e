"""The recorded runs and stills that ship with the page: their titles, requests and folder."""

from __future__ import annotations

from .. import settings
from ..files.assets import ASSETS
from ..settings import Request

FOLDER = ASSETS / "recordings"
_SPHERE = "a large red sphere to the left of a small blue cube on grass at sunset"
# By file name: the title of each run, and its request.
SHIPPED: dict[str, tuple[str, Request]] = {
    "strong": ("Strong guidance", settings.request(_SPHERE, seed=1, guidance=20.0)),
    "paper": ("As in the paper", settings.request(_SPHERE, seed=1, guidance=5.0, w_schedule="constant")),
    "off": ("No guidance", settings.request(_SPHERE, seed=1, guidance=1.0)),
    "interval": (
        "A remedy: a band of guidance",
        settings.request(
            _SPHERE, seed=1, guidance=12.0, steps=12, w_schedule="interval", options={"low": -2.0, "high": 2.0}
        ),
    ),
    "night": ("In the dark", settings.request("a big shiny purple sphere on marble at night", seed=7, guidance=8.0)),
}
# Stills of the lessons, by file name. One super-resolution at several aug_levels, from the same noise:
SWEEP = ("aug_level", settings.request(_SPHERE, seed=1, size=256), (0.0, 0.1, 0.4, 0.8))
# and prompts from the same noise: in words of training, the same in words that training never showed, and another one.
WORDS = (
    "words",
    (
        settings.request("a large red sphere on grass at sunset", seed=1),
        settings.request("a huge scarlet orb on turf at twilight", seed=1),
        settings.request("a small blue cube on sand in daylight", seed=1),
    ),
)
STILLS = ("sweep", "words")
