"""The second shipped model: small, its data named, and showing what it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_tiny
from PIL import Image

from imagen_core.__main__ import main
from imagen_core.diffusion.augmentation import resize
from imagen_core.evaluation.sampling import Order, draw_all
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import MODELS, load_cascade, sizes_of, unbroken
from imagen_core.records.png import from_bytes
from imagen_core.settings import defaults_at, with_rule
from imagen_core.worlds.collected.collected import Collected

# Chosen before a picture was drawn. tests/data/emoji.png shows them in this order, five a row, on grey.
NAMES = (
    "a red apple", "a rocket", "a cat", "a tiger", "a pizza", "a guitar", "a sunflower", "a bicycle", "an airplane",
    "a snowman", "a banana", "a soccer ball", "an octopus", "a hamburger", "a crown", "a cactus", "a rainbow",
    "a penguin", "a sailboat", "a butterfly",
)  # fmt: skip


@pytest.fixture(scope="module")
def emoji() -> Cascade:
    return load_cascade("emoji")


def test_it_is_small_and_names_its_data(emoji: Cascade) -> None:
    assert emoji.sizes == (64,) and emoji.name == "emoji"
    assert sum(path.stat().st_size for path in MODELS["emoji"].rglob("*") if path.is_file()) < 12_000_000
    assert isinstance(emoji.world, Collected) and emoji.world.facts["licence"].startswith("Apache-2.0")
    assert "Apache-2.0" in (MODELS["emoji"] / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("sweep cat --out sweep.png", "this model has a base alone, without an aug_level"),
        ("sample cat --image cat.png --out large.png", "this model has a base alone, nothing that enlarges"),
        ("sample cat --size 256 --out cat.png", "size: 256 is not offered by emoji"),
        ("record", "--out: must be given for another model than tabletop"),
    ],
)
def test_what_needs_a_later_stage_is_refused_in_one_line(
    arguments: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments.split(), "--model", "emoji"]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_sizes_end_where_a_stage_is_missing() -> None:
    assert sizes_of("emoji") == (64,) and sizes_of("tabletop") == (64, 256, 1024)
    assert unbroken(defaults_at((32, 64, 128)), {32, 128}) == (32,)
    assert unbroken(defaults_at((32, 64, 128)), {64, 128}) == ()


def test_a_cascade_without_a_base_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny(tmp_path / "later", ("sr256",))
    for verb in (["sweep", "cat", "--out", str(tmp_path / "a.png")], ["bench", "cat"]):
        assert main([*verb, "--model", str(folder)]) == 2
        assert capsys.readouterr().err.endswith("has no base\n")


def test_pictures_show_what_was_asked_for(emoji: Cascade) -> None:
    """Of twenty emoji, each picture is nearest to its own; a person must recognise eight of ten."""
    sheet = np.asarray(Image.open(Path(__file__).parent / "data" / "emoji.png").convert("RGB"))
    tiles = from_bytes(sheet.reshape(4, 64, 5, 64, 3).transpose(0, 2, 4, 1, 3).reshape(20, 3, 64, 64))
    asked = [Order(f"{name} on a grey background", number) for number, name in enumerate(NAMES)]
    images = draw_all(emoji, with_rule(emoji.base, steps=12), asked)
    distances = torch.cdist(resize(images, 16).flatten(1), resize(tiles, 16).flatten(1))
    assert (distances.argmin(1) == torch.arange(20)).sum() >= 18
