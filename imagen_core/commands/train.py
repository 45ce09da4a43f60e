"""``train``: render missing pictures, train a stage, its text layers or the classifier, and ship the weights."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.writing import check_writable
from ..types import UserError
from ..worlds.known import FIRST, WORLDS, open_world
from ..worlds.world import SceneWorld, World, scenes_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..training.recipes import Recipe
    from ..worlds.collected.collected import Collected

GRID_EVERY = 1000
# Steps between two looks at pictures that training never shows.
VALIDATE_EVERY = 250
CLASSIFIER, LAYOUT = "classifier", "layout"
# The fields of a recipe that the text layers' and the classifier's training take.
OF_THE_SMALL = {"steps", "pictures", "world"}
# With fewer steps their learning rate has no warm-up.
FEWEST_STEPS = 20
# Windows can wait for at most this many processes.
MOST_WORKERS = 61


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..networks.sizes import SIZES
    from ..training.loop import TRACKERS
    from ..training.optimizers import OPTIMIZERS
    from ..training.recipes import PRECISIONS, STAGES, Recipe

    parser.add_argument(
        "--stage",
        required=True,
        choices=[*STAGES, LAYOUT, CLASSIFIER],
        help="what to train: one of the three stages, the base's text layers (layout), or the classifier",
    )
    parser.add_argument(
        "--world", choices=WORLDS, help=f"whose pictures to train on (default {FIRST}, or the world of the run)"
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the run; a stage that was begun there is resumed"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("runs/data"),
        help="folder that the verb data prepared, or of a world's rendered pictures (default %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that render missing pictures, 1 to 61 (default %(default)s)"
    )
    parser.add_argument("--cpu", action="store_true", help="train a stage on the CPU even where there is a GPU")
    parser.add_argument(
        "--grid-every", type=int, help=f"steps between a stage's sample grids, 0 for none (default {GRID_EVERY})"
    )
    parser.add_argument(
        "--start",
        help="weights that a new run starts from: tabletop, a cascade's folder, or that of a run of --stage layout "
        "(default random; a resumed run ignores it)",
    )
    parser.add_argument("--tracker", choices=TRACKERS, help="also follow a stage's losses there (a package of its own)")
    parser.add_argument("--ship", type=Path, help="write the averaged weights into this cascade folder at the end")
    parser.add_argument(
        "--average-with",
        help="with --ship: ship the mean of this run's averaged weights and those of this cascade",
    )
    parser.add_argument(
        "--as-weaker",
        action="store_true",
        help="with --stage base --ship: as the weaker version that autoguidance moves away from, beside the base",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="bf16 computes a stage in bfloat16, no in float32 (default bf16 where that is fast)",
    )
    parser.add_argument("--network", choices=SIZES, help="size of the network (default S, the shipped one)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="muon turns matrices and kernels (default adamw)")
    for field in dataclasses.fields(Recipe):
        if field.name not in ("stage", "precision", "started_from", "world", "data_digest", "network", "optimizer"):
            kind = {"int": int, "float": float, "str": str}[str(field.type)]
            parser.add_argument(
                "--" + field.name.replace("_", "-"), type=kind, help=f"default for each stage: {_defaults(field.name)}"
            )


def _defaults(name: str) -> str:
    from ..training.recipes import RECIPES

    return ", ".join(f"{stage} {getattr(recipe, name)}" for stage, recipe in RECIPES.items())


def _weights(model: str, size: int, option: str) -> tuple[dict[str, Tensor], str]:
    """The weights of a cascade's stage of this size, or of a run of --stage layout, with their digest."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ..files.digests import file_digest
    from ..models.checkpoints import unet_of
    from ..models.opening import load_cascade
    from ..networks.unet import CONFIGS, UNet
    from ..training.text_layers import WEIGHTS

    file = Path(model) / WEIGHTS
    # A run of the text layers can start a stage; it is not a trained stage to average with.
    if option == "--start" and model and size == 64 and file.is_file():
        try:
            weights = load_file(file)
        except SafetensorError as error:
            raise UserError(f"{option}: {file} is damaged") from error
        with torch.device("meta"):
            expected = UNet(CONFIGS["base64"]).state_dict()
        if {name: x.shape for name, x in weights.items()} != {name: x.shape for name, x in expected.items()}:
            raise UserError(f"{option}: {file} holds another network than the one trained here")
        return weights, file_digest(file)
    try:
        cascade = load_cascade(model)
    except UserError as error:
        raise UserError(f"{option}: {error}") from error
    matching = [stage for stage in cascade.stages if stage.spec.size == size]
    if not matching or unet_of(matching[0]).config != CONFIGS.get(matching[0].spec.name):
        raise UserError(f"{option}: {model} has no stage of {size} with the network trained here")
    return unet_of(matching[0]).state_dict(), cascade.digest


