"""What helps more, a deeper frozen text encoder or a larger U-Net (Saharia et al. 2022, Fig. 4a and 4b)?

A cell is one base trained from random weights. It reads one hidden layer of MiniLM: layer 0 is the tokens' own
embeddings, and layer k is what an encoder of k layers gives. Or it reads a mix of the embeddings and all six layers,
whose weights it learns. All cells see the same pictures, captions, levels and noise in the same order. All draw the
same prompts from the same noise.

The base's own trained text layers are part of the U-Net. They can make up in part for layers that the encoder lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..models.cascade import Cascade, Loading
from ..models.checkpoints import unet_of
from ..models.opening import load_cascade
from ..networks.precision import bf16_is_fast
from ..networks.text import LAST, MIX, open_encoder
from ..settings import with_rule
from ..training.data import FRESH_SEEDS, Shards, among_others, encode_shards, render_shards
from ..training.loop import train
from ..training.recipes import RECIPES, Recipe
from ..training.ship import ship
from ..types import TextEmbedding
from ..worlds.known import open_world
from .caption_use import LEVELS, errors
from .detector import Reading, load_detector, look
from .frechet import frechet
from .intervals import Share, jackknife, share
from .paper_figures import write_table
from .sampling import kept
from .scoring import orders, true_renders
from .tabletopbench import TRAINED, Prompt, judge, match, prompts, scores_of

# MiniLM has six layers. Its last one has the name LAST, under which training pictures keep their embeddings.
LAYERS = {"0": 0, "2": 2, "6": LAST, "mix": MIX}
SIZES = ("XXS", "XS")
RARE = "rare_words"
# ``alignment`` is the share of what a prompt names that its picture shows: each thing by shape and colour, floor and
# light. ``objects`` and ``rare_words`` are the bench's: all or nothing.
SCORES = ("alignment", "objects", RARE)
# Rates of docs/LOG.md's trial of Muon from random weights.
FROM_SCRATCH: dict[str, Any] = {"lr": 3e-3, "warmup": 60, "decay": 0.4, "pictures": 4000, "seed": 0}
# Processes that render missing pictures.
WORKERS = 2
# Nearly as good as the default 25 in evaluate settings.
SAMPLER_STEPS = 10


@dataclass(frozen=True)
class Extent:
    """How much is trained and sampled: steps, those at half the side, weights, every ``stride``-th prompt, scenes."""

    steps: int
    small_steps: int
    ws: tuple[float, ...]
    stride: int
    scenes: int


FULL = Extent(steps=540, small_steps=480, ws=(1.0, 3.0, 8.0), stride=1, scenes=96)
QUICK = Extent(steps=40, small_steps=32, ws=(1.0, 5.0), stride=6, scenes=32)


@dataclass(frozen=True)
class Cell:
    """One base: how many layers of the encoder it is given, or a mix of all; and the size of its network."""

    layers: str
    size: str

    def recipe(self, extent: Extent) -> Recipe:
        """The shipped base's recipe, but from random weights, for this network and layer."""
        return replace(
            RECIPES["base"],
            **FROM_SCRATCH,
            steps=extent.steps,
            small_steps=extent.small_steps,
            network=self.size,
            layer=LAYERS[self.layers],
            precision="bf16" if bf16_is_fast() else "no",
        )


CELLS = tuple(Cell(layers, size) for layers, size in product(LAYERS, SIZES))


@dataclass(frozen=True)
class Measured:
    """What one cell's pictures and losses say.

    ``scores`` has an array [w, prompts] for each of SCORES, ``features`` [w, n, f] the detector's of the pictures in
    words of training. ``loss`` holds each fresh scene's loss with its caption, ``caption_gain`` what leaving the
    caption out adds to it.
    """

    parameters: int
    scores: dict[str, np.ndarray]
    features: Tensor
    loss: np.ndarray
    caption_gain: np.ndarray


