"""`train`: what a run is trained by, where it goes, and what it ships."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS
from safetensors.torch import load_file
from torch.testing import assert_close

from imagen_core.commands import train as cli
from imagen_core.commands.recipe_options import prepared, weights_of
from imagen_core.models import opening
from imagen_core.models.cascade import Cascade, Stage
from imagen_core.models.checkpoints import unet_of
from imagen_core.models.opening import load_cascade
from imagen_core.networks import text
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import UNet
from imagen_core.training import grids, validation
from imagen_core.training import noisy_classifier as classifier
from imagen_core.training.data import SHARD
from imagen_core.training.recipes import RECIPES, Recipe
from imagen_core.training.ship import check_shippable, ship
from imagen_core.training.text_layers import WEIGHTS
from imagen_core.types import UserError
from imagen_core.worlds.tabletop.tabletop import TableTop


def asked(run: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["--stage", "base", "--run", str(run), *more])


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "no")])
def test_a_new_run_uses_bf16_only_where_it_is_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    made, start = cli.recipe_of(asked(tmp_path, "--cpu", "--steps", "7"))
    assert made == dataclasses.replace(RECIPES["base"], steps=7, precision=precision) and start is None
    other = "no" if fast else "bf16"
    assert cli.recipe_of(asked(tmp_path, "--cpu", "--precision", other))[0].precision == other


def test_pictures_that_were_not_prepared_are_refused_before_a_table_top_is_rendered(tmp_path: Path) -> None:
    mine, rendered = tmp_path / "mine", tmp_path / "rendered"
    mine.mkdir()
    (mine / ".DS_Store").touch()
    (rendered / "world1-look1-64").mkdir(parents=True)
    (rendered / ".DS_Store").touch()
    for folder in (mine, rendered, tmp_path / "new"):
        assert prepared(asked(tmp_path / "run", "--data", str(folder))) is None
    (mine / "cat.jpg").touch()
    with pytest.raises(UserError, match="^--data: .* holds 'cat.jpg'; name a folder that the verb data wrote"):
        prepared(asked(tmp_path / "run", "--data", str(mine)))


def test_a_resumed_run_keeps_its_small_steps(tmp_path: Path) -> None:
    """They are none by default for a number of steps of one's own."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "state.pt").touch()
    kept = dataclasses.asdict(dataclasses.replace(RECIPES["base"], small_steps=6000, steps=10_000))
    (run / "recipe.json").write_text(json.dumps(kept))
    recipe, _ = cli.recipe_of(asked(run, "--steps", "8000"))
    assert (recipe.steps, recipe.small_steps) == (8000, 6000)


def test_a_resumed_run_keeps_its_precision_and_where_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine may be fast at something else, and the weights it began from may have been replaced since."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    begun = dataclasses.replace(RECIPES["base"], precision="bf16", started_from="abc")
    (tmp_path / "state.pt").touch()
    (tmp_path / "recipe.json").write_text(json.dumps(dataclasses.asdict(begun)))
    assert cli.recipe_of(asked(tmp_path, "--start", "tabletop", "--lr", "0.5")) == (
        dataclasses.replace(begun, lr=0.5),
        None,
    )
    for damaged in ("{}", "[]", "{"):
        (tmp_path / "recipe.json").write_text(damaged)
        with pytest.raises(UserError, match="^--run: "):
            cli.recipe_of(asked(tmp_path))


def test_a_stage_and_its_text_layers_do_not_share_a_folder(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).touch()
    with pytest.raises(UserError, match="^--run: .*is one of --stage layout"):
        cli.recipe_of(asked(tmp_path))
    (tmp_path / "state.pt").touch()
    with pytest.raises(UserError, match="^--run: .*is a stage's"):
        cli.run(asked(tmp_path, "--stage", "layout"))
    with pytest.raises(UserError, match="^--pictures: must be between 1 and "):
        cli.run(asked(tmp_path / "new", "--stage", "classifier", "--pictures", "1000000000000"))


