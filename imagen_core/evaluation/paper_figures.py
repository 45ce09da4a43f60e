"""The paper's figures on this cascade: alignment against Fréchet distance over w (Fig. 4c, A.8), pictures over w (A.9),
and the super-resolution stage over aug_level and w (A.11).

Every cell is cached under a digest of everything that determines it, so an interrupted evaluation resumes.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..diffusion.augmentation import bicubic, resize
from ..diffusion.saturation import consistency, measure
from ..files.writing import written_whole
from ..models.cascade import Cascade
from ..records.png import save_grid
from ..settings import SIDE_BY_SIDE, with_rule
from .detector import load_detector
from .intervals import share
from .judges import Judge
from .sampling import Order, for_viewers, kept
from .super_resolution import captions, compared, describe, true_pictures

# The last one is that of the page's opening run.
WS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
# The picture in the grid over w; drawn with every cell, but not counted.
SHOWN = Order("a large red sphere to the left of a small blue cube on grass at sunset", 1)


@dataclass(frozen=True)
class Extent:
    """How much is sampled: pictures a prompt, every ``stride``-th prompt; aug_levels, weights and scenes of the SR."""

    each: int
    stride: int
    aug_levels: tuple[float, ...]
    sr_ws: tuple[float, ...]
    sr_scenes: int


FULL = Extent(each=1, stride=2, aug_levels=(0.0, 0.1, 0.2, 0.3, 0.5), sr_ws=(1.0, 2.0, 4.0, 8.0), sr_scenes=16)
QUICK = Extent(each=1, stride=6, aug_levels=(0.0, 0.1, 0.3), sr_ws=(1.0, 2.0, 4.0), sr_scenes=6)


@dataclass(frozen=True)
class Cells:
    """A figure's table, one row for each cell, and labelled pictures to look at."""

    rows: list[dict[str, Any]]
    images: list[Tensor]
    labels: list[str]


def over_w(cascade: Cascade, judge: Judge, each: int, cache: Path) -> Cells:
    """WS × none, static, dynamic from the same noise: alignment, distances and saturation of each.

    ``alignment`` comes with its interval; on the table top it is the share of pictures with every named object right.
    ``burnt``, ``colourfulness`` and ``contrast`` (saturation.measure) are means minus those of the true pictures.
    """
    numbers = [*range(len(judge.prompts))] * each
    orders = [*(Order(judge.prompts[number], seed) for seed, number in enumerate(numbers)), SHOWN]
    true_looks = _looks(judge.truth)
    cells = Cells([], [], [])
    for w in tqdm(WS, desc="weights", unit="w", disable=None):
        for rule in SIDE_BY_SIDE:
            config = with_rule(cascade.base, guidance=w, threshold=rule)
            drawn = kept(cache, cascade, config, orders)
            images = drawn[:-1]
            aligned = share(judge.align(images, numbers), [judge.names[number] for number in numbers])
            cells.rows.append(
                {
                    "w": w,
                    "threshold": rule,
                    "alignment": round(aligned.value, 4),
                    "low": round(aligned.low, 4),
                    "high": round(aligned.high, 4),
                    **judge.distances(images),
                    **{f"{name}_excess": round(x - true_looks[name], 5) for name, x in _looks(images).items()},
                    "samples": len(images),
                }
            )
            cells.images.extend(for_viewers(cascade, config.size, drawn[-1:]))
            cells.labels.append(f"w = {w:g}, {rule}")
    return cells


def _looks(images: Tensor) -> dict[str, float]:
    measured = measure(images)
    return {name: float(getattr(measured, name).mean()) for name in ("burnt", "colourfulness", "contrast")}


def over_aug_level(cascade: Cascade, extent: Extent, cache: Path) -> Cells:
    """The 256 stage at each aug_level and w, on base samples and on shrunk true renders of the same captions."""
    orders, truth = captions(extent.sr_scenes), true_pictures(256, extent.sr_scenes, cache)
    detector, _ = load_detector()
    inputs = {"generated": kept(cache, cascade, cascade.defaults[64], orders), "true": resize(truth, 64)}
    true = describe(detector, truth)
    cells = Cells([], [], [])
    for kind, clean in inputs.items():
        plain = describe(detector, bicubic(clean, 256))
        for level in extent.aug_levels:
            for w in extent.sr_ws:
                config = replace(cascade.defaults[256], aug_level=level, guidance=w)
                pictures = kept(cache, cascade, config, orders, clean)
                result = compared(describe(detector, pictures), plain, true, float(consistency(pictures, clean).mean()))
                cells.rows.append(
                    {
                        "inputs": kind,
                        "aug_level": level,
                        "w": w,
                        **{name: round(value, 4) for name, value in asdict(result).items()},
                        "samples": len(pictures),
                    }
                )
                if kind == "generated":
                    cells.images.extend(for_viewers(cascade, 256, pictures[:1]))
                    cells.labels.append(f"aug_level {level:g}, w = {w:g}")
    return cells


def recommended(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The cell on generated inputs whose crops are nearest to true ones."""
    return min((row for row in rows if row["inputs"] == "generated"), key=lambda row: row["frechet"])


def write_table(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """CSV with a header."""
    with written_whole(file) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw_figures(
    cascade: Cascade, judge: Judge, extent: Extent, cache: Path, out: Path, note: str, *, world: bool = True
) -> dict[str, Any]:
    """Sample what is missing; write tables, plots and grids (CSV, PNG, SVG) to ``out``; returns the numbers.

    Only a model of the table top (``world``) has true renders to compare the super-resolution stage with.
    """
    from . import plots

    began = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    weights = over_w(cascade, judge, extent.each, cache)
    write_table(weights.rows, out / "pareto.csv")
    plots.pareto(weights.rows, judge.alignment, judge.distance, note, out / "pareto.png")
    # Rows are rules and columns weights, as in the paper.
    n = len(SIDE_BY_SIDE)
    order = [i for rule in range(n) for i in range(rule, len(weights.rows), n)]
    save_grid(
        [weights.images[i] for i in order],
        [weights.labels[i] for i in order],
        len(WS),
        out / "weights.png",
        weights=cascade.digest,
    )
    facts: dict[str, Any] = {"weights": cascade.digest, "pareto": weights.rows}
    files = ["pareto.csv", "pareto.png", "pareto.svg", "weights.png"]
    if world and 256 in cascade.sizes:
        levels = over_aug_level(cascade, extent, cache)
        write_table(levels.rows, out / "aug_level.csv")
        plots.aug_level(levels.rows, note, out / "aug_level.png")
        save_grid(
            levels.images, levels.labels, len(extent.sr_ws), out / "aug_level-pictures.png", weights=cascade.digest
        )
        best = recommended(levels.rows)
        facts |= {"aug_level": levels.rows, "recommended": {name: best[name] for name in ("aug_level", "w")}}
        files += ["aug_level.csv", "aug_level.png", "aug_level.svg", "aug_level-pictures.png"]
    seconds = round(time.perf_counter() - began, 1)
    return {**facts, "files": [str(out / file) for file in files], "seconds": seconds, "note": note}
