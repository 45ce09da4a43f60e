"""What training draws: shards of pictures with their captions, each of its seed, and how often each is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from imagen_core.networks.text import minilm
from imagen_core.training import data
from imagen_core.training.recipes import RECIPES
from imagen_core.types import UserError
from imagen_core.worlds.tabletop.captions import caption
from imagen_core.worlds.tabletop.labels import odds
from imagen_core.worlds.tabletop.scenes import sample_scene
from imagen_core.worlds.tabletop.tabletop import TableTop


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    path = data.Shards(tmp_path, TableTop(), 64).path("images", 0)
    path.parent.mkdir()
    for damaged in (b"", b"junk"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"^--data: .*images-0000.npy is damaged"):
            data.Images(data.Shards(tmp_path, TableTop(), 64), data.SHARD)
    np.save(path, np.zeros((2, 3, 64, 64), dtype=np.uint8))
    with pytest.raises(UserError, match=r"^--data: .*is not what this program writes"):
        data.Images(data.Shards(tmp_path, TableTop(), 64), data.SHARD)


def test_crowded_draws_show_two_things_twice_as_often_as_three() -> None:
    chances, pictures = odds(500, 0.8), torch.arange(500)
    counts = torch.tensor([len(sample_scene(int(seed)).things) for seed in pictures])
    assert_close([chances[counts == n].sum().item() for n in (1, 2, 3)], [0.2, 0.8 * 2 / 3, 0.8 / 3], atol=1e-5, rtol=0)
    with pytest.raises(UserError, match=r"crowded: must be between 0\.0 and 1\.0, got 2"):
        replace(RECIPES["base"], crowded=2.0)


def test_draws_of_one_colour_come_as_often_as_asked_for() -> None:
    plain, chances = odds(500, 0.6), odds(500, 0.6, 3.0)
    scenes = [sample_scene(seed).things for seed in range(500)]
    pairs = torch.tensor([len(things) == 2 for things in scenes])
    alike = torch.tensor([len({t.colour for t in s}) == 1 < len({t.shape for t in s}) for s in scenes])
    assert int((pairs & alike).sum()) > 5
    ratio = (chances / plain)[pairs & alike].mean() / (chances / plain)[pairs & ~alike].mean()
    assert_close([float(ratio), float(chances.sum()), float(chances[pairs].sum())], [3.0, 1.0, 0.4], atol=1e-4, rtol=0)


def test_captions_fit_the_padding() -> None:
    from imagen_core.networks.text import TEXT_ENCODERS

    longest = sorted((caption(sample_scene(seed), seed) for seed in range(4_000)), key=len)[-64:]
    assert TEXT_ENCODERS["minilm"]()(longest).tokens.shape[1] <= data.PADDED


def test_shards_hold_what_their_seeds_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SHARD", 2)
    for size in (64, 256):
        shards = data.Shards(tmp_path, TableTop(), size)
        shards.folder.mkdir()
        data._render_shard((shards, 1))
        images = np.load(shards.path("images", 1))
        assert images.dtype == np.uint8
        assert_close(torch.from_numpy(images[1]), torch.from_numpy(data.to_bytes(shards.picture(3))))
        assert images.shape[-1] == (64 if size == 64 else data.CROP)


def test_captions_are_encoded_in_their_pictures_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of like length share a batch; each must come back to its own place."""
    encoder = minilm()
    monkeypatch.setattr(data, "SHARD", 3)
    shards = data.Shards(tmp_path, TableTop(), 64)
    folder = shards.folder
    folder.mkdir()
    for number in range(2):
        np.save(folder / f"images-{number:04d}.npy", np.zeros((3, 3, 64, 64), dtype=np.uint8))
    data.encode_shards(shards, 6, encoder)
    pictures = data.Pictures(shards, 6)
    for seed in range(6):
        for k, said in enumerate(shards.captions(seed)):
            assert said == caption(sample_scene(seed), seed * data.CAPTIONS + k)
            kept, wanted = pictures.text(torch.tensor([seed]), torch.tensor([k])), encoder([said])
            assert_close(kept.tokens, wanted.tokens, atol=2e-3, rtol=2e-3)
    # Either file of a shard that was deleted is made again.
    for kind in ("tokens", "lengths"):
        (folder / f"{kind}-0001.npy").unlink()
        data.encode_shards(shards, 6, encoder)
    assert_close(data.Pictures(shards, 6).text(torch.tensor([5]), torch.tensor([1])).tokens, kept.tokens)
