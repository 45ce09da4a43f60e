"""A run as files to take away: statistics as CSV, every step as NPZ, the trajectory as animated WebP and GIF."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from imagen_core.records.frames import Frame
from imagen_core.records.lettering import font

from ..serving.session import Frames

FRAME_MS, LAST_MS = 120, 1500
MOST_FRAMES = 64
BAND, GAP = 22, 8
# An animation's panels are this many pixels wide, or the picture's own size if that is more.
PANEL = 256


def rows(frames: Frames) -> list[dict[str, Any]]:
    """The engine's numbers of each step under each rule, one row each, steps in order; see Frame."""
    steps = zip(*frames.values())
    return [
        {"step": frame.index + 1, "t": frame.level.t, "log_snr": frame.level.log_snr, "rule": rule, **frame.numbers}
        for step in steps
        for rule, frame in zip(frames, step)
    ]


def to_csv(frames: Frames) -> str:
    """The statistics as comma-separated text with a header line."""
    file = io.StringIO()
    table = rows(frames)
    writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue()


def trajectory(frames: Frames) -> list[Image.Image]:
    """One sheet a step, of long runs MOST_FRAMES: each rule's x̂0 as kept, beside each other, under its name."""
    steps = list(zip(*frames.values()))
    picked_steps = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_FRAMES)).round().astype(int))
    return [_sheet(dict(zip(frames, steps[i]))) for i in picked_steps]


def animate(frames: Frames, folder: Path, stem: str = "trajectory") -> list[Path]:
    """Write the trajectory as ``stem.webp`` and ``stem.gif``; both repeat, and rest on the last step."""
    sheets = trajectory(frames)
    times = [FRAME_MS] * (len(sheets) - 1) + [LAST_MS]
    options: dict[str, Any] = {"save_all": True, "append_images": sheets[1:], "duration": times, "loop": 0}
    webp, gif = folder / f"{stem}.webp", folder / f"{stem}.gif"
    sheets[0].save(webp, format="WEBP", lossless=True, method=2, **options)
    sheets[0].save(gif, format="GIF", optimize=False, **options)
    return [webp, gif]


def _sheet(step: Mapping[str, Frame]) -> Image.Image:
    pictures = {rule: enlarge(frame.pixels) for rule, frame in step.items()}
    side = next(iter(pictures.values())).width
    sheet = Image.new("RGB", (len(step) * (side + GAP) - GAP, side + BAND), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (rule, picture) in enumerate(pictures.items()):
        left = place * (side + GAP)
        number = f"step {step[rule].index + 1}" if place == 0 else ""
        draw.text((left + 4, 4), f"{rule}   {number}", fill="black", font=font(12))
        sheet.paste(picture, (left, BAND))
    return sheet


def enlarge(pixels: np.ndarray) -> Image.Image:
    """Pixels uint8 [h, w, 3] as a picture of about PANEL, each pixel a block."""
    times = max(1, PANEL // pixels.shape[0])
    picture = Image.fromarray(pixels)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
