"""A world that people collected: prepared folders train, and their cascades carry the words and no pictures."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CONFIGS, edit, redigest
from made_pictures import picture, prepare_folder, write_folder
from torch.testing import assert_close

from app.parts import views
from app.serving.model import Model
from imagen_core.__main__ import main
from imagen_core.commands import train as cli
from imagen_core.models.opening import load_cascade, world_of
from imagen_core.models.saving import write_cascade
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import UNet
from imagen_core.training import data, grids
from imagen_core.training.card import write_card
from imagen_core.training.recipes import NEW, RECIPES, Recipe
from imagen_core.training.ship import check_shippable, ship
from imagen_core.types import UserError
from imagen_core.worlds.collected.collected import Collected, open_collected
from imagen_core.worlds.world import FRESH_SEEDS, unknown_words


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten prepared pictures, one of them held back."""
    return prepare_folder(tmp_path_factory.mktemp("collected"), 10)


@pytest.fixture
def world(place: Path) -> Collected:
    return open_collected(place)


def test_seeds_stand_for_pictures_and_come_around(world: Collected) -> None:
    assert (world.name, world.pictures, len(world.prompts)) == ("things", 9, 1)
    assert torch.equal(world.picture(3, 64), world.picture(12, 64)) and world.caption(3, 0) == world.caption(12, 2)
    captions = {world.caption(seed, k) for seed in range(9) for k in (0, 1)}
    held = {world.caption(FRESH_SEEDS + k, k) for k in (0, 1)}
    assert len(captions) == 18 and len(held) == 2 and not captions & held
    assert world.caption(0, 0, held_out=True) == world.prompts[0] in held
    assert torch.equal(world.picture(0, 64, held_out=True), world.picture(FRESH_SEEDS + 5, 64))
    top, left, height, width = crop = world.crop(3, 64, 32)
    assert not top % 4 and not left % 4
    part = world.picture(3, 64)[:, top : top + height, left : left + width]
    assert torch.equal(world.picture(3, 64, crop=crop), part) and part.shape == (3, 32, 32)
    assert world.picture(3, 32).shape == (3, 32, 32)
    with pytest.raises(UserError, match="^--data: was prepared with --side 64, a picture of 256 needs at least 256"):
        world.picture(0, 256)


def test_pictures_are_those_of_the_folder(world: Collected) -> None:
    for seed in range(9):
        number = int(world.caption(seed, 0).split()[-1].removesuffix("again"))
        colour = np.asarray(picture(number))[0, 0] / 127.5 - 1
        assert_close(world.picture(seed, 64)[:, 0, 0], torch.tensor(colour, dtype=torch.float32), atol=1e-2, rtol=0)


def test_the_words_of_the_captions_are_known_with_their_counts(world: Collected) -> None:
    assert world.counts["thing"] == 9 and unknown_words(world, "a Thing, a red thing on Mars") == ("red", "on", "mars")
    assert "thing" in world.concepts["frequent words"] and world.counts["a"] == 9
    ((pick,),) = world.picks
    assert pick.phrases == tuple(world.prompts) and world.compose({"caption": pick.phrases[0]}) == world.prompts[0]


def test_words_that_say_nothing_alone_are_counted_but_not_shown(place: Path, world: Collected, tmp_path: Path) -> None:
    write_card(tmp_path, world)
    shown = ", ".join(world.concepts["frequent words"])
    report, card = (place / "report.md").read_text("utf-8"), (tmp_path / "README.md").read_text("utf-8")
    for text in (report, card):
        assert "thing (9)" in text and "number (9)" in text and " a (9)" not in text
    assert shown.startswith("thing") and not {"a", "the"} & set(shown.split(", "))


@pytest.mark.parametrize("damage", ["{", "[]", '{"words": 3}'])
def test_a_damaged_folder_is_refused_in_one_line(place: Path, tmp_path: Path, damage: str) -> None:
    copy = Path(shutil.copytree(place, tmp_path / "copy"))
    (copy / "words.json").write_text(damage)
    with pytest.raises(UserError, match="^--data: .* is damaged"):
        open_collected(copy)
    (copy / "data.json").unlink()
    (copy / "plan.json").touch()
    with pytest.raises(UserError, match="its preparation has not ended"):
        open_collected(copy)
    copy = Path(shutil.copytree(place, tmp_path / "other"))
    (copy / "parts" / "0000.npy").write_bytes(b"junk")
    (copy / "parts" / "0000.jsonl").write_text("junk")
    for ask in (lambda w: w.picture(0, 64), lambda w: w.caption(0, 0)):
        with pytest.raises(UserError, match="^--data: .* is missing or damaged"):
            ask(open_collected(copy))


def asked(run: Path, place: Path, *more: str, stage: str = "base") -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["--stage", stage, "--run", str(run), "--data", str(place), "--cpu", *more])


