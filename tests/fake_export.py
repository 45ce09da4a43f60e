"""A folder as an export leaves it, with a manifest as it writes it, but files of no use and a sampler of the tests'."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from random import Random

from imagen_core.export import folder
from imagen_core.files.digests import sha256
from imagen_core.models.cascade import Cascade

WORKER = Path(__file__).parent / "app" / "tab_worker.js"
# Bytes of each file.
MUCH = 60_000


def write(cascade: Cascade, place: Path) -> Path:
    """Write it; the worker comes with the modules that it imports."""
    (place / "weights").mkdir(parents=True)
    (place / "engine").mkdir()
    stages = [stage.spec for stage in cascade.stages]
    files, parts = {}, {}
    for number, part in enumerate(["rules", "text", "runtime-wasm", "runtime-webgpu", *(spec.name for spec in stages)]):
        data = Random(number).randbytes(MUCH)
        (place / "weights" / f"{part}.bin").write_bytes(data)
        files[f"{part}.bin"] = {"bytes": len(data), "sha256": sha256(data)}
        parts[part] = [f"{part}.bin"]
    manifest = {"digest": cascade.digest, "stages": [asdict(spec) for spec in stages], "files": files, "parts": parts}
    (place / "weights" / "manifest.json").write_text(json.dumps(manifest | folder.settings_of(cascade)))
    for module in folder.ENGINE.glob("*.js"):
        (place / "engine" / module.name).write_bytes(module.read_bytes())
    (place / "engine" / "worker.js").write_bytes(WORKER.read_bytes())
    return place
