"""What the tabs share: how a handler refuses, writes pictures and names its events."""

from __future__ import annotations

import contextlib
import html
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.records import png
from imagen_core.settings import DEFAULTS, RANGES, Request
from imagen_core.types import UserError

from .parts import views

# A frame costs the browser 50 to 60 ms, so more than eight a second would only queue up.
FRAME_SECONDS = 0.125
# A line of text is read, not watched.
STATUS_SECONDS = 0.4
# Pictures wait here until the page has copied them; gone when the server ends, and an hour after they were made.
PICTURES = tempfile.TemporaryDirectory(prefix="imagen-lab-")
KEEP_SECONDS = 3600
# Events that answer at once, and those that take the engine.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# As QUIET, but through the queue, without which no toast and no state's change reaches the page.
WAKING: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
ENGINE: dict[str, Any] = {
    "show_progress": "hidden",
    "trigger_mode": "once",
    "concurrency_id": "engine",
    "concurrency_limit": 1,
    "api_visibility": "private",
}


def engine(place: Any) -> dict[str, Any]:
    """ENGINE for an event that tells its place in the queue, and its seconds, at ``place``."""
    return {**ENGINE, "show_progress": "minimal", "show_progress_on": place}


def refuse(error: UserError) -> gr.Error:
    """A user's mistake as a message on the page: one line, no traceback; what the user typed stays text."""
    return gr.Error(html.escape(str(error), quote=False), print_exception=False, title="Please change this")


def warn(text: str, title: str) -> None:
    """Tell what was ignored or not taken, without stopping; what the user typed stays text."""
    gr.Warning(html.escape(text, quote=False), title=title)


def stopped(status: Any) -> Any:
    """What stands in a tab's status line once Stop was pressed: what was finished before is not stopped."""
    return views.message("Stopped.") if views.WORKING in str(status) else gr.skip()


def whole(value: Any) -> Any:
    """The browser sends 7 as 7.0; anything else is left for the request to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def slider(name: str, value: float, label: str, info: str, *, step: float, elem_id: str | None = None) -> gr.Slider:
    """A slider over a setting's allowed range."""
    low, high = RANGES[name]
    return gr.Slider(low, high, value=value, step=step, label=label, info=info, interactive=True, elem_id=elem_id)


def aug_slider(size: int, elem_id: str) -> gr.Slider:
    """The slider of a super-resolution stage's aug_level, at its default."""
    label, info = f"aug_level of SR {size}", "noise on its input; the paper's best lie at 0.1 to 0.3"
    return slider("aug_level", DEFAULTS[size].aug_level or 0.0, label, info, step=0.01, elem_id=elem_id)


def folder() -> Path:
    """A new folder for files that the page is about to copy; old ones are removed."""
    for old in Path(PICTURES.name).iterdir():
        # Another visitor's run may have removed it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=PICTURES.name))


def files(images: Any, request: Request, weights: str) -> list[tuple[str, str]]:
    """Pictures as PNG files with their settings inside, each with a caption, for a gallery."""
    place, made = folder(), []
    for index, (seed, image) in enumerate(zip(request.seeds, images)):
        path = place / f"imagen-{image.shape[-1]}-seed{seed}.png"
        png.save(image, path, request, weights=weights, index=str(index))
        made.append((str(path), f"seed {seed}, {image.shape[-1]} × {image.shape[-1]}"))
    return made
