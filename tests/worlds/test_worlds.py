"""Every world keeps the protocol; a cascade knows the world it was trained on, and no other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CONFIGS, edit
from torch.testing import assert_close

from app.parts import views
from app.serving.model import Model
from imagen_core.__main__ import main
from imagen_core.commands.output import warn_of_words
from imagen_core.models.opening import load_cascade, world_of
from imagen_core.models.saving import write_cascade
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import UNet
from imagen_core.settings import request
from imagen_core.training import data
from imagen_core.training.recipes import RECIPES, Recipe
from imagen_core.training.ship import check_shippable, ship
from imagen_core.types import UserError
from imagen_core.worlds.known import WORLDS, open_world
from imagen_core.worlds.tabletop.tabletop import TableTop
from imagen_core.worlds.world import Concepts, Crop, Pick, SceneWorld, World, unknown_words

STORED = Path(__file__).parents[1] / "data" / "stored" / "cascade"


@dataclass(frozen=True)
class Dots:
    """A throw-away world: one bright dot on black, on the left or on the right."""

    name: str = "dots"
    version: int = 7
    folder: str = "dots7"
    scope: str = ""
    prompts: Sequence[str] = ("dot left",)
    picks: Sequence[Sequence[Pick]] = ((Pick("side", "Side", ("left", "right"), "left", optional=False),),)

    @property
    def concepts(self) -> Mapping[str, Concepts]:
        return {"sides": {"left": ("left",), "right": ("right",)}}

    @property
    def held_out_words(self) -> Concepts:
        return {"left": ("port",)}

    def compose(self, words: Mapping[str, str]) -> str:
        return f"dot {words['side']}"

    @property
    def words(self) -> Collection[str] | None:
        return ("dot", "left", "right")

    def picture(self, seed: int, size: int, *, crop: Crop | None = None, held_out: bool = False) -> torch.Tensor:
        image = torch.full((3, size, size), -1.0)
        image[:, size // 2, size // 4 + seed % 2 * size // 2] = 1
        top, left, height, width = crop or (0, 0, size, size)
        return image[:, top : top + height, left : left + width]

    def crop(self, seed: int, size: int, side: int) -> Crop:
        return (size - side) // 2, 0, side, side

    def caption(self, seed: int, wording: int, *, held_out: bool = False) -> str:
        return ("dot left", "dot right")[seed % 2]


class Silent(Dots):
    """A world that cannot say which words it knows."""

    words = None


@pytest.fixture
def dots(monkeypatch: pytest.MonkeyPatch) -> Dots:
    monkeypatch.setitem(WORLDS, "dots", Dots)
    return Dots()


@pytest.mark.parametrize("name", ["tabletop", "dots"])
def test_a_world_keeps_the_protocol(name: str, dots: Dots) -> None:
    world: World = open_world(name)
    assert world.name == name and str(world.version) in world.folder
    whole, again = world.picture(3, 64), world.picture(3, 64)
    assert torch.equal(whole, again) and whole.shape == (3, 64, 64) and float(whole.abs().max()) <= 1
    top, left, height, width = world.crop(3, 256, 128)
    assert (height, width) == (128, 128) and 0 <= top <= 128 and 0 <= left <= 128 and not top % 4 and not left % 4
    assert world.picture(3, 256, crop=(top, left, height, width)).shape == (3, 128, 128)
    assert world.caption(3, 5) == world.caption(3, 5)
    assert not unknown_words(world, " ".join(world.caption(seed, seed) for seed in range(50)))
    held_out = [word for words in world.held_out_words.values() for word in words]
    assert held_out and list(unknown_words(world, " ".join(held_out)) or ()) == held_out
    picked = {pick.name: pick.first for row in world.picks for pick in row}
    assert not unknown_words(world, world.compose(picked))
    assert all(
        pick.first in ("" if pick.optional else pick.phrases[0], *pick.phrases) for r in world.picks for pick in r
    )


def test_an_unknown_world_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"^world: must be one of tabletop, got 'moon'$"):
        open_world("moon")
    with pytest.raises(UserError, match="^world: must be one of"):
        replace(RECIPES["base"], world="moon")


def test_a_world_that_does_not_know_what_stands_where_trains_no_classifier(
    dots: Dots, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(TableTop(), SceneWorld) and not isinstance(dots, SceneWorld)
    for stage in ("classifier", "layout"):
        assert main(["train", "--stage", stage, "--world", "dots", "--run", str(tmp_path)]) == 2
        assert "--world: the world dots does not know what stands where" in capsys.readouterr().err
    with pytest.raises(UserError, match="^crowded: must be 0 for the world dots"):
        Recipe("base", steps=4, world="dots", crowded=0.5)


@pytest.fixture
def trained(dots: Dots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cascade of two rendered pictures of dots; its network is as random as it began."""
    monkeypatch.setattr(data, "SHARD", 2)
    shards = data.Shards(tmp_path / "data", dots, 64)
    assert shards.folder.name == "dots7-64"
    shards.folder.mkdir(parents=True)
    data._render_shard((shards, 0))
    encoder = minilm()
    data.encode_shards(shards, 2, encoder)
    pictures = data.Pictures(shards, 2)
    assert_close(pictures.batch(torch.tensor([1]), torch.tensor([0])).images[0], dots.picture(1, 64), atol=1e-2, rtol=0)
    unet = UNet(CONFIGS["base"])
    ship(tmp_path / "cascade", unet, Recipe("base", steps=4, world="dots"), encoder)
    return tmp_path / "cascade"


