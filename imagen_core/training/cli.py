"""``python -m imagen_core train``: prepare the pictures, train a stage or the classifier, look at grids, ship."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..types import UserError

if TYPE_CHECKING:
    from torch import Tensor

GRID_EVERY = 1000
CLASSIFIER = "classifier"
# What the classifier's training takes of a recipe; the rest of it is fixed.
OF_THE_CLASSIFIER = {"steps", "pictures"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .loop import STAGES, Recipe

    parser.add_argument(
        "--stage",
        required=True,
        choices=[*STAGES, CLASSIFIER],
        help="which of the three models to train, or the classifier",
    )
    parser.add_argument("--run", type=Path, required=True, help="the run's own folder: resumed if it has a state")
    parser.add_argument(
        "--data", type=Path, default=Path("runs/data"), help="where pictures are kept (default %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that render missing pictures (default %(default)s)"
    )
    parser.add_argument("--cpu", action="store_true", help="train on the CPU even where there is a GPU")
    parser.add_argument(
        "--grid-every",
        type=int,
        default=GRID_EVERY,
        help="steps between sample grids, 0 for none (default %(default)s)",
    )
    parser.add_argument(
        "--start", help="a new run begins from these weights instead of random ones: tabletop or a cascade's folder"
    )
    parser.add_argument("--ship", type=Path, help="write the averaged weights into this cascade folder at the end")
    for field in dataclasses.fields(Recipe):
        if field.name != "stage":
            kind = {"int": int, "float": float, "str": str}[str(field.type)]
            parser.add_argument(
                "--" + field.name.replace("_", "-"), type=kind, help=f"default for each stage: {_defaults(field.name)}"
            )


def _defaults(name: str) -> str:
    from .recipes import RECIPES

    return ", ".join(f"{stage} {getattr(recipe, name)}" for stage, recipe in RECIPES.items())


def _weights(model: str, size: int) -> tuple[dict[str, Tensor], str]:
    """The weights of a cascade's stage of this size, and the cascade's digest."""
    from ..checkpoints import load_cascade, unet_of
    from ..unet import CONFIGS

    cascade = load_cascade(model)
    found = [stage for stage in cascade.stages if stage.spec.size == size]
    if not found or unet_of(found[0]).config != CONFIGS[found[0].spec.name]:
        raise UserError(f"--start: {model} has no stage of {size} with the network that is trained here")
    return unet_of(found[0]).state_dict(), cascade.digest


def run(args: argparse.Namespace) -> dict:
    """Do it all; returns what was trained."""
    from accelerate import PartialState

    from ..text import TEXT_ENCODERS
    from .data import encode_shards, render_shards
    from .grids import draw_grid
    from .loop import STAGES, Progress, Recipe, train
    from .recipes import RECIPES
    from .ship import ship

    if args.workers < 1:
        raise UserError(f"--workers: must be at least 1, got {args.workers}")
    given = {f.name: value for f in dataclasses.fields(Recipe) if (value := getattr(args, f.name, None)) is not None}
    if args.stage == CLASSIFIER:
        return _run_classifier(args, {name: value for name, value in given.items() if name != "stage"})
    recipe = dataclasses.replace(RECIPES[args.stage], **given)
    size = STAGES[args.stage].size
    start, started = _weights(args.start, size) if args.start else (None, "")
    encoder = TEXT_ENCODERS["minilm"]()
    state = PartialState(cpu=args.cpu)
    with state.main_process_first():
        render_shards(args.data, size, recipe.pictures, args.workers)
        encode_shards(args.data, size, recipe.pictures, encoder)

    def watch(progress: Progress) -> None:
        if args.grid_every and progress.step % args.grid_every == 0:
            draw_grid(progress.averaged, STAGES[args.stage], encoder, args.run / f"grid-{progress.step:06d}.png")

    unet = train(recipe, args.data, args.run, cpu=args.cpu, start=start, watch=watch)
    if state.is_main_process:
        draw_grid(unet, STAGES[args.stage], encoder, args.run / "grid.png")
        if args.ship:
            ship(args.ship, unet, recipe, encoder, started)
    return {"stage": args.stage, "run": str(args.run), **dataclasses.asdict(recipe)}


def _run_classifier(args: argparse.Namespace, given: dict[str, int]) -> dict:
    from .classifier import STEPS, accuracy, train
    from .data import render_shards
    from .recipes import RECIPES
    from .ship import ship_classifier

    for name in (*(given.keys() - OF_THE_CLASSIFIER), *(name for name in ("start",) if getattr(args, name))):
        raise UserError(f"--{name.replace('_', '-')}: the classifier's training takes only --steps and --pictures")
    if args.ship and not (args.ship / "cascade.json").is_file():
        raise UserError(f"--ship: {args.ship} holds no cascade.json; a classifier goes to a cascade's folder")
    pictures, steps = given.get("pictures", RECIPES["base"].pictures), given.get("steps", STEPS)
    for name, value in (("pictures", pictures), ("steps", steps)):
        if value < 1:
            raise UserError(f"--{name}: must be at least 1, got {value}")
    render_shards(args.data, 64, pictures, args.workers)
    network = train(args.data, args.run, pictures=pictures, steps=steps)
    facts = {"steps": steps, "pictures": pictures, "accuracy": accuracy(network)}
    if args.ship:
        ship_classifier(args.ship, network, facts)
    return {"stage": CLASSIFIER, "run": str(args.run), **facts}
