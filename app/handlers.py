"""What the tabs share: how a handler refuses, writes pictures and names its events."""

from __future__ import annotations

import contextlib
import html
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.records import png
from imagen_core.settings import Request
from imagen_core.types import UserError

from . import folders

# A frame costs the browser 50 to 60 ms, so more than eight a second would only queue up.
FRAME_SECONDS = 0.125
# A line of text must stay long enough to be read.
STATUS_SECONDS = 0.4
# Pictures wait here until the page has copied them; gone when the server ends, and an hour after they were made.
PICTURES = folders.own("pictures")
KEEP_SECONDS = 3600
# Events that answer at once, and those that take the engine.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# QUIET through the queue: only queued events send toasts and changes of a gr.State.
WAKING: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
ENGINE: dict[str, Any] = {
    "show_progress": "hidden",
    "trigger_mode": "once",
    "concurrency_id": "engine",
    "concurrency_limit": 1,
    "api_visibility": "private",
}


def engine(place: Any) -> dict[str, Any]:
    """ENGINE for an event that shows its place in the queue and its seconds at ``place``."""
    return {**ENGINE, "show_progress": "minimal", "show_progress_on": place}


def refuse(error: UserError) -> gr.Error:
    """A user's mistake as a message on the page: one line, no traceback; the user's text is escaped."""
    return gr.Error(html.escape(str(error), quote=False), print_exception=False, title="Please change this")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Raise a UserError of the block, or a disk that is full, as a message on the page."""
    try:
        yield
    except UserError as error:
        raise refuse(error) from None
    except OSError as error:
        raise refuse(no_room(error)) from None


def no_room(error: OSError) -> UserError:
    """What is said of a disk that is full or read-only, without the file's name: it is the server's own."""
    return UserError(f"disk: the server cannot keep this run's files ({error.strerror})")


def warn(text: str, title: str) -> None:
    """Show a warning; the user's text is escaped."""
    gr.Warning(html.escape(text, quote=False), title=title)


def folder() -> Path:
    """A new folder for files that the page is about to copy; old ones are removed."""
    for old in Path(PICTURES.name).iterdir():
        # Another visitor's run may have removed it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=PICTURES.name))


def files(images: Any, request: Request, weights: str, **origin: str) -> list[tuple[str, str]]:
    """Pictures as PNG files with their settings inside, each with a caption, for a gallery.

    ``origin`` (png.ORIGINS) says what the settings alone cannot draw again.
    """
    place, captioned = folder(), []
    for index, (seed, image) in enumerate(zip(request.seeds, images)):
        path = place / f"imagen-{image.shape[-1]}-seed{seed}.png"
        png.save(image, path, request, index, weights=weights, **origin)
        captioned.append((str(path), f"seed {seed}, {image.shape[-1]} × {image.shape[-1]}"))
    return captioned
