"""Imagen (Saharia et al. 2022) as a readable sampling engine: text → 64 → 256 → 1024."""
