"""Cascades of any sizes through training: what a recipe takes from them, a cascade from data to pictures, refusals."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from conftest import edit, redigest, write_tiny
from made_pictures import prepare_folder
from PIL import Image

from imagen_core.__main__ import main
from imagen_core.commands import train as cli
from imagen_core.models.checkpoints import unet_of
from imagen_core.models.opening import defaults_of, load_cascade
from imagen_core.records import png
from imagen_core.settings import DEFAULTS, defaults_at, request
from imagen_core.training import data
from imagen_core.training.data import CROP, Shards
from imagen_core.training.recipes import STAGES, Recipe, fields_for_sizes, spec_of
from imagen_core.training.ship import check_shippable
from imagen_core.types import StageSpec, UserError
from imagen_core.worlds.tabletop.tabletop import TableTop


def test_stages_keep_their_place_and_take_their_sizes() -> None:
    assert [spec_of(stage, (64, 256, 1024)) for stage in STAGES] == list(STAGES.values())
    assert spec_of("sr256", (32, 128)) == StageSpec("sr128", 128, 32, "cosine", "v")
    assert spec_of("sr1024", (16, 32, 128)) == StageSpec("sr128", 128, 32, "linear", "v")
    with pytest.raises(UserError, match="^--sizes: must be 3 sizes or more for --stage sr1024, got 32,128"):
        spec_of("sr1024", (32, 128))


@pytest.mark.parametrize(
    ("stage", "sizes", "network", "fits"),
    [
        ("base", (64, 256), "S", {}),
        ("base", (32, 128), "S", {"size": 32}),
        ("base", (256,), "S", {"size": 256}),
        ("base", (24, 72), "S", {"size": 24, "small_steps": 0}),
        ("sr256", (32, 128), "S", {"size": 64}),
        ("sr256", (16, 48), "S", {"size": 48}),
        ("sr256", (64, 448), "S", {"size": 56, "small_steps": 0}),
        ("sr1024", (16, 64, 448), "S", {"size": 112, "small_steps": 0}),
        ("sr256", (16, 32), "L", {"size": 32}),
    ],
)
def test_a_stage_learns_from_sides_that_its_network_can_take(
    stage: str, sizes: tuple[int, ...], network: str, fits: dict[str, int]
) -> None:
    found = fields_for_sizes(stage, sizes, network)
    assert {name: found.get(name) for name in fits} == fits
    made = Recipe(stage, 5, network=network, **found)
    assert made.spec.size == sizes[[*STAGES].index(stage)] and made.size <= max(CROP, made.spec.size)


@pytest.mark.parametrize(
    ("sizes", "network", "says"),
    [
        ("20,40", "S", "--sizes: 20 must be a multiple of 8, for base of --network S"),
        ("24,72", "L", "--sizes: 72 must be a multiple of 16, for sr256 of --network L"),
        ("64", "S", None),
        ("32,8", "S", "--sizes: must be 1 to 3 sizes from 16 to 1024"),
        ("32;128", "S", "--sizes: must be 1 to 3 sizes from 16 to 1024"),
        ("9" * 5000, "S", "--sizes: must be 1 to 3 sizes from 16 to 1024"),
        (
            "16,32,160",
            "L",
            "--sizes: 160 from 32 needs crops of 160 for sr1024 of --network L, which must be at most 128",
        ),
    ],
)
def test_sizes_that_no_network_can_take_are_refused(sizes: str, network: str, says: str | None) -> None:
    if says is None:
        assert Recipe("base", 5, sizes=sizes, network=network).sizes == sizes
        return
    with pytest.raises(UserError) as caught:
        Recipe("base", 5, size=16, sizes=sizes, network=network)
    assert str(caught.value).startswith(says) and len(str(caught.value)) < 250


def test_crops_that_have_no_half_are_refused_by_a_range_that_can_be_met() -> None:
    fits = {**fields_for_sizes("sr1024", (16, 64, 448), "S"), "small_steps": 2}
    with pytest.raises(UserError, match="^small_steps: must be 0, as half of a side up to 128 is no multiple of 112"):
        Recipe("sr1024", 5, **fits)
    with pytest.raises(
        UserError, match="^size: must be a multiple of 16 between 16 and 24, whose half the small_steps"
    ):
        Recipe("base", 5, size=24, sizes="24,72", small_steps=2)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ("", "--sizes: must be 1 to 3 sizes from 16 to 1024"),
        ("20,40", "--sizes: 20 must be a multiple of 8, for base of --network XXS"),
        ("\x1b[31m,5", r"--sizes: .* got \\x1b\[31m, 5$"),
    ],
)
def test_sizes_are_refused_as_they_were_asked_for(sizes: str, says: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{says}"):
        cli.run(asked(tmp_path / "run", place, "base", "--sizes", sizes))
    assert not (tmp_path / "run").exists()


def test_a_large_base_learns_from_whole_pictures_beside_the_crops_of_a_stage_of_that_size(tmp_path: Path) -> None:
    whole, crops = (Shards(tmp_path, TableTop(), 192, whole=base) for base in (True, False))
    assert (whole.side, crops.side) == (192, CROP) and whole.folder != crops.folder
    assert whole.picture(0).shape == (3, 192, 192) and crops.picture(0).shape == (3, CROP, CROP)
    assert Shards(tmp_path, TableTop(), 64, whole=True).folder == Shards(tmp_path, TableTop(), 64).folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures, prepared at a side of 64, one of them held back."""
    return prepare_folder(tmp_path_factory.mktemp("own"), 10)


