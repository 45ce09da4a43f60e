"""Everything a run can be taken home as: two figures as PNG and SVG, WebP, GIF, CSV and NPZ."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from imagen_core.records import trace
from imagen_core.settings import Request

from ..handlers import folder
from . import exports


def save(frames: exports.Frames, request: Request, recorded: trace.Trace) -> list[Path]:
    """Write all files and return their paths; ``frames`` are the steps under each rule, ``recorded`` the kept run's."""
    # Here, so that the page answers before matplotlib is there.
    from . import figures

    place = folder()
    paths = figures.save(figures.film_strip(frames, request), place, "film-strip")
    paths += figures.save(figures.saturation_report(frames, request), place, "saturation")
    paths += exports.animate(frames, place)
    numbers, steps = place / "steps.csv", place / "run.npz"
    numbers.write_text(exports.to_csv(frames), encoding="utf-8", newline="")
    trace.save(recorded, steps)
    return [*paths, numbers, steps]


def figure(path: Path) -> str:
    """A figure's PNG in HTML, described by its name."""
    data = base64.b64encode(path.read_bytes()).decode()
    name = path.stem.replace("-", " ")
    return f'<img class="lab-figure" alt="{escape(name)} of this run" src="data:image/png;base64,{data}">'
