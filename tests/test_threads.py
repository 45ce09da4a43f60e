"""OpenMP's threads sleep while they wait: beside another process, a spinning one slows both down."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("opened", "own", "found"),
    [
        ("imagen_core.__main__", {}, "PASSIVE"), ("app.launch", {}, "PASSIVE"),
        ("imagen_core", {"OMP_WAIT_POLICY": "active"}, "ACTIVE"),
    ],
)  # fmt: skip
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(opened: str, own: dict[str, str], found: str) -> None:
    """OpenMP itself says what it read when torch loaded it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    told = subprocess.run(
        [sys.executable, "-c", f"import {opened}, torch"], capture_output=True, text=True, timeout=120,
        env={**clean, **own, "OMP_DISPLAY_ENV": "true"},
    )  # fmt: skip
    if "OMP_WAIT_POLICY" not in told.stderr:
        pytest.skip("this build of torch is not threaded by OpenMP, or does not say so")
    assert f"OMP_WAIT_POLICY = '{found}'" in told.stderr
