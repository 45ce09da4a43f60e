"""``bench --tab``: a run in wasm, as a browser tab computes it, beside the same run in torch."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from .. import settings
from ..models.cascade import Cascade
from ..run.generate import generate
from ..settings import Request
from ..types import StepRecord, UserError

SCRIPT = Path(__file__).parents[2] / "app" / "static" / "tab" / "engine" / "bench.js"


def check(folder: Path) -> None:
    """Refuse to begin without node, a checkout or an export.

    Raises:
        UserError: one of them is missing.
    """
    if shutil.which("node") is None or not SCRIPT.is_file():
        raise UserError("--tab: needs node, and a checkout of the repository")
    if not (folder / "weights" / "manifest.json").is_file():
        raise UserError(f"--tab: {str(folder)!r:.80} holds no export; python -m imagen_core export --to FOLDER")


def beside_wasm(folder: Path, request: Request, cascade: Cascade) -> dict[str, Any]:
    """Seconds a step of each stage in onnxruntime's wasm (under node) and in torch, right after each other.

    The median of the steps; the first of a stage, which opens its graphs, counts for neither side.

    Raises:
        UserError: the run in wasm failed.
    """
    done = subprocess.run(
        ["node", str(SCRIPT), str(folder.resolve())],
        input=settings.to_json(request),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"--tab: the run in wasm failed: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    wasm: dict[str, list[float]] = {}
    for event in events:
        if event.get("index"):
            wasm.setdefault(event["stage"], []).append(event["seconds"])
    engine = _seconds_a_step(request, cascade)
    stages = {
        name: {
            "wasm": round(statistics.median(wasm[name]), 3),
            "torch": round(statistics.median(engine[name]), 3),
            "ratio": round(statistics.median(wasm[name]) / statistics.median(engine[name]), 2),
        }
        for name in wasm
    }
    files = json.loads((folder / "weights" / "manifest.json").read_bytes())
    size = {
        part: sum(files["files"][name]["bytes"] for name in names)
        for part, names in files["parts"].items()
        if part != "words"
    }
    whole = events[-1]
    return {
        "stages": stages,
        "threads": {"wasm": 1, "torch": torch.get_num_threads()},
        **whole,
        "bytes": size,
        "weights": cascade.digest,
    }


def _seconds_a_step(request: Request, cascade: Cascade) -> dict[str, list[float]]:
    """Seconds of each step but the first, by stage."""
    found: dict[str, list[float]] = {}
    before = time.perf_counter()
    for event in generate(request, cascade):
        now = time.perf_counter()
        if isinstance(event, StepRecord) and event.index:
            found.setdefault(event.stage, []).append(now - before)
        before = now
    return found
