"""Still figures of a run for papers and lessons, by matplotlib: film strip and saturation report, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from imagen_core.diffusion.saturation import BURNT
from imagen_core.records.lettering import legible
from imagen_core.records.styles import OTHER, STYLES
from imagen_core.settings import Request

from ..serving.session import Frames

CURVES = (
    ("outside", "share of values with |x̂0| > 1, before the rule"),
    ("s", "s, what the rule divides by"),
    ("burnt", f"burnt: share of values with |x̂0| > {BURNT}, after it"),
    ("colourfulness", "colourfulness: mean HSV saturation, after the rule"),
    ("contrast", "contrast: standard deviation of luma, after the rule"),
    ("largest", "largest |x̂0|, before the rule"),
)
DPI = 150
MOST_PICTURES = 9


def film_strip(frames: Frames, request: Request) -> Figure:
    """x̂0 as kept at up to nine steps spread over the run, one row for each rule."""
    steps = len(next(iter(frames.values())))
    picked_steps = np.unique(np.linspace(0, steps - 1, min(steps, MOST_PICTURES)).round().astype(int))
    figure = Figure(figsize=(1.25 * len(picked_steps) + 0.9, 1.3 * len(frames) + 0.75), layout="constrained", dpi=DPI)
    axes = figure.subplots(len(frames), len(picked_steps), squeeze=False)
    for line, (rule, track) in zip(axes, frames.items()):
        for ax, step in zip(line, picked_steps):
            ax.imshow(track[step].pixels, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if line is axes[0]:
                ax.set_title(f"step {step + 1}", fontsize=8)
        line[0].set_ylabel(rule, fontsize=9)
    _title(figure, request)
    return figure


def saturation_report(frames: Frames, request: Request) -> Figure:
    """How burnt the run is under each rule: six curves over the steps."""
    figure = Figure(figsize=(10.5, 6.2), layout="constrained", dpi=DPI)
    axes = figure.subplots(2, 3)
    for ax, (name, label) in zip(axes.flat, CURVES):
        for rule, track in frames.items():
            ax.plot([f.index + 1 for f in track], [f.numbers[name] for f in track], label=rule, markersize=3.5,
                    linewidth=1.4, markevery=max(1, len(track) // 12), **STYLES.get(rule, OTHER).plot)  # fmt: skip
        ax.set_title(label, fontsize=8.5)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=0.3)
    for ax in axes[-1]:
        ax.set_xlabel("step", fontsize=8.5)
    axes[0, 0].legend(fontsize=8)
    _title(figure, request)
    return figure


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``."""
    paths = [folder / f"{stem}.png", folder / f"{stem}.svg"]
    for path in paths:
        figure.savefig(path)
    return paths


def _title(figure: Figure, request: Request) -> None:
    base = request.stages[0]
    # matplotlib would draw boxes, and warn.
    prompt = legible(" ".join(request.prompt.split()))
    short = prompt if len(prompt) <= 90 else prompt[:89] + "…"
    facts = f"w = {base.guidance:g}, {base.sampler}, {base.steps} steps, seed {request.seed}"
    # A prompt may hold dollar signs, which are no formula.
    figure.suptitle(f"{short}\n{facts}", fontsize=9, parse_math=False)