def train_cell(cell: Cell, extent: Extent, data: Path, runs: Path, loading: Loading) -> Cascade:
    """The cell's cascade; its training is resumed, or is read if it has ended.

    Raises:
        UserError: the folder holds another training.
    """
    recipe = cell.recipe(extent)
    world, encoder = open_world(recipe.world), open_encoder(recipe.encoder, recipe.layer)
    shards = Shards(data, world, 64, among_others(encoder))
    render_shards(shards, recipe.pictures, WORKERS)
    encode_shards(shards, recipe.pictures, encoder)
    # Another number of steps is another run: it decays at another time.
    run = runs / f"layers-{cell.layers}-{cell.size}-{extent.steps}"
    unet = train(recipe, shards, run)
    ship(run / "cascade", unet, recipe, encoder)
    return load_cascade(run / "cascade", loading)


def losses(cascade: Cascade, scenes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of fixed scenes that training never showed: each one's loss at 64 × 64, and what leaving its caption out adds."""
    world = open_world(RECIPES["base"].world)
    seeds = range(FRESH_SEEDS, FRESH_SEEDS + scenes)
    x = torch.stack([world.picture(seed, 64) for seed in seeds])
    text = cascade.encode([world.caption(seed, seed) for seed in seeds])
    stage = cascade.stages[0]

    def of(given: TextEmbedding) -> Tensor:
        levels = [errors(unet_of(stage), x, level, given, stage.spec.prediction) for level in LEVELS]
        return torch.stack(levels).mean(0)

    with torch.inference_mode():
        told, untold = of(text), of(text.null())
    return told.numpy(), (untold - told).numpy()


def measure_cell(cascade: Cascade, extent: Extent, chosen: Sequence[Prompt], cache: Path) -> Measured:
    """Draw and judge ``chosen``, and take the losses."""
    detector, _ = load_detector()
    trained = [i for i, prompt in enumerate(chosen) if prompt.category in TRAINED]
    scores: dict[str, list[list[float]]] = {name: [] for name in SCORES}
    features = []
    for w in extent.ws:
        config = with_rule(cascade.defaults[64], guidance=w, steps=SAMPLER_STEPS)
        readings, seen = look(detector, kept(cache, cascade, config, orders(chosen, 1, 0)))
        pairs = [*zip(chosen, readings)]
        bench = [scores_of(prompt, judge(prompt, reading)) for prompt, reading in pairs]
        scores["alignment"].append([shown(*pairs[i]) for i in trained])
        scores["objects"].append([bench[i]["objects"] for i in trained])
        scores[RARE].append([values[RARE] for values in bench if RARE in values])
        features.append(seen[trained])
    parameters = sum(p.numel() for p in unet_of(cascade.stages[0]).parameters())
    arrays = {name: np.array(values, float) for name, values in scores.items()}
    return Measured(parameters, arrays, torch.stack(features), *losses(cascade, extent.scenes))


def shown(prompt: Prompt, reading: Reading) -> float:
    """The share of what the prompt names that the picture shows."""
    verdict = judge(prompt, reading)
    around = [verdict[name] for name in ("floor", "light") if verdict[name] is not None]
    return float(np.mean([*(thing is not None for thing in match(prompt.each, reading.things)), *around]))


def asked(stride: int) -> tuple[Prompt, ...]:
    """Every ``stride``-th prompt in words of training, and every one with a rare word."""
    trained = [prompt for prompt in prompts() if prompt.category in TRAINED]
    return (*trained[::stride], *(prompt for prompt in prompts() if prompt.category == RARE))


def rows_of(cell: Cell, measured: Measured, extent: Extent, truth: Tensor) -> list[dict[str, Any]]:
    """The table's lines of a cell, one a weight, each value with its interval."""
    rows = []
    for i, w in enumerate(extent.ws):
        values = {
            **{name: _mean(measured.scores[name][i]) for name in SCORES},
            "frechet": jackknife(partial(_distance, measured.features[i : i + 1], truth), measured.features.shape[1]),
            "loss": _mean(measured.loss),
            "caption_gain": _mean(measured.caption_gain),
        }
        facts = {"layers": cell.layers, "network": cell.size, "parameters": measured.parameters, "w": w}
        rows.append({**facts, **_columns(values), "pictures": measured.features.shape[1]})
    return rows


# A contrast adds up the cells' values, each times its weight.
Contrast = dict[Cell, float]


def contrasts() -> dict[str, Contrast]:
    """What other layers change on average over sizes, and a larger network on average over what is read.

    The last one starts from the small network without layers: is it better to add six layers or to enlarge it?
    """
    steps = {
        f"layers: {b} for {a}": {Cell(x, size): sign / len(SIZES) for size in SIZES for x, sign in ((a, -1), (b, 1))}
        for a, b in (("0", "2"), ("2", "6"), ("0", "6"), ("6", "mix"))
    }
    larger = {Cell(x, size): sign / len(LAYERS) for x in LAYERS for size, sign in zip(SIZES, (-1, 1))}
    small, large = SIZES
    either = {Cell("6", small): 1.0, Cell("0", large): -1.0}
    return {**steps, f"{large} for {small}": larger, f"6 layers, {small} for 0 layers, {large}": either}


def differences(cells: Mapping[Cell, Measured], truth: Tensor) -> list[dict[str, Any]]:
    """Each contrast of each value, paired over prompts or scenes; scores and Fréchet distances are means over w."""

    def row(name: str, contrast: Contrast) -> dict[str, Any]:
        def paired(value: Callable[[Measured], np.ndarray]) -> Share:
            return _mean(sum((weight * value(cells[cell]) for cell, weight in contrast.items()), np.zeros(1)))

        def apart(some: np.ndarray) -> float:
            return sum(weight * _distance(cells[cell].features, truth, some) for cell, weight in contrast.items())

        def of(name: str) -> Share:
            return paired(lambda measured: measured.scores[name].mean(0))

        count = next(iter(cells.values())).features.shape[1]
        values = {
            **{name: of(name) for name in SCORES},
            "frechet": jackknife(apart, count),
            "loss": paired(lambda m: m.loss),
            "caption_gain": paired(lambda m: m.caption_gain),
        }
        return {"change": name, **_columns(values)}

    return [row(name, contrast) for name, contrast in contrasts().items()]


def _distance(features: Tensor, truth: Tensor, some: np.ndarray) -> float:
    """The mean over weights of the Fréchet distance of ``some`` pictures."""
    return float(np.mean([frechet(seen[some], truth) for seen in features]))


def _mean(values: np.ndarray) -> Share:
    """The mean with its interval; each value is a prompt or scene of its own."""
    return share(values.tolist(), [f"{i:04d}" for i in range(len(values))])


def _columns(values: Mapping[str, Share]) -> dict[str, float]:
    columns: dict[str, float] = {}
    for name, value in values.items():
        low, high = f"{name}_low", f"{name}_high"
        columns |= {name: round(value.value, 4), low: round(value.low, 4), high: round(value.high, 4)}
    return columns


def study(extent: Extent, data: Path, runs: Path, cache: Path, out: Path, loading: Loading) -> dict[str, Any]:
    """Train and measure what is missing; write encoders.csv, encoders-differences.csv and the figure to ``out``.

    Raises:
        UserError: a cell's folder holds another training, or the detector is missing.
    """
    from . import plots

    detector, digest = load_detector()
    chosen = asked(extent.stride)
    _, truth = look(detector, true_renders([prompt for prompt in chosen if prompt.category in TRAINED], cache))
    cells = {}
    for cell in tqdm(CELLS, desc="cells", unit="cell", disable=None):
        cells[cell] = measure_cell(train_cell(cell, extent, data, runs, loading), extent, chosen, cache)
    rows = [row for cell, measured in cells.items() for row in rows_of(cell, measured, extent, truth)]
    changes = differences(cells, truth)
    out.mkdir(parents=True, exist_ok=True)
    write_table(rows, out / "encoders.csv")
    write_table(changes, out / "encoders-differences.csv")
    pictures = extent.steps * RECIPES["base"].batch
    note = f"{pictures:,} training pictures a cell; bars are 95 % intervals"
    plots.encoders(rows, changes, note, out / "encoders.png")
    files = ("encoders.csv", "encoders-differences.csv", "encoders.png", "encoders.svg")
    return {"cells": rows, "differences": changes, "detector": digest, "files": [str(out / file) for file in files]}