def test_what_is_shipped_loads_with_its_recipe(tmp_path: Path) -> None:
    check_shippable(tmp_path / "new", "base64", TableTop())
    made = Recipe("base", steps=4, batch=4, started_from="abc")
    unet = UNet(CONFIGS["base"])
    torch.nn.init.normal_(unet.out.weight, std=0.1)
    ship(tmp_path / "new", unet, made, minilm())
    check_shippable(tmp_path / "new", "classifier", TableTop())
    stage = load_cascade(str(tmp_path / "new")).stages[0]
    assert_close(unet_of(stage).out.weight, unet.out.weight, atol=1e-3, rtol=1e-3)
    assert stage.training["images"] == 16 and stage.training["started_from"] == "abc"
    # A cascade keeps its name wherever it lies.
    (tmp_path / "new").rename(tmp_path / "moved")
    ship(tmp_path / "moved", unet, made, minilm())
    assert load_cascade(tmp_path / "moved").name == "new"
    # What is to be replaced may be half written, the other parts may not.
    (tmp_path / "moved" / "base64" / "config.json").write_text("{}")
    check_shippable(tmp_path / "moved", "base64", TableTop())
    with pytest.raises(UserError, match="^--ship: .*was altered"):
        check_shippable(tmp_path / "moved", "sr256", TableTop())
    (tmp_path / "other").mkdir()
    check_shippable(tmp_path / "other", "base64", TableTop())
    (tmp_path / "other" / "thesis.txt").touch()
    for folder in (tmp_path / "other", tmp_path / "other" / "thesis.txt"):
        with pytest.raises(UserError, match="^--ship: "):
            check_shippable(folder, "base64", TableTop())
    with pytest.raises(UserError, match="^--ship: "):
        check_shippable(tmp_path / "nowhere", "classifier", TableTop())
    # What a killed shipment to a new folder leaves; hidden is what it was writing.
    for name in ("base64", ".x.part"):
        (tmp_path / "killed" / name).mkdir(parents=True)
    check_shippable(tmp_path / "killed", "base64", TableTop())
    with pytest.raises(UserError, match="^--ship: .* holds no cascade.json"):
        check_shippable(tmp_path / "killed", "sr256", TableTop())
    # Refused before hours of training, not after.
    (tmp_path / "moved" / "notes").mkdir()
    (tmp_path / "moved" / "notes" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="^--ship: .*none of the cascade's stages"):
        check_shippable(tmp_path / "moved", "base64", TableTop())


