"""How the shipped weights were trained: the defaults of ``train``. What was tried stands in docs/LOG.md."""

from __future__ import annotations

from .loop import Recipe

RECIPES = {
    "base": Recipe("base", steps=6000, batch=32, size=64, small_steps=2500),
    "sr256": Recipe("sr256", steps=2500, batch=16, size=64, pictures=6000),
    "sr1024": Recipe("sr1024", steps=2000, batch=16, size=128, pictures=6000),
}
