"""Imagen (Saharia et al. 2022) as a readable sampling engine: text → 64 → 256 → 1024."""

import os

# OpenMP's threads that wait would keep a core busy, and slow down whatever else runs. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
