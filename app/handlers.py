"""What the tabs share: how a handler refuses, writes pictures and names its events; and the API's functions."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core import png, settings
from imagen_core.cascade import StageResult
from imagen_core.cascade import generate as cascade_generate
from imagen_core.settings import RANGES, Request
from imagen_core.tabletop import vocabulary
from imagen_core.types import UserError

from .models import Model

# A frame costs the browser 50 to 60 ms, so more than eight a second would only queue up.
FRAME_SECONDS = 0.125
# Pictures wait here until the page has copied them; gone when the server ends, and an hour after they were made.
PICTURES = tempfile.TemporaryDirectory(prefix="imagen-lab-")
KEEP_SECONDS = 3600
# Events that answer at once, and those that take the engine.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ENGINE: dict[str, Any] = {
    "show_progress": "hidden",
    "trigger_mode": "once",
    "concurrency_id": "engine",
    "concurrency_limit": 1,
    "api_visibility": "private",
}


def refuse(error: UserError) -> gr.Error:
    """A user's mistake as a message on the page: one line, no traceback."""
    return gr.Error(str(error), print_exception=False, title="Please change this")


def whole(value: Any) -> Any:
    """The browser sends 7 as 7.0; anything else is left for the request to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def slider(name: str, value: float, label: str, info: str, *, step: float, elem_id: str | None = None) -> gr.Slider:
    """A slider over a setting's allowed range."""
    low, high = RANGES[name]
    return gr.Slider(low, high, value=value, step=step, label=label, info=info, interactive=True, elem_id=elem_id)


def folder() -> Path:
    """A new folder for files that the page is about to copy; old ones are removed."""
    for old in Path(PICTURES.name).iterdir():
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


def sample(
    model: Model,
    prompt: str,
    seed: int,
    size: int,
    guidance: float,
    threshold: str,
    percentile: float,
    aug_level: float,
) -> Iterator[str]:
    """Draw one picture of ``prompt``; ends with a PNG that carries its settings.

    Until then yields an empty path after each step, so that a cancelled call stops there.
    """
    try:
        request = settings.request(
            prompt,
            size=size,
            seed=seed,
            guidance=guidance,
            threshold=threshold,
            percentile=percentile,
            aug_level=aug_level,
        )
        cascade = model.get()
        for event in model.in_turn(cascade_generate(request, cascade)):
            if isinstance(event, StageResult):
                image = event.image
            yield ""
    except UserError as error:
        raise refuse(error) from None
    yield files(image, request, cascade.digest)[0][0]


def describe(prompt: str) -> dict[str, Any]:
    """Which words of ``prompt`` the shipped model never saw in training, and the concepts that it knows."""
    if not isinstance(prompt, str):
        raise refuse(UserError("prompt: must be text"))
    concepts = ("SHAPES", "COLOURS", "SIZES", "MATERIALS", "FLOORS", "LIGHTS")
    known = {name.lower(): {k: list(v) for k, v in getattr(vocabulary, name).items()} for name in concepts}
    return {"unknown": list(vocabulary.unknown_words(prompt[: settings.MAX_PROMPT])), "known": known}
