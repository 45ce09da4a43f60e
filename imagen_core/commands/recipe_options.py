"""The recipe that the options of ``train`` make, its data, and the weights that it starts from."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..types import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ..training.recipes import Recipe
    from ..worlds.collected.collected import Collected


def weights_of(model: str, recipe: Recipe, option: str) -> tuple[dict[str, Tensor], str]:
    """The weights of a cascade's stage that a recipe trains, or of a run of --stage layout, with their digest.

    Raises:
        UserError: they cannot be read, or are of another network; names the ``option``.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ..files.digests import file_digest
    from ..models.checkpoints import unet_of
    from ..models.opening import load_cascade
    from ..networks.text import open_encoder
    from ..networks.unet import UNet
    from ..training.text_layers import WEIGHTS

    reads = open_encoder(recipe.encoder, recipe.layer)
    spec, config, file = recipe.spec, recipe.config(reads), Path(model) / WEIGHTS
    # A run of the text layers can start a stage; it is not a trained stage to average with.
    if option == "--start" and model and spec.is_base and file.is_file():
        try:
            weights = load_file(file)
        except SafetensorError as error:
            raise UserError(f"{option}: {file} is damaged") from error
        with torch.device("meta"):
            expected = UNet(config).state_dict()
        if {name: x.shape for name, x in weights.items()} != {name: x.shape for name, x in expected.items()}:
            raise UserError(f"{option}: {file} holds another network than the one trained here")
        return weights, file_digest(file)
    try:
        cascade = load_cascade(model)
    except UserError as error:
        raise UserError(f"{option}: {error}") from error
    if (cascade.encode.digest, cascade.encode.layer) != (reads.digest, reads.layer):
        raise UserError(f"{option}: {model} was trained with another text encoder, or with another layer of it")
    matching = [stage for stage in cascade.stages if stage.spec == spec]
    if not matching or unet_of(matching[0]).config != config:
        raise UserError(f"{option}: {model} has no stage of {spec.size} with the network trained here")
    return unet_of(matching[0]).state_dict(), cascade.digest


def recipe_of(args: argparse.Namespace) -> tuple[Recipe, dict[str, Tensor] | None]:
    """The recipe of a stage, and the weights that a new run starts from, if any.

    Options that are not given have the stage's own default. A resumed run keeps its precision, its sizes, its small
    steps, its world and the digest of the weights it started from.

    Raises:
        UserError: a value is out of range, or the run or the weights cannot be read.
    """
    from ..networks.precision import bf16_is_fast
    from ..training.recipes import NEW, RECIPES, Recipe, fields_for_sizes, read_sizes, sizes_text, spec_of
    from ..training.text_layers import WEIGHTS

    given = {f.name: value for f in dataclasses.fields(Recipe) if (value := getattr(args, f.name, None)) is not None}
    # A cascade names the folder of its encoder, wherever it is opened from.
    if "encoder" in given and Path(given["encoder"]).is_dir():
        given["encoder"] = str(Path(given["encoder"]).resolve())
    kept = _kept(args.run)
    sizes = read_sizes(given.get("sizes", kept.get("sizes", RECIPES[args.stage].sizes)))
    given["sizes"] = sizes_text(sizes)
    if kept and kept["sizes"] != given["sizes"]:
        raise UserError(f"--sizes: {args.run} was begun with {kept['sizes']}; resume with that or use a new folder")
    if (world := prepared(args)) is not None:
        given = {**_of_data(world, args, spec_of(args.stage, sizes).size), **given}

    def defaults_for(started: bool) -> Recipe:
        new = {} if started or world is None else NEW[args.stage]
        # Of fewer steps than those, none is at half the side.
        small = {"small_steps": 0} if args.steps else {}
        # With the network, which a refusal of the sizes names.
        network = given.get("network", RECIPES[args.stage].network)
        fit = {**fields_for_sizes(args.stage, sizes, network), "network": network}
        return dataclasses.replace(RECIPES[args.stage], **{**new, **small, **fit})

    if kept:
        if kept["data_digest"] and world is None:
            raise UserError(f"--data: {args.run} learns from {kept['world']}; name its prepared folder")
        return dataclasses.replace(defaults_for(bool(kept["started_from"])), **{**kept, **given}), None
    if (args.run / WEIGHTS).exists():
        raise UserError(f"--run: {args.run} is one of --stage layout; a stage needs a folder of its own")
    given.setdefault("precision", "bf16" if bf16_is_fast(cpu=args.cpu) else "no")
    # Ranges are checked before the weights are read, which takes a moment.
    recipe = dataclasses.replace(defaults_for(args.start is not None), **given)
    start, started = (None, "") if args.start is None else weights_of(args.start, recipe, "--start")
    return dataclasses.replace(recipe, started_from=started), start


def _kept(run: Path) -> dict[str, Any]:
    """What a resumed run keeps of its recipe; nothing for a new one."""
    from ..training.recipes import BEFORE

    if not (run / "state.pt").exists():
        return {}
    try:
        before = {**BEFORE, **json.loads((run / "recipe.json").read_bytes())}
        named = ("precision", "started_from", "world", "data_digest", "sizes")
        return {**{name: str(before[name]) for name in named}, "small_steps": int(before["small_steps"])}
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise UserError(f"--run: {run} holds a state.pt without a readable recipe.json; use a new folder") from error


def prepared(args: argparse.Namespace) -> Collected | None:
    """The world of a prepared folder; None where ``--data`` is for rendered pictures."""
    from ..sources.folder import TABLES
    from ..training.data import is_rendered
    from ..worlds.collected.collected import open_collected

    # A folder of pictures that was not prepared is told so, before a table top is rendered into it.
    if not any((args.data / name).is_file() for name in ("data.json", "plan.json", *TABLES)):
        # Folders of rendered pictures lie side by side, also of earlier versions of a world.
        rendered = any(path.is_dir() and is_rendered(path) for path in _visible(args.data))
        if not rendered and (strange := next(_visible(args.data), None)):
            raise UserError(
                f"--data: {args.data} holds {strange.name!r:.60}; name a folder that the verb data wrote, or a new one"
            )
        return None
    if args.world is not None:
        raise UserError(f"--world: does not apply to {args.data}, which holds prepared pictures")
    return open_collected(args.data)


def _visible(folder: Path) -> Iterator[Path]:
    """What lies in a folder, without hidden files; nothing if it is no folder."""
    yield from (path for path in (folder.iterdir() if folder.is_dir() else ()) if not path.name.startswith("."))


def _of_data(world: Collected, args: argparse.Namespace, size: int) -> dict[str, Any]:
    """The fields of a recipe that follow from prepared data."""
    if world.side < size:
        raise UserError(f"--data: {args.data} has a side of {world.side}; this stage needs data with --side {size}")
    if args.pictures is not None and args.pictures > world.pictures:
        raise UserError(f"--pictures: must be between 1 and {world.pictures}, got {args.pictures}")
    named = {"world": world.name, "data_digest": world.digest}
    return {"crowded": 0.0, "one_colour": 1.0, "pictures": world.pictures, **named}
