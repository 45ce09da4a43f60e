"""Files of a page left open: once the server has deleted them, their place says so and offers to draw them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ..handlers import KEEP_SECONDS, QUIET
from .bundle import script

# Files are kept for KEEP_SECONDS from the moment that they are written, which is a little before the page has them.
MARGIN_SECONDS = 60
SAYS = "These files were kept for an hour and have expired."
SCRIPT = script(
    Path(__file__).parents[1] / "static" / "expiry" / "main.js",
    "ImagenExpiry",
    {"milliseconds": 1000 * (KEEP_SECONDS - MARGIN_SECONDS), "says": SAYS, "again": "Draw them again"},
)


def component() -> gr.HTML:
    """What brings the script into the page; it shows nothing."""
    return gr.HTML("", head=f"<script>{SCRIPT}</script>", elem_id="expiry", padding=False)


def watch(part: Any, buttons: Sequence[gr.Button], changed: Any = None) -> None:
    """Let a part's files expire, counted from each change of ``changed`` (the part itself by default).

    ``buttons`` draw them again: the one that was pressed last, or the first.
    """
    ids = json.dumps([button.elem_id for button in buttons])
    renew = f"() => {{ window.ImagenExpiry?.renew({json.dumps(part.elem_id)}, {ids}); }}"
    (part if changed is None else changed).change(None, None, None, js=renew, **QUIET)
