"""The study of encoders: cells that differ in one thing, contrasts that tell them apart, and the whole table."""

from __future__ import annotations

import csv
import dataclasses
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CONFIGS

from imagen_core.evaluation import encoder_study
from imagen_core.evaluation.detector import Found, Reading
from imagen_core.evaluation.encoder_study import (
    CELLS,
    FULL,
    SCORES,
    Extent,
    Measured,
    asked,
    contrasts,
    differences,
    shown,
)
from imagen_core.evaluation.tabletopbench import TRAINED, Named, Prompt
from imagen_core.models.cascade import Loading
from imagen_core.models.checkpoints import read_cascade
from imagen_core.networks import sizes
from imagen_core.networks.text import open_encoder
from imagen_core.training import loop
from imagen_core.training.data import SHARD, Shards, among_others
from imagen_core.worlds.tabletop.tabletop import TableTop


def test_cells_differ_in_layer_and_network_alone() -> None:
    recipes = [dataclasses.asdict(cell.recipe(FULL)) for cell in CELLS]
    differing = {name for name in recipes[0] if len({recipe[name] for recipe in recipes}) > 1}
    assert differing == {"network", "layer"} and len(CELLS) == len(set(CELLS)) == 8
    assert all(not recipe["started_from"] for recipe in recipes)


def test_every_cell_is_asked_for_rare_words_and_words_of_training() -> None:
    whole, few = asked(1), asked(6)
    assert {prompt.category for prompt in whole} == {*TRAINED, "rare_words"}
    rare = [prompt for prompt in whole if prompt.category == "rare_words"]
    assert set(rare) <= set(few) < set(whole)


def test_alignment_counts_what_is_shown() -> None:
    prompt = Prompt("x", "scenes", "…", (Named("cube", "red", count=2),), floor="sand", light="night")
    cube = Found("cube", "red", "large", "matte", 0.0, 0.3, 0.0, 0.9)
    assert shown(prompt, Reading((cube,), "sand", "noon")) == 2 / 4
    assert shown(prompt, Reading((cube, cube), "sand", "night")) == 1


def measured(layers: str, size: str) -> Measured:
    """Made up: each layer gives a tenth of the prompts more, the larger network lowers the loss and nothing else.

    A mix gives what six layers give.
    """
    depth = 6 if layers == "mix" else int(layers)
    right = np.zeros((2, 100))
    right[:, : 10 + 10 * depth] = 1
    features = torch.randn(2, 100, 4, generator=torch.Generator().manual_seed(0)).double() + (6 - depth)
    loss = np.linspace(0.1, 0.2, 30) - (0.02 if size == "XS" else 0)
    return Measured(1, dict.fromkeys(SCORES, right), features, loss, np.full(30, 0.01 * depth))


def test_differences_are_those_of_the_cells() -> None:
    cells = {cell: measured(cell.layers, cell.size) for cell in CELLS}
    truth = torch.randn(400, 4, generator=torch.Generator().manual_seed(1)).double()
    rows = {row["change"]: row for row in differences(cells, truth)}
    assert list(rows) == list(contrasts())
    deeper, larger = rows["layers: 6 for 0"], rows["XS for XXS"]
    mixed, one = rows["layers: mix for 6"], rows["6 layers, XXS for 0 layers, XS"]
    assert mixed["alignment"] == mixed["caption_gain"] == 0
    assert deeper["alignment"] == pytest.approx(0.6) and deeper["alignment_low"] > 0.4
    assert deeper["loss"] == pytest.approx(0, abs=1e-9) and deeper["caption_gain"] == pytest.approx(0.06)
    # The shift of all four features falls from 6 to 0.
    assert deeper["frechet"] == pytest.approx(-4 * 36, rel=0.1) and deeper["frechet_high"] < 0
    assert larger["alignment"] == 0 and larger["frechet"] == pytest.approx(0, abs=1e-6)
    # Paired: every scene gains the same, so the interval has no width.
    assert larger["loss"] == larger["loss_low"] == larger["loss_high"] == pytest.approx(-0.02)
    assert one["alignment"] == pytest.approx(0.6) and one["loss"] == pytest.approx(0.02)


@pytest.fixture
def embedded(shards: Path, tmp_path: Path) -> Path:
    """The shard of noise with embeddings of all that the study reads, as wide as each is."""
    root = tmp_path / "data"
    noise = Shards(shards, TableTop(), 64)
    for layer in encoder_study.LAYERS.values():
        encoder = open_encoder("minilm", layer)
        wanted = Shards(root, TableTop(), 64, among_others(encoder))
        wanted.folder.mkdir(parents=True, exist_ok=True)
        for kind in ("images", "lengths"):
            if not wanted.path(kind, 0).exists():
                wanted.path(kind, 0).symlink_to(noise.path(kind, 0))
        np.save(wanted.path("tokens", 0), np.tile(np.load(noise.path("tokens", 0)), encoder.states))
    return root


@pytest.mark.slow
def test_a_study_trains_draws_and_writes_and_goes_on(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in encoder_study.SIZES:
        monkeypatch.setitem(sizes.SIZES[size], "base64", CONFIGS["base"])
    small = {"pictures": SHARD, "batch": 2, "crowded": 0.0, "size": 32}
    monkeypatch.setattr(encoder_study, "FROM_SCRATCH", {**encoder_study.FROM_SCRATCH, **small})
    monkeypatch.setattr(encoder_study, "SAMPLER_STEPS", 1)
    monkeypatch.setattr(encoder_study, "LEVELS", (-1.0,))
    extent = Extent(steps=2, small_steps=1, ws=(1.0, 3.0), stride=40, scenes=2)
    where = (embedded, tmp_path / "runs", tmp_path / "cache", tmp_path, Loading())
    facts = encoder_study.study(extent, *where)
    with (tmp_path / "encoders.csv").open() as file:
        rows = list(csv.DictReader(file))
    asked_for = product(("0", "2", "6", "mix"), ("XXS", "XS"), ("1.0", "3.0"))
    assert [(row["layers"], row["network"], row["w"]) for row in rows] == list(asked_for)
    for cell in CELLS:
        folder = tmp_path / "runs" / f"layers-{cell.layers}-{cell.size}-2"
        assert read_cascade(folder / "cascade").encode.layer == encoder_study.LAYERS[cell.layers]
    assert (tmp_path / "encoders.png").stat().st_size > 10_000 and (tmp_path / "encoders.svg").is_file()

    # What is trained and drawn is read again.
    monkeypatch.setattr(loop, "_take_step", None)
    monkeypatch.setattr("imagen_core.evaluation.sampling.draw_all", None)
    assert encoder_study.study(extent, *where)["cells"] == facts["cells"]
