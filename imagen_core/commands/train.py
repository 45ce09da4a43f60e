"""``train``: render missing pictures, train a stage, its text layers or the classifier, and ship the weights."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ..files.writing import check_writable
from ..processes import PATIENCE, on_cpu
from ..settings import defaults_at
from ..types import UserError
from ..worlds.known import FIRST, WORLDS, open_world
from ..worlds.world import SceneWorld, World, scenes_of
from .recipe_options import prepared, recipe_of, weights_of

GRID_EVERY = 1000
# Steps between two looks at pictures that training never shows.
VALIDATE_EVERY = 250
CLASSIFIER, LAYOUT = "classifier", "layout"
# Fields of a recipe whose options are written out, or that follow from others.
OPTIONS_OF_THEIR_OWN = {
    "stage", "precision", "started_from", "world", "data_digest", "network", "optimizer", "sizes",
}  # fmt: skip
# The fields of a recipe that the text layers' and the classifier's training take.
OF_THE_SMALL = {"steps", "pictures", "world"}
# What --help says of an option besides its default.
ABOUT = {
    "encoder": "minilm, or a T5's folder or hub name; ",
    "layer": "hidden layer of the encoder: 0 for the tokens' own embeddings, -1 for the last, -2 for a learnt mix; ",
}
# With fewer steps their learning rate has no warm-up.
FEWEST_STEPS = 20
# Windows can wait for at most this many processes.
MOST_WORKERS = 61


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..networks.sizes import SIZES
    from ..training.loop import TRACKERS
    from ..training.optimizers import OPTIMIZERS
    from ..training.recipes import PRECISIONS, STAGES

    parser.add_argument(
        "--stage",
        required=True,
        choices=[*STAGES, LAYOUT, CLASSIFIER],
        help="what to train: the base, the first (sr256) or second (sr1024) super-resolution stage of any sizes, the "
        "base's text layers (layout), or the classifier",
    )
    parser.add_argument(
        "--sizes",
        help="sides of the whole cascade's pictures, the smallest first, such as 32,128: one to three from 16 to 1024, "
        "each 2 to 8 times the one before (default 64,256,1024, or those of the run)",
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
        help="folder that the verb data wrote; else a table top's pictures are rendered there (default %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that render missing pictures, 1 to 61 (default %(default)s)"
    )
    parser.add_argument("--cpu", action="store_true", help="train a stage on the CPU even where there is a GPU")
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="compute what blocks keep for the backward pass again there: less memory, more time, the same steps",
    )
    parser.add_argument(
        "--grid-every", type=int, help=f"steps between a stage's sample grids, 0 for none (default {GRID_EVERY})"
    )
    _add_weight_arguments(parser)
    parser.add_argument("--tracker", choices=TRACKERS, help="also follow a stage's losses there (a package of its own)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="bf16 computes a stage in bfloat16, no in float32 (default bf16 where that is fast)",
    )
    parser.add_argument("--network", choices=SIZES, help="size of the network (default S, the shipped one)")
    about = f"muon turns matrices and kernels; default for each stage: {_defaults('optimizer')}"
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help=about)
    _add_recipe_arguments(parser)


def _add_weight_arguments(parser: argparse.ArgumentParser) -> None:
    """Where weights come from and where they go."""
    parser.add_argument(
        "--start",
        help="weights that a new run starts from: tabletop, a cascade's folder, or that of a run of --stage layout "
        "(default random; a resumed run ignores it)",
    )
    parser.add_argument("--ship", type=Path, help="write the averaged weights into this cascade folder at the end")
    parser.add_argument(
        "--best",
        action="store_true",
        help="with --ship: the averaged weights with the lowest loss on held-back pictures, instead of the last",
    )
    parser.add_argument(
        "--average-with",
        help="with --ship: ship the mean of this run's averaged weights and those of this cascade",
    )
    parser.add_argument(
        "--as-weaker",
        action="store_true",
        help="with --stage base --ship: as the weaker version that autoguidance moves away from, beside the base",
    )


def _add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each number of a recipe, and for its encoder."""
    from ..training.recipes import Recipe

    for field in dataclasses.fields(Recipe):
        if field.name not in OPTIONS_OF_THEIR_OWN:
            kind = {"int": int, "float": float, "str": str}[str(field.type)]
            about = f"{ABOUT.get(field.name, '')}default for each stage: {_defaults(field.name)}"
            parser.add_argument("--" + field.name.replace("_", "-"), type=kind, help=about)


def _defaults(name: str) -> str:
    from ..training.recipes import RECIPES

    return ", ".join(f"{stage} {getattr(recipe, name)}" for stage, recipe in RECIPES.items())


