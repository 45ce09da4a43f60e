"""The text layers' own training: what it aims at, what it changes, and that a base takes it up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from imagen_core.commands.recipe_options import weights_of
from imagen_core.files.digests import file_digest
from imagen_core.networks.unet import CONFIGS, UNet
from imagen_core.training import data
from imagen_core.training.recipes import RECIPES
from imagen_core.training.text_layers import SIDE, WEIGHTS, train
from imagen_core.types import TextEmbedding
from imagen_core.worlds.tabletop.labels import cells, names_a_relation
from imagen_core.worlds.tabletop.scenes import sample_scene
from imagen_core.worlds.tabletop.tabletop import TableTop
from imagen_core.worlds.tabletop.vocabulary import COLOURS, SHAPES


@pytest.mark.parametrize("seed", [seed for seed in range(40) if len(sample_scene(seed).things) == 1])
def test_the_cells_of_a_lone_thing_lie_where_it_is_seen(seed: int) -> None:
    thing = sample_scene(seed).things[0]
    colour, shape = cells(sample_scene(seed), SIDE)
    assert set(np.unique(colour)) <= {0, 1 + list(COLOURS).index(thing.colour)}
    assert set(np.unique(shape)) <= {0, 1 + list(SHAPES).index(thing.shape)}
    columns = np.nonzero(colour.any(0))[0]
    across = (columns.mean() + 0.5) * 2 / SIDE - 1
    assert abs(across - thing.on_screen()[0]) <= 1 / SIDE


def test_of_two_things_in_line_the_nearer_is_seen() -> None:
    """Wherever two boxes overlap, the cell shows the thing with the smaller z."""
    for seed in range(200):
        scene = sample_scene(seed)
        alone = [cells(type(scene)(**{**vars(scene), "things": (thing,)}), SIDE)[0] for thing in scene.things]
        nearest = min(scene.things, key=lambda thing: thing.z)
        mine = alone[scene.things.index(nearest)]
        assert (cells(scene, SIDE)[0][mine > 0] == mine[mine > 0]).all()


def test_a_relation_is_told_by_its_word() -> None:
    assert names_a_relation("a red ball left of a cube") and names_a_relation("a cube in front of a cone")
    assert not names_a_relation("a bright red cube beside a cone on sand at dusk")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard whose captions are a code of their scene's first thing, which is easily read."""
    root = tmp_path_factory.mktemp("layout")
    folder = data.Shards(root, TableTop(), 64).folder
    folder.mkdir(parents=True)
    np.save(folder / "images-0000.npy", np.zeros((data.SHARD, 3, 64, 64), dtype=np.uint8))
    tokens = np.zeros((data.SHARD, data.CAPTIONS, data.PADDED, 384), dtype=np.float16)
    for seed in range(data.SHARD):
        thing = sample_scene(seed).things[0]
        tokens[seed, :, 0, list(COLOURS).index(thing.colour)] = 8
        tokens[seed, :, 0, 20 + list(SHAPES).index(thing.shape)] = 8
    np.save(folder / "tokens-0000.npy", tokens)
    np.save(folder / "lengths-0000.npy", np.full((data.SHARD, data.CAPTIONS), 2, dtype=np.uint8))
    return root


@pytest.mark.slow
def test_training_teaches_the_text_layers_and_nothing_else(root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = UNet(CONFIGS["base64"])
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    shards = data.Shards(root, TableTop(), 64)
    pictures = data.Pictures(shards, data.SHARD)
    rows = torch.arange(64)
    text = pictures.text(rows, torch.zeros_like(rows))
    seen = torch.from_numpy(np.stack([cells(sample_scene(seed), SIDE) for seed in range(data.SHARD)]))
    reader = train(unet, shards, tmp_path, pictures=data.SHARD, steps=40)
    # Without the text, the best is each cell's share of every answer among all scenes.
    shares = [F.one_hot(seen[:, i], n).float().mean(0) for i, n in enumerate((len(COLOURS) + 1, len(SHAPES) + 1))]
    blind = sum(float(torch.special.entr(share).sum(-1).mean()) for share in shares)
    with torch.no_grad():
        assert float(reader.loss(text, seen[:64]).mean()) < blind - 0.05
    changed = {name.split(".")[0] for name, value in unet.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"text_norm", "text_in", "text_layers", "text_layout"}
    start, started = weights_of(str(tmp_path), RECIPES["base"], "--start")
    assert started == file_digest(tmp_path / WEIGHTS)
    assert start.keys() == before.keys()
    assert_close(start["text_layout.inner.weight"], unet.state_dict()["text_layout.inner.weight"])


def test_the_layout_of_a_text_reaches_the_coarsest_level_at_any_size() -> None:
    torch.manual_seed(0)
    unet = UNet(CONFIGS["base64"]).eval()
    torch.nn.init.normal_(unet.out.weight, std=0.1)
    text = TextEmbedding(torch.randn(1, 5, 384), torch.ones(1, 5, dtype=torch.bool))
    for size in (32, 64):
        z, level = torch.randn(1, 3, size, size), torch.zeros(1)
        with torch.no_grad():
            unet.text_layout.out.weight.zero_()
            without = unet(z, level, unet.prepare(text))
            torch.nn.init.normal_(unet.text_layout.out.weight, std=0.1)
            told = unet(z, level, unet.prepare(text))
        assert unet.prepare(text).layout.shape == (1, 256, 8, 8)
        assert float((told - without).abs().max()) > 1e-3
