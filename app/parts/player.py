"""The player as a component: its script and colours, and the values that Python hands to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.diffusion.saturation import BURNT
from imagen_core.records import payload, recording
from imagen_core.records.frames import Frame
from imagen_core.records.styles import OTHER, STYLES
from imagen_core.settings import Request

from .bundle import script

_FOLDER = Path(__file__).parents[1] / "static" / "player"
_STYLES = {**STYLES, "other": OTHER}
# What the engine decides and the script must know.
ENGINE = {
    "burnt": BURNT,
    "styles": {rule: {"dash": style.dash, "marker": style.marker} for rule, style in _STYLES.items()},
    "schemas": {kind: payload.schema(fields) for kind, fields in payload.KINDS.items()},
}
SCRIPT = script(_FOLDER / "main.js", "ImagenPlayer", ENGINE)
STYLE = _FOLDER / "player.css"
WHY = (
    '<p class="pl-why">Guidance pulls the picture towards the prompt. Too much drives colours beyond ±1, the limits of '
    'a screen. <b class="pl-none">None</b> leaves them there. <b class="pl-static">Static</b> cuts them off. '
    '<b class="pl-dynamic">Dynamic</b> dims the whole picture first, so that shades survive.</p>'
)


def _properties(colours: Mapping[str, str]) -> str:
    return " ".join(f"--lab-{rule}: {colour};" for rule, colour in colours.items())


# The rules' colours as custom properties of CSS, on light and on dark paper.
COLOURS = (
    f":root, .gradio-container {{ {_properties({rule: style.light for rule, style in _STYLES.items()})} }}\n"
    f".dark, .dark .gradio-container {{ {_properties({rule: style.dark for rule, style in _STYLES.items()})} }}\n"
)


def component(value: str | None = None, *, elem_id: str, **kwargs: Any) -> gr.HTML:
    """A player; its value is what :func:`recorded`, :func:`live` or :func:`waiting` return.

    The template never changes, so a new value keeps the player's view and the focus.
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


def recorded(
    run: recording.Recording,
    *,
    run_id: str = "",
    picked: str = "",
    link: str = "",
    begin: payload.State | None = None,
    others: Mapping[str, str] | None = None,
) -> str:
    """A whole recording, with the rule ``picked`` in front, or dynamic; ``others`` as in payload.Recorded.

    The player ignores frames of the run ``run_id`` that arrive after it. ``link`` is the query of a link to the run,
    without which there is no Share button; a player that is told to ``begin`` in a state rests there.
    """
    value = recording.payload(run, run=run_id, picked=picked, others=others)
    if link:
        value["link"] = link
    if begin:
        value["begin"] = begin
    return to_json(value)


def live(
    requests: Mapping[str, Request], frames: Mapping[str, Sequence[Frame]], *, note: str = "", run_id: str = "",
    picked: str = "",
) -> str:  # fmt: skip
    """A live run: the newest step's pictures, and the numbers of all steps so far."""
    first = next(iter(requests.values()))
    size = int(next(iter(frames.values()))[0].raw.shape[-1])
    configs = {label: next(c for c in request.stages if c.size == size) for label, request in requests.items()}
    config = next(iter(configs.values()))
    largest = max(1.0, *(track[-1].numbers["largest"] for track in frames.values()))
    tracks: list[payload.LiveTrack] = [
        {
            "label": label,
            "rule": configs[label].threshold,
            "w": config.guidance,
            "pixels": base64.b64encode(track[-1].pixels.tobytes()).decode(),
            "histogram": track[-1].histogram(largest),
            "numbers": recording.numbers(track),
        }
        for label, track in frames.items()
    ]
    frame: payload.Live = {
        "kind": "live",
        "run": run_id,
        "picked": picked,
        "size": size,
        "planned": config.steps,
        "note": note,
        "request": {"prompt": first.prompt, "seed": first.seed},
        "largest": largest,
        "tracks": tracks,
    }
    return to_json(frame)


def waiting(note: str) -> str:
    """A note in place of a run, in plain text."""
    return to_json({"kind": "waiting", "note": note})


def to_json(value: payload.Recorded | payload.Live | payload.Waiting) -> str:
    """A payload as JSON that is safe inside any HTML."""
    return json.dumps(value).replace("<", "\\u003c")