def asked(run: Path, place: Path, stage: str, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    short = ["--cpu", "--network", "XXS", "--batch", "2", "--steps", "2"]
    return parser.parse_args(["--stage", stage, "--run", str(run), "--data", str(place), *short, *more])


def _render(shards: Shards) -> None:
    shards.folder.mkdir(parents=True, exist_ok=True)
    data._render_shard((shards, 0))


@pytest.fixture(scope="module")
def trained(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs and of a cascade of 16 and 64, each stage trained for two steps."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SHARD", 10)
        patch.setattr(data, "render_shards", lambda shards, count, workers: _render(shards))
        # The super-resolution stage first: a cascade may begin anywhere.
        for stage in ("sr256", "base"):
            facts = cli.run(asked(root / stage, place, stage, "--sizes", "16, 64", "--ship", str(root / "mine")))
            assert facts["sizes"] == "16,64" and (root / stage / "grid.png").is_file()
    return root


def test_a_trained_cascade_draws_to_its_own_largest_size(trained: Path, tmp_path: Path) -> None:
    folder = trained / "mine"
    cascade = load_cascade(folder)
    assert cascade.sizes == (16, 64) and [stage.spec.name for stage in cascade.stages] == ["base16", "sr64"]
    assert unet_of(cascade.stages[1]).config.factor == 4
    assert cascade.defaults == defaults_of(str(folder)) == defaults_at((16, 64))
    out = tmp_path / "thing.png"
    short = ["--set", "steps=2", "--set", "sr64.steps=2", "--seed", "3", "--model", str(folder)]
    assert main(["sample", "a thing", "--size", "64", "--out", str(out), *short]) == 0
    asked, warnings = png.read_settings(out.read_bytes())
    assert asked.sizes == (16, 64) and not warnings and asked.stages[1].steps == 2
    with Image.open(out) as picture:
        assert picture.size == (64, 64)
    trace = tmp_path / "run.npz"
    assert (
        main(["sample", "a thing", "--out", str(out), "--trace", str(trace), *short[:2], "--model", str(folder)]) == 0
    )
    again = ["--from", str(trace), "--step", "1", "--guidances", "2", "--rules", "static", "--out", str(out)]
    assert main(["reapply", *again]) == 0
    assert main(["branch", "--from", str(trace), "--step", "1", "--out", str(out), "--model", str(folder)]) == 0
    # A picture of one's own begins at 16.
    own = ["--image", str(out), "--out", str(tmp_path / "large.png"), "--model", str(folder)]
    assert main(["sample", "a thing", *own, "--set", "sr64.steps=1"]) == 0
    assert main(["sweep", "a thing", "--aug-levels", "0,0.5", "--out", str(out), *short]) == 0
    assert main(["info", "--model", str(folder)]) == 0


def test_memorisation_is_measured_at_the_cascades_own_size(trained: Path, place: Path, tmp_path: Path) -> None:
    given = ["--model", str(trained / "mine"), "--data", str(place), "--cache", str(tmp_path)]
    assert main(["evaluate", "neighbours", *given, "--sheet", str(tmp_path / "sheet.png")]) == 0


def test_a_resumed_run_keeps_its_sizes(trained: Path, place: Path) -> None:
    made, _ = cli.recipe_of(asked(trained / "base", place, "base"))
    assert made.sizes == "16,64" and made.size == 16 and made.spec.name == "base16"
    before = json.loads((trained / "base" / "recipe.json").read_text())
    assert before == {**dataclasses.asdict(made), "small_steps": before["small_steps"]}


@pytest.mark.parametrize(
    ("stage", "more", "says"),
    [
        ("base", ("--sizes", "32,64"), "--sizes: .* was begun with 16,64; resume with that"),
        ("sr256", ("--sizes", "16,128"), "--data: .* has a side of 64; this stage needs data with --side 128"),
        ("sr1024", ("--sizes", "16,64"), "--sizes: must be 3 sizes or more for --stage sr1024, got 16,64"),
        ("base", ("--sizes", "16,20"), "--sizes: must be 1 to 3 sizes from 16 to 1024, .* got 16, 20"),
    ],
)
def test_other_sizes_are_refused_before_any_work(
    trained: Path, place: Path, stage: str, more: tuple[str, ...], says: str
) -> None:
    run = trained / stage if stage == "base" else trained / "new"
    before = (trained / "base" / "state.pt").stat().st_mtime_ns
    with pytest.raises(UserError, match=f"^({says})"):
        cli.run(asked(run, place, stage, *more))
    assert (trained / "base" / "state.pt").stat().st_mtime_ns == before


def test_weights_go_to_a_cascade_of_their_sizes(trained: Path, place: Path, tmp_path: Path) -> None:
    ship = ("--ship", str(trained / "mine"))
    with pytest.raises(UserError, match="^--ship: .* has --sizes 16,64, this training has 32,64"):
        cli.run(asked(tmp_path / "run", place, "base", "--sizes", "32,64", *ship))
    tiny = write_tiny(tmp_path / "tiny", ("base",))
    check_shippable(tiny, "sr256", TableTop())
    check_shippable(tiny, "sr256", TableTop(), (64, 256))
    with pytest.raises(UserError, match="^--ship: .* has --sizes 64,256,1024, this training has 16,64"):
        check_shippable(tiny, "base16", TableTop(), (16, 64))


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", what]
        for what in ("tabletopbench", "captions", "sr", "figures", "samplers", "settings", "percentiles")
    ]
    + [["export", "--to", "TO"]],
    ids=lambda arguments: arguments[1] if arguments[0] == "evaluate" else "export",
)
def test_what_is_for_the_table_top_refuses_other_sizes_in_one_line(
    arguments: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path / "to") if word == "TO" else word for word in arguments]
    if "evaluate" in given:
        given += {"captions": []}.get(given[1], ["--cache", str(tmp_path / "cache")])
    assert main([*given, "--model", str(trained / "mine")]) == 2
    error = capsys.readouterr().err
    assert "64, 256, 1024" in error and "16, 64" in error and error.count("\n") == 1