def recipe_of(args: argparse.Namespace) -> tuple[Recipe, dict[str, Tensor] | None]:
    """The recipe of a stage, and the weights that a new run starts from, if any.

    Options that are not given have the stage's own default. A resumed run keeps its precision, its world and the digest
    of the weights it started from.

    Raises:
        UserError: a value is out of range, or the run or the weights cannot be read.
    """
    from ..networks.precision import bf16_is_fast
    from ..networks.text import MINILM
    from ..training.recipes import BEFORE, NEW, RECIPES, STAGES, Recipe
    from ..training.text_layers import WEIGHTS

    given = {f.name: value for f in dataclasses.fields(Recipe) if (value := getattr(args, f.name, None)) is not None}
    # A cascade names the folder of its encoder, wherever it is opened from.
    if "encoder" in given and Path(given["encoder"]).is_dir():
        given["encoder"] = str(Path(given["encoder"]).resolve())
    if (world := _prepared(args)) is not None:
        given = {**_of_data(world, args, STAGES[args.stage].size), **given}

    def usual(started: bool) -> Recipe:
        new = {} if started or world is None else NEW[args.stage]
        # Of fewer steps than those, none is at half the side.
        return dataclasses.replace(RECIPES[args.stage], **{**new, **({"small_steps": 0} if args.steps else {})})

    if (args.run / "state.pt").exists():
        try:
            before = {**BEFORE, **json.loads((args.run / "recipe.json").read_bytes())}
            kept = {name: str(before[name]) for name in ("precision", "started_from", "world", "data_digest")}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"--run: {args.run} holds a state.pt without a readable recipe.json; use a new folder"
            ) from error
        if kept["data_digest"] and world is None:
            raise UserError(f"--data: {args.run} learns from {kept['world']}; name its prepared folder")
        return dataclasses.replace(usual(bool(kept["started_from"])), **{**kept, **given}), None
    if (args.run / WEIGHTS).exists():
        raise UserError(f"--run: {args.run} is one of --stage {LAYOUT}; a stage needs a folder of its own")
    given.setdefault("precision", "bf16" if bf16_is_fast(cpu=args.cpu) else "no")
    # Ranges are checked before the weights are read, which takes a moment.
    recipe = dataclasses.replace(usual(args.start is not None), **given)
    if args.start is not None and (recipe.network != "S" or recipe.encoder != MINILM):
        raise UserError("--start: has weights of --network S for --encoder minilm; leave it out for another one")
    start, started = (None, "") if args.start is None else _weights(args.start, STAGES[args.stage].size, "--start")
    return dataclasses.replace(recipe, started_from=started), start