def run(args: argparse.Namespace) -> dict | None:
    """Train what the options say; returns the facts that --json prints. Of several processes the first alone does."""
    if not 1 <= args.workers <= MOST_WORKERS:
        raise UserError(f"--workers: must be between 1 and {MOST_WORKERS}, got {args.workers}")
    if args.grid_every is not None and args.grid_every < 0:
        raise UserError(f"--grid-every: must be at least 0, got {args.grid_every}")
    if args.as_weaker and not (args.ship and args.stage == "base"):
        raise UserError("--as-weaker: needs --stage base and --ship")
    if args.average_with and not args.ship:
        raise UserError("--average-with: needs --ship, which writes the mean")
    if args.best and not args.ship:
        raise UserError("--best: needs --ship, which writes the weights")
    check_writable(args.run, "--run")
    return {CLASSIFIER: _run_classifier, LAYOUT: _run_layout}.get(args.stage, _run_stage)(args)


def _run_stage(args: argparse.Namespace) -> dict | None:
    from accelerate import PartialState

    from ..models.checkpoints import WEAKER
    from ..networks.text import open_encoder
    from ..training.data import Shards, among_others, encode_shards, render_shards, unrendered
    from ..training.grids import draw_grid
    from ..training.loop import Progress, check_launcher, check_tracker, train
    from ..training.recipes import read_sizes
    from ..training.ship import check_shippable, ship
    from ..training.state import kept_state
    from ..training.validation import BEST, Validation, load_best

    check_tracker(args.tracker)
    check_launcher()
    recipe, start = recipe_of(args)
    spec, world = recipe.spec, prepared(args) or open_world(recipe.world)
    if args.ship:
        check_shippable(args.ship, WEAKER if args.as_weaker else spec.name, world, read_sizes(recipe.sizes))
    other = weights_of(args.average_with, recipe, "--average-with") if args.average_with else None
    encoder = open_encoder(recipe.encoder, recipe.layer)
    shards = Shards.of(args.data, world, spec, among_others(encoder))
    if unrendered(shards, recipe.pictures):
        check_writable(args.data, "--data")
    state = PartialState(cpu=on_cpu(args.cpu), timeout=PATIENCE)
    if kept_state(args.run, recipe, state.num_processes) is None and state.is_main_process:
        # Left by a run that ended before it kept a state.
        (args.run / BEST).unlink(missing_ok=True)
    config = defaults_at(read_sizes(recipe.sizes))[spec.size]
    grid_every = GRID_EVERY if args.grid_every is None else args.grid_every
    with state.main_process_first():
        render_shards(shards, recipe.pictures, args.workers)
        encode_shards(shards, recipe.pictures, encoder)

    validation = Validation(recipe, world, encoder) if state.is_main_process else None

    def watch(progress: Progress) -> dict[str, float]:
        if grid_every and progress.step % grid_every == 0:
            draw_grid(progress.averaged, spec, config, world, encoder, args.run / f"grid-{progress.step:06d}.png")
        if validation and (progress.step % VALIDATE_EVERY == 0 or progress.step == recipe.steps):
            return {"validation_loss": validation.log(progress.averaged, progress.step, args.run)}
        return {}

    unet = train(
        recipe, shards, args.run, cpu=args.cpu, start=start, watch=watch, tracker=args.tracker, recompute=args.recompute
    )
    if not state.is_main_process:
        return None
    if args.best:
        load_best(args.run, unet)
    # The weights first: the grid may take minutes.
    if args.ship:
        ship(args.ship, unet, recipe, encoder, average_with=other, world=world, weaker=args.as_weaker)
    draw_grid(unet, spec, config, world, encoder, args.run / "grid.png")
    return {"stage": args.stage, "run": str(args.run), **dataclasses.asdict(recipe)}


def _steps_and_pictures(args: argparse.Namespace, world: World, steps: int, refused: set[str]) -> tuple[int, int]:
    """Steps and pictures of a training that uses no other recipe option but the world; any other is refused."""
    from ..training.data import Shards, unrendered
    from ..training.recipes import LIMITS, RECIPES, Recipe

    refused |= {"cpu", "recompute", "best", "grid_every", "tracker", *(f.name for f in dataclasses.fields(Recipe))} - {
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
    from ..training.recipes import RECIPES
    from ..training.text_layers import STEPS, sides_told, train

    world = _scene_world(args)
    steps, pictures = _steps_and_pictures(args, world, STEPS, {"ship", "average_with"})
    unet = UNet(CONFIGS["base64"])
    if args.start is not None:
        unet.load_state_dict(weights_of(args.start, RECIPES["base"], "--start")[0])
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
    if (collected := prepared(args)) is not None:
        return scenes_of(collected, "--data")
    return scenes_of(open_world(args.world or FIRST, "--world"), "--world")
