"""The last run of each stage of the shipped weights: the defaults of ``train``. What was tried stands in docs/LOG.md.

The base's run began from the weights before it and from ``--stage layout``; anew it needs more steps than these.
"""

from __future__ import annotations

from .loop import Recipe

RECIPES = {
    "base": Recipe("base", steps=3380, batch=32, size=64, decay=0.3, ema=0.999, pictures=24_000, shift=1.5),
    "sr256": Recipe("sr256", steps=5300, batch=16, size=128, small_steps=5000, decay=0.2, pictures=3000, shift=-5.0),
    "sr1024": Recipe("sr1024", steps=4300, batch=16, size=128, small_steps=4000, decay=0.2, pictures=2000, shift=-6.0),
}