def run(args: argparse.Namespace) -> dict:
    """Train what the options say; returns the facts that --json prints."""
    if not 1 <= args.workers <= MOST_WORKERS:
        raise UserError(f"--workers: must be between 1 and {MOST_WORKERS}, got {args.workers}")
    if args.grid_every is not None and args.grid_every < 0:
        raise UserError(f"--grid-every: must be at least 0, got {args.grid_every}")
    if args.as_weaker and not (args.ship and args.stage == "base"):
        raise UserError("--as-weaker: needs --stage base and --ship")
    check_writable(args.run, "--run")
    return {CLASSIFIER: _run_classifier, LAYOUT: _run_layout}.get(args.stage, _run_stage)(args)


def _run_stage(args: argparse.Namespace) -> dict:
    from accelerate import PartialState

    from ..models.checkpoints import WEAKER
    from ..networks.text import open_encoder
    from ..training.data import Shards, among_others, encode_shards, render_shards, unrendered
    from ..training.grids import draw_grid
    from ..training.loop import Progress, check_tracker, train
    from ..training.recipes import STAGES
    from ..training.ship import check_shippable, ship
    from ..training.state import kept_state
    from ..training.validation import Validation

    spec = STAGES[args.stage]
    check_tracker(args.tracker)
    if args.average_with and not args.ship:
        raise UserError("--average-with: needs --ship, which writes the mean")
    recipe, start = recipe_of(args)
    world = _prepared(args) or open_world(recipe.world)
    if args.ship:
        check_shippable(args.ship, WEAKER if args.as_weaker else spec.name, world)
    other = _weights(args.average_with, spec.size, "--average-with") if args.average_with else None
    encoder = open_encoder(recipe.encoder, recipe.layer)
    shards = Shards(args.data, world, spec.size, among_others(encoder))
    if unrendered(shards, recipe.pictures):
        check_writable(args.data, "--data")
    state = PartialState(cpu=args.cpu)
    kept_state(args.run, recipe, state.num_processes)
    grid_every = GRID_EVERY if args.grid_every is None else args.grid_every
    with state.main_process_first():
        render_shards(shards, recipe.pictures, args.workers)
        encode_shards(shards, recipe.pictures, encoder)

    validation = Validation(recipe, world, encoder) if state.is_main_process else None

    def watch(progress: Progress) -> dict[str, float]:
        if grid_every and progress.step % grid_every == 0:
            draw_grid(progress.averaged, spec, world, encoder, args.run / f"grid-{progress.step:06d}.png")
        if validation and (progress.step % VALIDATE_EVERY == 0 or progress.step == recipe.steps):
            return {"validation_loss": validation.log(progress.averaged, progress.step, args.run)}
        return {}

    unet = train(recipe, shards, args.run, cpu=args.cpu, start=start, watch=watch, tracker=args.tracker)
    if state.is_main_process:
        # The weights first: the grid may take minutes.
        if args.ship:
            ship(args.ship, unet, recipe, encoder, average_with=other, world=world, weaker=args.as_weaker)
        draw_grid(unet, spec, world, encoder, args.run / "grid.png")
    return {"stage": args.stage, "run": str(args.run), **dataclasses.asdict(recipe)}


def _steps_and_pictures(args: argparse.Namespace, world: World, steps: int, refused: set[str]) -> tuple[int, int]:
    """Steps and pictures of a training that uses no other recipe option but the world; any other is refused."""
    from ..training.data import Shards, unrendered
    from ..training.recipes import LIMITS, RECIPES, Recipe

    refused |= {"cpu", "grid_every", "tracker", *(f.name for f in dataclasses.fields(Recipe))} - {
        "stage",
        *OF_THE_SMALL,
    }
    for name in sorted(refused):
        value = getattr(args, name, None)
        # 0 is a value, though it equals False.
        if value is not None and value is not False:
            raise UserError(
                f"--{name.replace('_', '-')}: does not apply to the training of the {args.stage}, which takes "
                "--steps, --pictures and --world"
            )
    if any((args.run / name).exists() for name in ("state.pt", "recipe.json")):
        raise UserError(f"--run: {args.run} is a stage's; the training of the {args.stage} needs a folder of its own")
    chosen = {
        "steps": steps if args.steps is None else args.steps,
        "pictures": RECIPES["base"].pictures if args.pictures is None else args.pictures,
    }
    for name, value in chosen.items():
        low, high = max(LIMITS[name][0], {"steps": FEWEST_STEPS}.get(name, 1)), LIMITS[name][1]
        if not low <= value <= high:
            raise UserError(f"--{name}: must be between {low} and {high}, got {value}")
    if unrendered(Shards(args.data, world, 64), chosen["pictures"]):
        check_writable(args.data, "--data")
    return chosen["steps"], chosen["pictures"]


