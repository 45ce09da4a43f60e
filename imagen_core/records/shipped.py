"""The recorded runs and stills that ship with the page: their titles, requests and folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import settings
from ..files.assets import ASSETS
from ..settings import Request, with_stage

FOLDER = ASSETS / "recordings"
_SPHERE = "a large red sphere to the left of a small blue cube on grass at sunset"
# At the 95th percentile colours are those of true pictures; the usual 99.5 dims more (docs/results/percentiles.csv).
_STRONG: dict[str, Any] = {"guidance": 20.0, "percentile": 95.0}
# By file name: the title of each run, and its request.
SHIPPED: dict[str, tuple[str, Request]] = {
    "strong": ("Strong guidance", settings.request(_SPHERE, seed=1, **_STRONG)),
    "paper": ("As in the paper", settings.request(_SPHERE, seed=1, guidance=5.0, w_schedule="constant")),
    "off": ("No guidance", settings.request(_SPHERE, seed=1, guidance=1.0)),
    "interval": (
        "A remedy: a band of guidance",
        settings.request(_SPHERE, seed=1, guidance=20.0, w_schedule="interval", options={"low": -2.0, "high": 2.0}),
    ),
    "cube": (
        "Strong guidance, one thing",
        settings.request("a large green cube on sand in daylight", seed=2, **_STRONG),
    ),
    "night": ("In the dark", settings.request("a big shiny purple sphere on marble at night", seed=7, guidance=8.0)),
}
# Stills of the lessons, by file name. One super-resolution at several aug_levels, from the same noise:
LESSON_SWEEP = ("aug_level", settings.request(_SPHERE, seed=1, size=256), (0.0, 0.1, 0.4, 0.8))
# and prompts from the same noise: in words of training, the same in words that training never showed, and another one.
WORDS = (
    "words",
    (
        settings.request("a large red sphere on grass at sunset", seed=1),
        settings.request("a huge scarlet orb on turf at twilight", seed=1),
        settings.request("a small blue cube on sand in daylight", seed=1),
    ),
)
# and the strong run under dynamic thresholding at several percentiles, from the same noise.
PERCENTILES = ("percentile", SHIPPED["strong"][1], (90.0, 95.0, 99.5, 100.0))
STILLS = ("sweep", "words", "percentiles")

# The runs of SHIPPED that are recorded at other guidance weights too, briefly, for the page's slider; and the weights.
SETS = ("strong", "cube", "night")
WEIGHTS = (1.0, 3.0, 5.0, 8.0, 12.0, 20.0)
BRIEF = FOLDER / "weights"
ANOTHER = "Another weight"


def at_weights(name: str) -> dict[float, str]:
    """The names of a run at each recorded weight, its own included; empty for a run without a set."""
    if name not in SETS:
        return {}
    own = SHIPPED[name][1].stages[0].guidance
    return {w: name if w == own else f"{name}-{w:g}" for w in sorted({own, *WEIGHTS})}


def brief_runs() -> dict[str, Request]:
    """The brief recordings by name, and their requests."""
    return {
        brief: with_stage(SHIPPED[name][1], 64, guidance=w)
        for name in SETS
        for w, brief in at_weights(name).items()
        if brief not in SHIPPED
    }


def file_of(name: str) -> Path | None:
    """The file of a recorded run, brief ones included; None for a name that is none."""
    if name in SHIPPED:
        return FOLDER / f"{name}.npz"
    return BRIEF / f"{name}.npz" if name in brief_runs() else None


# What Compare and Cascade show on arrival: the run that is varied, and its values.
GRID = (SHIPPED["strong"][1], {"row": "guidance", "rows": "1, 5, 20", "column": "threshold",
                               "columns": "none, static, dynamic"})  # fmt: skip
SWEEP = (settings.request(_SPHERE, seed=1, size=256), {"levels": "0, 0.1, 0.4, 0.8"})
EXHIBITS = {"grid": FOLDER / "shown-grid.json", "sweep": FOLDER / "shown-sweep.json"}
