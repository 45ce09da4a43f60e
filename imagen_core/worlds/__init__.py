"""Worlds: where training pictures and captions come from."""