def test_a_run_of_the_command_ends_in_a_cascade_and_goes_on(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(grids, "draw_grid", lambda unet, spec, config, world, encoder, file: drawn.append(file))
    monkeypatch.setattr(validation, "PICTURES", 2)
    options = ["--data", str(shards), "--cpu", "--batch", "2", "--size", "32", "--pictures", str(SHARD)]
    options += ["--network", "XXS"]
    one, two = tmp_path / "one", tmp_path / "two"
    cli.run(asked(tmp_path / "run", *options, "--steps", "1", "--grid-every", "1", "--ship", str(one)))
    first = load_cascade(one)
    more = ["--steps", "3", "--grid-every", "2", "--ship", str(two), "--average-with", str(one)]
    assert cli.run(asked(tmp_path / "run", *options, *more))["steps"] == 3
    second = load_cascade(two)
    facts = second.stages[0].training
    assert (facts["steps"], facts["images"], facts["averaged_with"]) == (3, 6, first.digest)
    assert second.digest != first.digest
    assert [file.name for file in drawn] == ["grid-000001.png", "grid.png", "grid-000002.png", "grid.png"]
    # Nothing is left to train: the best weights alone are shipped.
    cli.run(asked(tmp_path / "run", *options, "--steps", "3", "--ship", str(tmp_path / "three"), "--best"))
    best = load_file(tmp_path / "run" / "best.safetensors")
    assert_close(unet_of(load_cascade(tmp_path / "three").stages[0]).state_dict(), best, atol=2e-3, rtol=2e-3)
    _, start = cli.recipe_of(asked(tmp_path / "new", *options, "--start", str(tmp_path / "three")))
    assert start is not None and start.keys() == best.keys()
    with pytest.raises(UserError, match="^--start: .* another text encoder, or with another layer"):
        cli.recipe_of(asked(tmp_path / "new", *options, "--layer", "2", "--start", str(tmp_path / "three")))
    with pytest.raises(UserError, match="^--start: .* no stage of 64 with the network trained here"):
        cli.recipe_of(asked(tmp_path / "new", *options, "--network", "XS", "--start", str(tmp_path / "three")))
    with pytest.raises(UserError, match="^--best: needs --ship"):
        cli.run(asked(tmp_path / "run", *options, "--steps", "3", "--best"))


def test_weights_of_another_encoder_start_a_run_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its width is not MiniLM's."""
    wide = replace(minilm(), digest="wide", state_width=48)
    monkeypatch.setattr(text, "open_encoder", lambda name, layer: wide)
    recipe = Recipe("base", steps=1, batch=2, network="XXS", encoder="wide")
    stage = Stage(recipe.spec, UNet(recipe.config(wide)).eval(), {})
    cascade = Cascade("wide", (stage,), wide, "digest")
    monkeypatch.setattr(opening, "load_cascade", lambda name: cascade)
    weights, digest = weights_of("wide", recipe, "--start")
    assert digest == "digest" and weights.keys() == stage.network.state_dict().keys()


def test_a_classifier_is_shipped_with_its_accuracy(
    shards: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "BATCH", 2)
    monkeypatch.setattr(classifier, "FRESH", 2)
    folder = shutil.copytree(tiny_folder, tmp_path / "cascade")
    options = ["--stage", "classifier", "--data", str(shards), "--pictures", str(SHARD), "--steps", "20"]
    with pytest.raises(UserError, match="^--ship: "):
        cli.run(asked(tmp_path / "run", *options))
    found = cli.run(asked(tmp_path / "run", *options, "--ship", str(folder)))
    assert set(found["accuracy"]["log_snr 6"]) == {"colour", "shape"}
    assert load_cascade(folder).classifier is not None


@pytest.mark.parametrize("option", [("--warmup", "0"), ("--seed", "0"), ("--grid-every", "0"), ("--batch", "4")])
def test_the_small_trainings_take_no_recipe(tmp_path: Path, option: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=f"^{option[0]}: does not apply to the training of the classifier"):
        cli.run(asked(tmp_path, "--stage", "classifier", "--ship", "nowhere", *option))


def test_the_mean_of_two_runs_can_be_shipped(tmp_path: Path) -> None:
    """Halfway between the two, weight by weight; the record says with which cascade."""
    made, runs = Recipe("base", steps=4, batch=4), [UNet(CONFIGS["base"]) for _ in range(2)]
    ship(tmp_path / "first", runs[0], made, minilm())
    first = load_cascade(tmp_path / "first")
    other = unet_of(first.stages[0]).state_dict(), first.digest
    ship(tmp_path / "mean", runs[1], made, minilm(), average_with=other)
    stage = load_cascade(tmp_path / "mean").stages[0]
    assert stage.training["averaged_with"] == first.digest
    a, b = (dict(run.named_parameters()) for run in runs)
    for name, x in unet_of(stage).named_parameters():
        assert_close(x, (a[name] + b[name]) / 2, atol=1e-3, rtol=1e-3)
    for more in ((), ("--ship", str(tmp_path / "new"))):
        with pytest.raises(UserError, match="^--average-with: "):
            cli.run(asked(tmp_path / "run", "--average-with", "nowhere", *more))
