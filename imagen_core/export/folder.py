"""A folder that a browser tab samples from: weights under their digests, the runtime, and the engine's modules.

```
weights/manifest.json    what there is, settings and their ranges; every packed file with its bytes and sha256
weights/*.bin            graphs, words and the runtime's own code, packed
vendor/                  the libraries' modules, from node_modules
engine/                  this project's modules, from app/static/tab/engine
```
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import settings
from ..diffusion.saturation import BURNT
from ..files.digests import sha256
from ..files.writing import copy, write_text, written_whole
from ..models.cascade import Cascade
from ..settings.ranges import CHOICES, MAX_PROMPT, RANGES, hyper_parameters
from ..types import UserError
from . import language, networks, rules
from .tracing import Traced, graph

FORMAT = 1
# Stands in ``weights`` until all is written; a killed export is no export, and may be begun again.
MANIFEST, BEGUN = "manifest.json", "begun"
# zlib's level: the highest one saves a thousandth more.
PACKED = 6
ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "node_modules"
ENGINE = ROOT / "app" / "static" / "tab" / "engine"
# Modules of the libraries, and the runtime's compiled code by the way it computes; both from node_modules.
VENDOR = {
    "ort/ort.wasm.min.mjs": "onnxruntime-web/dist/ort.wasm.min.mjs",
    "ort/ort-wasm-simd-threaded.mjs": "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "ort/ort.webgpu.min.mjs": "onnxruntime-web/dist/ort.webgpu.min.mjs",
    "ort/ort-wasm-simd-threaded.asyncify.mjs": "onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.mjs",
    "tokenizers/tokenizers.min.mjs": "@huggingface/tokenizers/dist/tokenizers.min.mjs",
}
RUNTIME = {
    "wasm": "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    "webgpu": "onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm",
}


@dataclass
class Folder:
    """The packed files that were written into a folder's ``weights``, and what each is for."""

    place: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, data: bytes, part: str, *, halves: bool = False) -> str:
        """Pack a file by gzip and write it; returns its name. Files full of ``halves`` are split in planes before.

        The name ends in .bin, since hosts unpack what ends in .gz on the way.
        """
        packed, name = gzip.compress(planes(data) if halves else data, PACKED, mtime=0), f"{name}.bin"
        with written_whole(self.place / name) as aside:
            aside.write_bytes(packed)
        self.files[name] = {"bytes": len(packed), "sha256": sha256(packed), "size": len(data), "planes": halves}
        self.parts.setdefault(part, []).append(name)
        return name

    def add_graph(self, name: str, traced: Traced, part: str) -> str:
        """Export a module, check it against torch, and only then write it."""
        data, self.errors[name] = graph(traced)
        return self.add(f"{name}.onnx", data, part, halves=True)


def planes(data: bytes) -> bytes:
    """All even bytes, then all odd ones: of float16 values one plane is almost noise, and the other packs well."""
    even = np.frombuffer(data + b"\0" * (len(data) % 2), np.uint8)
    return even.reshape(-1, 2).T.tobytes()


