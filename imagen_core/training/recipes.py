"""How the shipped weights were trained: the defaults of ``train``. What was tried stands in docs/LOG.md."""

from __future__ import annotations

from .loop import Recipe

RECIPES = {
    "base": Recipe("base", steps=8400, batch=32, size=64, small_steps=5600, pictures=24_000),
    "sr256": Recipe("sr256", steps=5200, batch=8, size=128, small_steps=4000, pictures=2000),
    "sr1024": Recipe("sr1024", steps=5200, batch=16, size=128, small_steps=4000, pictures=2000),
}