def test_a_cascade_of_other_pictures_does_not_claim_to_know_the_table_top(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads((trained / "cascade.json").read_text())["world"] == {"name": "dots", "version": 7}
    cascade = load_cascade(trained)
    assert cascade.world == Dots() and world_of(str(trained)) == Dots()
    assert cascade.stages[0].training["world"] == "dots" and cascade.stages[0].training["world_version"] == 7
    model = Model(str(trained))
    for _ in range(2):
        note = views.words_note(model, "a red dot")
        assert "<b>a</b>, <b>red</b>" in note and "It knows: left, right" in note and "sphere" not in note
        # The same before it is loaded and after.
        model.get()
    warn_of_words(request("a red dot"), cascade)
    assert "prompt: never seen in training: a, red" in capsys.readouterr().err
    # A world that cannot say, and a cascade without one, say nothing.
    monkeypatch.setitem(WORLDS, "dots", Silent)
    assert views.words_note(Model(str(trained)), "a red dot") == ""
    write_cascade(trained, "dots", minilm(), None)
    assert json.loads((trained / "cascade.json").read_text())["world"] is None
    assert load_cascade(trained).world is None and views.words_note(Model(str(trained)), "a red dot") == ""
    warn_of_words(request("a red dot"), load_cascade(trained))
    assert capsys.readouterr().err == ""


def test_stages_of_two_worlds_do_not_share_a_cascade(trained: Path) -> None:
    check_shippable(trained, "sr256", Dots())
    with pytest.raises(UserError, match="^--ship: .* is a cascade of the world dots, this training is of tabletop"):
        check_shippable(trained, "sr256", TableTop())
    write_cascade(trained, "dots", minilm(), None)
    with pytest.raises(UserError, match="^--ship: .* is a cascade of no world"):
        check_shippable(trained, "sr256", TableTop())


def test_a_cascade_from_before_worlds_had_names_knows_the_table_top(tmp_path: Path) -> None:
    facts = json.loads((STORED / "cascade.json").read_text())
    assert "world" not in facts and facts["world_version"] == 1
    assert world_of(str(STORED)) == world_of("tabletop") == TableTop()
    folder = Path(shutil.copytree(STORED, tmp_path / "copy"))
    edit(folder / "cascade.json", lambda facts: facts.pop("world_version"))
    assert world_of(str(folder)) is None


@pytest.mark.parametrize(
    ("world", "says"),
    [
        ({"name": "moon", "version": 1}, "names the world 'moon'; known: tabletop"),
        ({"name": ["tabletop"], "version": 1}, "names the world"),
        ({"name": "tabletop", "version": 2}, "is of version 2 of the world tabletop; this program has version 1"),
        ({"name": "tabletop"}, "world must be null, or have a name and a version"),
        ("tabletop", "world must be null, or have a name and a version"),
    ],
)
def test_a_world_that_is_not_here_is_refused_in_one_line(tiny_folder: Path, tmp_path: Path, world, says: str) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    edit(folder / "cascade.json", lambda facts: facts.update(world=world))
    for opened in (load_cascade, lambda folder: world_of(str(folder))):
        with pytest.raises(UserError, match=f"^model: .*{re.escape(says)}") as caught:
            opened(folder)
        assert "\n" not in str(caught.value)


def test_a_captions_padding_is_checked(dots: Dots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SHARD", 1)
    monkeypatch.setattr(data, "PADDED", 3)
    shards = data.Shards(tmp_path, dots, 64)
    shards.folder.mkdir()
    np.save(shards.path("images", 0), np.zeros((1, 3, 64, 64), dtype=np.uint8))
    with pytest.raises(UserError, match=r"^--world: a caption must have at most 3 tokens, got \d in dots"):
        data.encode_shards(shards, 1, minilm())