def check_libraries() -> None:
    """Refuse to begin without the libraries of package.json, and without a checkout.

    Raises:
        UserError: one is missing.
    """
    if not ENGINE.is_dir():
        raise UserError(f"export: needs a checkout of the repository; {ROOT} has no app/static/tab")
    for file in (*VENDOR.values(), *RUNTIME.values()):
        if not (NODE_MODULES / file).is_file():
            raise UserError(f"export: {NODE_MODULES / file} is missing; run npm install in {ROOT}")


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export, or one that was begun."""
    return any((folder / "weights" / name).is_file() for name in (MANIFEST, BEGUN))


def write(cascade: Cascade, folder: Path) -> Iterator[tuple[str, Any]]:
    """Write a cascade into a folder; yields the name and the facts of each part once it is there.

    Raises:
        UserError: a graph does not agree with torch.
    """
    made = Folder(folder / "weights")
    made.place.mkdir(parents=True, exist_ok=True)
    (made.place / BEGUN).touch()
    # An earlier one would be read with the new files.
    (made.place / MANIFEST).unlink(missing_ok=True)
    manifest: dict[str, Any] = {"format": FORMAT, "name": cascade.name, "digest": cascade.digest}
    manifest["rules"] = _write_rules(made)
    yield "rules", _facts(made, "rules")
    manifest["text"] = _write_text(made, cascade)
    yield "text", _facts(made, "text")
    manifest["stages"] = []
    for stage in cascade.stages:
        name = stage.spec.name
        encoder = stage.encode or cascade.encode
        graphs = {
            "context": made.add_graph(f"{name}.context", networks.context(stage, encoder.width), name),
            "network": made.add_graph(f"{name}.network", networks.network(stage, encoder.width), name),
        }
        if not stage.spec.is_base:
            graphs["low_res"] = made.add_graph(f"{name}.low_res", networks.low_res(stage.spec), name)
        manifest["stages"].append({**asdict(stage.spec), "graphs": graphs})
        yield name, _facts(made, name)
    for way, file in RUNTIME.items():
        made.add(f"runtime-{way}.wasm", (NODE_MODULES / file).read_bytes(), f"runtime-{way}")
    for name, file in VENDOR.items():
        copy(NODE_MODULES / file, folder / "vendor" / name)
    for module in sorted(ENGINE.glob("*.js")):
        if not module.name.endswith(".test.js"):
            copy(module, folder / "engine" / module.name)
    manifest |= {"files": made.files, "parts": made.parts, **settings_of(cascade)}
    write_text(made.place / MANIFEST, json.dumps(manifest))
    # What an earlier export left, of another model perhaps.
    for path in made.place.iterdir():
        if path.name not in {*made.files, MANIFEST}:
            path.unlink()
    yield "runtime", {way: made.files[f"runtime-{way}.wasm.bin"]["bytes"] for way in RUNTIME}
    yield "bytes", sum(file["bytes"] for file in made.files.values())


def _write_rules(made: Folder) -> dict[str, Any]:
    limits = {name: made.add_graph(f"rule.{name}", rules.rule(name), "rules") for name in rules.LIMITED_BY}
    steps = {
        name: {
            kind: made.add_graph(f"step.{name}.{kind}", traced, "rules") for kind, traced in rules.steps(name).items()
        }
        for name in rules.STEPPED_BY
    }
    return {"threshold": limits, "sampler": steps, "numbers": rules.NUMBERS}


def _write_text(made: Folder, cascade: Cascade) -> dict[str, Any]:
    encoder = cascade.encode
    facts: dict[str, Any] = {"name": encoder.name, "width": encoder.state_width, "most_tokens": encoder.max_tokens}
    facts["graph"] = made.add_graph("text", language.text(encoder), "text")
    for name, data in language.tokenizer(encoder).items():
        facts[name.removesuffix(".json")] = made.add(name, data, "text")
    words = [
        made.add(f"words-{i:03}.f16", data, "words", halves=True) for i, data in enumerate(language.shards(encoder))
    ]
    return {**facts, "words": {"rows": language.SHARD, "files": words}}


def settings_of(cascade: Cascade) -> dict[str, Any]:
    """Defaults, ranges and choices as the tab offers them."""
    offered = {
        "sampler": rules.STEPPED_BY,
        "guidance_rule": (rules.GUIDED_BY,),
        "threshold": rules.LIMITED_BY,
        **{name: tuple(CHOICES[name]) for name in ("w_schedule", "spacing", "schedule")},
    }
    # DDIM's eta and a cap are for the engine alone.
    options = {
        option: value
        for name, entries in (("threshold", ["dynamic"]), ("w_schedule", offered["w_schedule"]))
        for entry in entries
        for option, value in hyper_parameters(CHOICES[name][entry]).items()
        if option != "cap"
    }
    return {
        "defaults": {size: asdict({**settings.DEFAULTS, **cascade.defaults}[size]) for size in cascade.sizes},
        "ranges": {**RANGES, "prompt": (1, MAX_PROMPT)},
        "offers": offered,
        "options": options,
        "burnt": BURNT,
    }


def _facts(made: Folder, part: str) -> dict[str, Any]:
    errors = {name: f"{made.errors[name]:.1e}" for name in made.errors if f"{name}.onnx.bin" in made.parts[part]}
    return {"bytes": sum(made.files[name]["bytes"] for name in made.parts[part]), "error": errors}