def _run_layout(args: argparse.Namespace) -> dict:
    from ..networks.text import TEXT_ENCODERS
    from ..networks.unet import CONFIGS, UNet
    from ..training.data import Shards, encode_shards, render_shards
    from ..training.text_layers import STEPS, sides_told, train

    world = _scene_world(args)
    steps, pictures = _steps_and_pictures(args, world, STEPS, {"ship", "average_with"})
    unet = UNet(CONFIGS["base64"])
    if args.start is not None:
        unet.load_state_dict(_weights(args.start, 64, "--start")[0])
    encoder, shards = TEXT_ENCODERS["minilm"](), Shards(args.data, world, 64)
    render_shards(shards, pictures, args.workers)
    encode_shards(shards, pictures, encoder)
    reader = train(unet, shards, args.run, pictures=pictures, steps=steps)
    share = round(sides_told(reader, encoder), 3)
    return {"stage": LAYOUT, "run": str(args.run), "steps": steps, "pictures": pictures, "sides_told": share}


def _run_classifier(args: argparse.Namespace) -> dict:
    from ..training.data import Shards, render_shards
    from ..training.noisy_classifier import STEPS, accuracy, train
    from ..training.ship import check_shippable, ship_classifier

    world = _scene_world(args)
    steps, pictures = _steps_and_pictures(args, world, STEPS, {"start", "average_with"})
    if not args.ship:
        raise UserError("--ship: must name the cascade that the classifier belongs to")
    check_shippable(args.ship, CLASSIFIER, world)
    render_shards(Shards(args.data, world, 64), pictures, args.workers)
    network = train(world, args.data, args.run, pictures=pictures, steps=steps)
    facts = {"steps": steps, "pictures": pictures, "accuracy": accuracy(network, world)}
    ship_classifier(args.ship, network, world, facts)
    return {"stage": CLASSIFIER, "run": str(args.run), **facts}


def _scene_world(args: argparse.Namespace) -> SceneWorld:
    """The world of the trainings that learn what stands where."""
    if (collected := _prepared(args)) is not None:
        return scenes_of(collected, "--data")
    return scenes_of(open_world(args.world or FIRST, "--world"), "--world")


def _prepared(args: argparse.Namespace) -> Collected | None:
    """The world of a prepared folder; None where ``--data`` is for rendered pictures."""
    from ..sources.folder import TABLES
    from ..worlds.collected.collected import open_collected

    # A folder of pictures that was not prepared is told so, before a table top is rendered into it.
    if not any((args.data / name).is_file() for name in ("data.json", "plan.json", *TABLES)):
        return None
    if args.world is not None:
        raise UserError(f"--world: does not apply to {args.data}, which holds prepared pictures")
    return open_collected(args.data)


def _of_data(world: Collected, args: argparse.Namespace, size: int) -> dict[str, Any]:
    """The fields of a recipe that follow from prepared data."""
    if world.side < size:
        raise UserError(f"--data: {args.data} has a side of {world.side}; this stage needs data with --side {size}")
    if args.pictures is not None and args.pictures > world.pictures:
        raise UserError(f"--pictures: must be between 1 and {world.pictures}, got {args.pictures}")
    named = {"world": world.name, "data_digest": world.digest}
    return {"crowded": 0.0, "one_colour": 1.0, "pictures": world.pictures, **named}
