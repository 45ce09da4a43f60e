"""Figures as PNG and SVG. Only this file of the engine imports matplotlib, and it uses no global state of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..files.writing import written_whole
from ..records.styles import STYLES
from ..settings import SIDE_BY_SIDE

Rows = Sequence[dict[str, Any]]


def pareto(rows: Rows, alignment: str, distance: str, note: str, file: Path) -> None:
    """Alignment against Fréchet distance: a curve for each rule, a point for each weight. Saturation and contrast."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
    for rule in SIDE_BY_SIDE:
        mine = [row for row in rows if row["threshold"] == rule]
        x, y = [row["frechet"] for row in mine], [row["alignment"] for row in mine]
        low = [row["alignment"] - row["low"] for row in mine]
        high = [row["high"] - row["alignment"] for row in mine]
        style = {**STYLES[rule].plot, "label": rule, "markersize": 5}
        left.errorbar(x, y, yerr=[low, high], capsize=2, elinewidth=0.6, **style)
        for row, across, up in zip(mine, x, y):
            left.annotate(
                f"{row['w']:g}",
                (across, up),
                (4, 4),
                textcoords="offset points",
                fontsize=8,
                color=STYLES[rule].color,
            )
        for axis, name in ((middle, "burnt"), (right, "contrast")):
            axis.plot([row["w"] for row in mine], [row[f"{name}_excess"] for row in mine], **style)
    # On a linear axis the points of small weights would overlap.
    left.set(xlabel=f"{distance} (lower is better)", ylabel=alignment, xscale="log")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    left.set_title("Alignment against fidelity; numbers are w", fontsize=10)
    middle.set(ylabel="share of burnt values, minus true pictures'")
    middle.set_title("Saturation", fontsize=10)
    right.set(ylabel="standard deviation of luma, minus true pictures'")
    right.set_title("Contrast", fontsize=10)
    for axis in (middle, right):
        axis.set_xlabel("guidance weight w")
        axis.axhline(0, color="0.7", linewidth=0.8)
    _finish(figure, (left, middle, right), note, file)


def aug_level(rows: Rows, note: str, file: Path) -> None:
    """Fréchet distance of the 256 stage's crops over aug_level: a curve for each weight, for both kinds of input."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, kind in zip(axes, ("generated", "true")):
        mine = [row for row in rows if row["inputs"] == kind]
        weights = sorted({row["w"] for row in mine})
        for number, w in enumerate(weights):
            curve = [row for row in mine if row["w"] == w]
            shade = str(0.75 - 0.75 * number / max(1, len(weights) - 1))
            axis.plot(
                [r["aug_level"] for r in curve],
                [r["frechet"] for r in curve],
                marker="o",
                color=shade,
                label=f"w = {w:g}",
            )
        axis.axhline(mine[0]["frechet_bicubic"], color="#2166ac", linestyle="--", linewidth=1, label="bicubic")
        axis.set(xlabel="aug_level at sampling", ylabel="Fréchet distance of crops to true ones")
        axis.set_title(f"256 × 256 from {kind} inputs", fontsize=10)
    _finish(figure, axes, note, file)


def percentiles(rows: Rows, truth: dict[str, Any], note: str, file: Path) -> None:
    """What the percentile does to dynamic thresholding: its scale s, and contrast, colourfulness and burnt values."""
    figure = Figure(figsize=(13, 4.0), layout="constrained")
    axes = figure.subplots(1, 3)
    places = range(len(rows))
    shown = (
        ("scale s", (("s_first", "first step", "-"), ("s_mean", "mean of the guided steps", "--")), False),
        ("contrast and colourfulness", (("contrast", "contrast", "-"), ("colourfulness", "colourfulness", "--")), True),
        ("share of burnt values", (("burnt", "burnt", "-"),), True),
    )
    for axis, (name, curves, against) in zip(axes, shown):
        for column, label, line in curves:
            axis.plot(
                places, [row[column] for row in rows], line, color=STYLES["dynamic"].color, marker="o", label=label
            )
            if against:
                axis.axhline(truth[column], color="0.6", linestyle=line, linewidth=1)
        axis.set(xlabel="percentile", xticks=list(places), xticklabels=[f"{row['percentile']:g}" for row in rows])
        axis.set_title(name + (" (grey: true pictures)" if against else ""), fontsize=10)
        axis.legend(frameon=False, fontsize=9)
    _finish(figure, axes, note, file)


# Colours of what is read of a text encoder, from no layer to a mix (Okabe & Ito 2008), and lines of both U-Nets.
LAYER_COLOURS = ("#E69F00", "#56B4E9", "#0072B2", "#009E73")
SIZE_LINES = ({"linestyle": "--", "marker": "o"}, {"linestyle": "-", "marker": "s"})


def encoders(rows: Rows, changes: Rows, note: str, file: Path) -> None:
    """Alignment against Fréchet distance over w for each text and size (Fig. 4a, 4b), and what changes alignment."""
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    layers, sizes = (list(dict.fromkeys(row[name] for row in rows)) for name in ("layers", "network"))
    colours, lines = dict(zip(layers, LAYER_COLOURS)), dict(zip(sizes, SIZE_LINES))
    panels = (
        ("Layers of the text encoder, network {1}", [(read, sizes[-1]) for read in layers]),
        ("Size of the network, layers: {0}", [("6", size) for size in sizes]),
    )
    for axis, (title, shown) in zip(axes, panels):
        for read, size in shown:
            curve = [row for row in rows if (row["layers"], row["network"]) == (read, size)]
            style = {**lines[size], "color": colours[read], "label": f"layers: {read}, {size}"}
            x, y = [row["frechet"] for row in curve], [row["alignment"] for row in curve]
            bars = {"xerr": _bars(curve, "frechet"), "yerr": _bars(curve, "alignment")}
            axis.errorbar(x, y, **bars, capsize=2, elinewidth=0.6, **style)
            for row, across, up in zip(curve, x, y):
                axis.annotate(f"{row['w']:g}", (across, up), (4, 4), textcoords="offset points", fontsize=8)
        axis.set(xlabel="Fréchet distance to true renders", ylabel="share of what prompts name that is shown")
        axis.set_title(title.format(*shown[-1]) + "; numbers are w", fontsize=10)
    axes[1].legend(frameon=False, fontsize=9)
    names, values = [row["change"] for row in changes], [row["alignment"] for row in changes]
    axes[2].errorbar(values, names, xerr=_bars(changes, "alignment"), fmt="o", color="0.2", capsize=2)
    axes[2].axvline(0, color="0.7", linewidth=0.8)
    axes[2].invert_yaxis()
    axes[2].set(xlabel="change of the share that is shown")
    axes[2].set_title("What a change does, mean over w", fontsize=10)
    _finish(figure, axes, note, file)


def _bars(rows: Rows, name: str) -> list[list[float]]:
    """How far intervals reach below and above their values, as errorbar takes it."""
    return [[r[name] - r[f"{name}_low"] for r in rows], [r[f"{name}_high"] - r[name] for r in rows]]


def _finish(figure: Figure, axes: Sequence[Any], note: str, file: Path) -> None:
    for axis in axes:
        axis.grid(color="0.92")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=9)
    figure.supxlabel(note, fontsize=8, color="0.4")
    with written_whole(file) as aside:
        figure.savefig(aside, format="png", dpi=150, metadata={"Software": None})
    with written_whole(file.with_suffix(".svg")) as aside:
        figure.savefig(aside, format="svg", metadata={"Date": None})
