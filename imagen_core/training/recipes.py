"""The last run of each stage of the shipped weights, but for its seed: the defaults of ``train``. What was tried stands
in docs/LOG.md.

The base's run began from the weights before it and from ``--stage layout``, and sr256's two, here joined, from the
weights before them; anew they need more steps than these.
"""

from __future__ import annotations

from .loop import Recipe

RECIPES = {
    "base": Recipe(
        "base",
        steps=3240,
        batch=32,
        size=64,
        decay=0.7,
        ema=0.999,
        pictures=36_000,
        shift=1.5,
        crowded=0.67,
        one_colour=3.0,
    ),
    "sr256": Recipe("sr256", steps=9300, batch=16, size=64, decay=0.5, ema=0.999, pictures=3000, shift=-5.0),
    "sr1024": Recipe("sr1024", steps=18_000, batch=16, size=64, decay=0.3, ema=0.999, pictures=6000, shift=-6.0),
}