@pytest.mark.parametrize("sizes", [[16, 64, 65], [64], "16", 16, [16, "64"], None, [16, 128]])
def test_a_damaged_description_is_refused(sizes: object, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, ("base", "sr256"), (16, 64))
    assert load_cascade(folder).sizes == (16, 64)
    edit(folder / "cascade.json", lambda facts: facts.update(sizes=sizes))
    redigest(folder)
    with pytest.raises(UserError, match="^model: .*sizes"):
        load_cascade(folder)


@pytest.mark.parametrize("change", [{"low_res_size": 16.0}, {"low_res_size": 32}, {"size": 128}, {"size": "64"}])
def test_a_stage_of_other_sizes_than_its_cascades_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, ("base", "sr256"), (16, 64))
    edit(folder / "sr64" / "config.json", lambda facts: facts["stage"].update(change))
    redigest(folder)
    with pytest.raises(UserError, match=r"sr64.config.json: size and low_res_size must be one of .* sizes 16, 64 and"):
        load_cascade(folder)


@pytest.mark.parametrize(("sizes", "factor"), [((16, 32), 2), ((16, 48), 3), ((32, 256), 8)])
def test_every_factor_is_drawn(sizes: tuple[int, ...], factor: int, tmp_path: Path) -> None:
    from imagen_core.run.generate import generate

    cascade = load_cascade(write_tiny(tmp_path, ("base", "sr256"), sizes))
    own = {size: dataclasses.replace(stage, steps=1) for size, stage in cascade.defaults.items()}
    *_, result = generate(request("a cube", size=sizes[1], defaults=own), cascade)
    assert result.image.shape[-1] == sizes[1] == factor * sizes[0] and torch.isfinite(result.image).all()


def test_a_cascade_of_the_usual_sizes_is_written_as_before(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, ("base",))
    assert "sizes" not in json.loads((folder / "cascade.json").read_text()) and defaults_of(str(folder)) == DEFAULTS
