"""What the engine says about levels, weights and noise, for the tests of a tab's JavaScript.

``PYTHONPATH=. python tests/tab_vectors.py`` writes tests/data/tab_vectors.json again.
"""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

from imagen_core.diffusion.samplers import unit_noise
from imagen_core.diffusion.schedules import SCHEDULES, SPACINGS, levels, levels_at
from imagen_core.diffusion.w_schedules import W_SCHEDULES
from imagen_core.types import Level, UserError

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tests" / "data" / "tab_vectors.json"
STEPS = (1, 6, 25)
TIMES = (0.9, 0.31, 0.004)
# A seed, a stream, how many values, and which of them are kept: all of the first, the last and every so many.
NOISE = ((0, "base64", 16, 1), (7, "sr256/augmentation", 100, 1), (2**31 - 1, "base64/step 3", 1_000_000, 9973))


def vectors() -> dict[str, Any]:
    """Levels of every schedule and spacing, weights of every schedule of w, and noise."""
    paths = []
    for schedule, spacing, steps in product(SCHEDULES, SPACINGS, STEPS):
        try:
            path = levels(schedule, steps, spacing)
        except UserError:
            path = None
        paths.append({"schedule": schedule, "spacing": spacing, "steps": steps, "levels": _plain(path)})
    for schedule in SCHEDULES:
        path = levels_at(schedule, TIMES)
        paths.append({"schedule": schedule, "steps": len(TIMES), "times": TIMES, "levels": _plain(path)})
    path = levels("cosine", 25, "trailing")[:-1]
    weights = {name: rule.fn(5.0, path) for name, rule in W_SCHEDULES.items()}
    noise = []
    for seed, stream, length, every in NOISE:
        values = unit_noise((seed,), stream, (length,))[0]
        kept = sorted({*range(0, length, every), length - 1})
        noise.append(
            {"seed": seed, "stream": stream, "length": length, "places": kept, "values": values[kept].tolist()}
        )
    return {"levels": paths, "weights": weights, "noise": noise}


def _plain(path: tuple[Level, ...] | None) -> list[list[float]] | None:
    """Each level but the clean one as [t, log_snr]; None where the settings are refused."""
    if path is None:
        return None
    assert path[-1] == Level(0.0, math.inf)
    return [[level.t, level.log_snr] for level in path[:-1]]


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors()) + "\n", encoding="utf-8")
