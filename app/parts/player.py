"""The player as a component: its script, and what Python hands to it; nothing else knows how they meet."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.records import recording
from imagen_core.records.frames import Frame
from imagen_core.settings import Request

# The script's parts, from values to pictures; each uses those before it, and all of them share one scope of their own.
PARTS = ("values", "words", "draw", "views", "tools", "player")
_FOLDER = Path(__file__).parents[1] / "static" / "player"
_CODE = "\n".join((_FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)
SCRIPT = f'(() => {{\n"use strict";\n{_CODE}}})();\n'
STYLE = _FOLDER / "player.css"
# What a newcomer must know before the pictures say anything.
WHY = (
    '<p class="pl-why">At every step the model guesses the finished picture, x̂₀. Strong guidance pushes the guess '
    'beyond ±1, where a screen has no more to show: <b class="pl-none">none</b> lets it, <b class="pl-static">static'
    '</b> cuts it off, <b class="pl-dynamic">dynamic</b> shrinks it by s first, which keeps shades apart. '
    "Each then goes its own way; no rule mends a wrong shape.</p>"
)


def component(value: str | None = None, *, elem_id: str, **kwargs: Any) -> gr.HTML:
    """A player; its value is what :func:`recorded`, :func:`live` or :func:`waiting` return.

    The template never changes, so that a new value leaves what the player has drawn, and the focus, alone.
    """
    return gr.HTML(
        value or waiting(""),
        html_template='<div class="player-place"></div>',
        js_on_load="ImagenPlayer.mount(element, () => props.value, (changed) => watch('value', changed));",
        head=f"<script>{SCRIPT}</script>",
        apply_default_css=False,
        elem_id=elem_id,
        **kwargs,
    )


def recorded(run: recording.Recording, *, run_id: str = "", picked: str = "") -> str:
    """A whole recording, to be played, with the rule ``picked`` in front, or dynamic.

    Frames of the run ``run_id`` that arrive after it, late, are not shown.
    """
    return recording.to_json(run, run=run_id, picked=picked)


def live(
    requests: Mapping[str, Request], frames: Mapping[str, Sequence[Frame]], *, note: str = "", run_id: str = "",
    picked: str = "",
) -> str:  # fmt: skip
    """What a run at work shows: the newest step's pictures, and the numbers of all steps so far."""
    first = next(iter(requests.values()))
    size = int(next(iter(frames.values()))[0].raw.shape[-1])
    config = next(stage for stage in first.stages if stage.size == size)
    largest = max(1.0, *(track[-1].numbers["largest"] for track in frames.values()))
    tracks = [
        {
            "label": label,
            "rule": next(stage for stage in requests[label].stages if stage.size == size).threshold,
            "w": config.guidance,
            "pixels": base64.b64encode(track[-1].pixels.tobytes()).decode(),
            "histogram": track[-1].histogram(largest),
            "numbers": {name: [float(f"{f.numbers[name]:.6g}") for f in track] for name in track[0].numbers},
        }
        for label, track in frames.items()
    ]
    request = {"prompt": first.prompt, "seed": first.seed}
    facts = {"run": run_id, "picked": picked, "size": size, "planned": config.steps, "note": note, "request": request}
    return _safe({"kind": "live", **facts, "largest": largest, "tracks": tracks})


def waiting(note: str) -> str:
    """Nothing to play yet, and why, in plain text."""
    return _safe({"kind": "waiting", "note": note})


def _safe(value: dict[str, Any]) -> str:
    return json.dumps(value).replace("<", "\\u003c")
