"""Memorisation: copies of training pictures are found, and new pictures are not taken for copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_pictures import prepare_folder
from torch import Tensor
from torch.testing import assert_close

from imagen_core.evaluation import neighbours
from imagen_core.evaluation.neighbours import measure_neighbours, nearest
from imagen_core.models.cascade import Cascade
from imagen_core.settings import DEFAULTS
from imagen_core.types import UserError
from imagen_core.worlds.collected.collected import Collected, open_collected


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return open_collected(prepare_folder(tmp_path_factory.mktemp("neighbours"), 100))


def test_a_picture_of_training_is_its_own_neighbour(world: Collected) -> None:
    images = torch.stack([world.picture(seed, 64) for seed in (5, 0, 30)])
    for at_once in (7, 1000):
        distances, seeds = nearest(images, world, at_once=at_once)
        assert_close(distances[:, 0], torch.zeros(3), atol=1e-3, rtol=0)
        assert seeds[:, 0].tolist() == [5, 0, 30] and bool((distances[:, 1] > distances[:, 0]).all())


@pytest.mark.parametrize(
    ("draw", "copied"),
    [(lambda world, n: torch.stack([world.picture(seed, 64) for seed in range(n)]), 1.0),
     (lambda world, n: torch.zeros(n, 3, 64, 64).bernoulli(0.5) * 2 - 1, 0.0),
     (lambda world, n: torch.zeros(n, 3, 64, 64), 0.0)],
    ids=["copies", "noise", "grey"],
)  # fmt: skip
def test_only_copies_count_as_copied(
    world: Collected, tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    draw: Callable[[Collected, int], Tensor], copied: float,
) -> None:  # fmt: skip
    monkeypatch.setattr(neighbours, "kept", lambda _cache, _cascade, _config, asked: draw(world, len(asked)))
    monkeypatch.setattr(neighbours, "PICTURES", world.pictures)
    cascade = replace(tiny, world=world, defaults=DEFAULTS)
    facts = measure_neighbours(cascade, world, tmp_path, tmp_path / "sheet.png")
    learnt = facts["kinds"]["learnt captions"]
    assert learnt["copied"] == copied and learnt["pictures"] == world.pictures
    assert facts["kinds"]["new pictures"]["nearest"] > 0.01 and facts["training_pictures"] == world.pictures
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_what_is_asked_for_is_told_from_what_shares_another_caption(
    world: Collected, tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four pictures: asked for are a cat on red, a cat, a dog on red and a cow; two samples are right."""
    captions = [("a cat on red", "a cat"), ("a cat on blue", "a cat"), ("a dog on red", "a dog"), ("a cow", "a cow")]
    monkeypatch.setattr(Collected, "captions", lambda _, seed, **_held_out: captions[seed % 4])
    monkeypatch.setattr(Collected, "pictures", 4)
    # A cat on blue, a cat, the dog on red, and a cat instead of the cow.
    shown = (1, 0, 2, 0)
    monkeypatch.setattr(
        neighbours, "kept", lambda *given: torch.stack([world.picture(shown[i % 4], 64) for i in range(len(given[3]))])
    )
    facts = measure_neighbours(replace(tiny, world=world, defaults=DEFAULTS), world, tmp_path)
    assert facts["kinds"]["learnt captions"]["as_asked"] == 0.5


def test_a_model_of_other_pictures_is_refused(world: Collected, tiny: Cascade, tmp_path: Path) -> None:
    for other in (tiny, replace(tiny, world=replace(world, digest="0" * 64))):
        with pytest.raises(UserError, match="^--data: .* was not trained on these pictures"):
            measure_neighbours(other, world, tmp_path)