def test_a_run_on_ones_own_pictures_ends_in_a_cascade_that_knows_their_words(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "SHARD", 10)
    monkeypatch.setattr(data, "render_shards", lambda shards, count, workers: _render(shards))
    monkeypatch.setattr(grids, "draw_grid", lambda unet, spec, config, world, encoder, file: None)
    copy = Path(shutil.copytree(place, tmp_path / "data"))
    options = ["--batch", "2", "--size", "32", "--steps", "1", "--ship", str(tmp_path / "mine")]
    facts = cli.run(asked(tmp_path / "run", copy, *options))
    assert (facts["world"], facts["pictures"], facts["crowded"]) == ("things", 9, 0.0)
    cascade = load_cascade(tmp_path / "mine")
    assert isinstance(cascade.world, Collected) and cascade.world.digest == facts["data_digest"]
    assert world_of(str(tmp_path / "mine")) == cascade.world
    with pytest.raises(UserError, match="^world: the pictures of things are not part of the model"):
        cascade.world.picture(0, 64)
    # The run belongs to its data.
    with pytest.raises(UserError, match="^--data: .*learns from things; name its prepared folder"):
        cli.recipe_of(asked(tmp_path / "run", tmp_path / "nowhere"))
    edit(copy / "data.json", lambda facts: facts.update(digest="0" * 64))
    with pytest.raises(UserError, match="^data_digest: .*was begun with"):
        cli.run(asked(tmp_path / "run", copy, *options))


def _render(shards: data.Shards) -> None:
    shards.folder.mkdir(parents=True, exist_ok=True)
    data._render_shard((shards, 0))


@pytest.mark.parametrize(
    ("options", "stage", "says"),
    [
        ((), "sr256", "^--data: .* has a side of 64; this stage needs data with --side 256"),
        (("--pictures", "10"), "base", "^--pictures: must be between 1 and 9, got 10"),
        (("--crowded", "0.5"), "base", "^crowded: must be 0 for the world things"),
        (("--world", "tabletop"), "base", "^--world: does not apply to .*, which holds prepared pictures"),
        ((), "classifier", "^--data: the world things does not know what stands where"),
    ],
)
def test_what_the_data_cannot_do_is_refused_before_any_work(
    place: Path, tmp_path: Path, options: tuple[str, ...], stage: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        cli.run(asked(tmp_path / "run", place, *options, stage=stage))


def test_a_folder_that_was_not_prepared_is_not_rendered_into(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "things", 2)
    assert main(["train", "--stage", "base", "--run", str(tmp_path / "run"), "--data", str(folder)]) == 2
    with pytest.raises(UserError, match="^--data: .* holds no data.json; run data on it first"):
        cli.recipe_of(asked(tmp_path / "run", folder))


@pytest.fixture
def cascade(world: Collected, tmp_path: Path) -> Path:
    recipe = Recipe("base", steps=4, world=world.name, data_digest=world.digest)
    ship(tmp_path / "mine", UNet(CONFIGS["base"]), recipe, minilm(), world=world)
    return tmp_path / "mine"


def test_the_page_says_what_the_pictures_captions_know(cascade: Path, world: Collected) -> None:
    note = views.words_note(Model(str(cascade)), "a red thing")
    assert "<b>red</b>" in note and "It knows: " in note and "thing" in note
    check_shippable(cascade, "sr256", world)
    write_cascade(cascade, "mine", minilm(), None)
    assert world_of(str(cascade)) is None


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ("[]", "does not describe a world"),
        ("{}", "does not describe a world"),
        ('{"name": "a", "digest": "x", "facts": {}, "words": {}, "examples": []}', "describes another world"),
    ],
)
def test_a_hostile_description_is_refused_in_one_line(cascade: Path, description: str, says: str) -> None:
    (cascade / "world.json").write_text(description)
    with pytest.raises(UserError, match=r"^model: .*world.json was altered"):
        load_cascade(cascade)
    redigest(cascade)
    for opened in (load_cascade, lambda folder: world_of(str(folder))):
        with pytest.raises(UserError, match=f"^model: .*world.json {says}"):
            opened(cascade)


def test_what_people_wrote_is_cut_to_the_padding(world: Collected, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(data, "SHARD", 1)
    monkeypatch.setattr(data, "PADDED", 5)
    encoder = minilm()
    assert data.shortened("a thing number one", encoder) == "a thing number"
    shards = data.Shards(tmp_path, world, 64)
    _render(shards)
    data.encode_shards(shards, 1, encoder)
    kept = data.Pictures(shards, 1).text(torch.tensor([0]), torch.tensor([0]))
    wanted = encoder([data.shortened(world.caption(0, 0), encoder)])
    assert_close(kept.tokens, wanted.tokens, atol=2e-3, rtol=2e-3)


def test_a_new_run_on_own_pictures_is_long_and_begins_small(place: Path, tmp_path: Path) -> None:
    def made(*more: str) -> Recipe:
        parser = argparse.ArgumentParser()
        cli.add_arguments(parser)
        given = ["--stage", "base", "--run", str(tmp_path / "run"), "--data", str(place), *more]
        return cli.recipe_of(parser.parse_args(given))[0]

    assert (made().steps, made().small_steps) == (NEW["base"]["steps"], NEW["base"]["small_steps"])
    assert (made("--steps", "9").steps, made("--steps", "9").small_steps) == (9, 0)
    assert made("--start", "tabletop").steps == RECIPES["base"].steps
