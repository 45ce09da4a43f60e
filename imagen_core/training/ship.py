"""From a run to a cascade: the averaged network and the recipe, written into a cascade's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.writing import UNFINISHED, check_writable
from ..models.checkpoints import CLASSIFIER, WEAKER, WORLD, described_sizes, described_world, whole_sizes
from ..models.saving import check_others, save_classifier, save_stage, write_cascade
from ..networks.classifier import Classifier
from ..networks.text import TEXT_ENCODERS, TextEncoder
from ..networks.unet import UNet
from ..settings import DEFAULT_SIZES
from ..types import UserError
from ..worlds.collected.collected import Collected
from ..worlds.known import open_world
from ..worlds.world import World
from .card import write_card
from .recipes import Recipe, read_sizes, sizes_text


def check_shippable(folder: Path, part: str, world: World, sizes: Sequence[int] = DEFAULT_SIZES) -> None:
    """Refuse a ``folder`` that the stage of this name, the classifier or a weaker base cannot be shipped to.

    A stage goes to a cascade of the same ``world`` and ``sizes`` whose other parts are as they were written, or to a
    new or empty folder. A classifier and a weaker base go to such a cascade.

    Raises:
        UserError: the folder holds something else, or a cascade of another world or of other sizes, or it cannot be
            written to.
    """
    check_writable(folder, "--ship")
    if (folder / "cascade.json").is_file():
        try:
            known = described_world(folder)
            if known is None or known.name != world.name:
                name = "no world" if known is None else f"the world {known.name}"
                raise UserError(f"{folder} is a cascade of {name}, this training is of {world.name}")
            if (there := described_sizes(folder)) != whole_sizes(sizes):
                raise UserError(f"{folder} has --sizes {sizes_text(there)}, this training has {sizes_text(sizes)}")
            check_others(folder, part)
            _name(folder)
        except UserError as error:
            raise UserError(f"--ship: {error}") from error
    elif part in (CLASSIFIER, WEAKER) or not _is_begun(folder, part):
        raise UserError(f"--ship: {folder} holds no cascade.json; weights go to a cascade's folder")


def _is_begun(folder: Path, part: str) -> bool:
    """Whether a folder holds nothing but what a shipment of this part wrote before it was killed."""
    return not folder.exists() or all(x.name in (part, WORLD) or x.suffix == UNFINISHED for x in folder.iterdir())


def _name(folder: Path) -> str:
    """A cascade keeps its name; a new one is called after its folder."""
    path = folder / "cascade.json"
    if not path.is_file():
        return folder.resolve().name
    try:
        return str(json.loads(path.read_bytes())["name"])
    except LookupError as error:
        raise UserError(f"model: {path} gives the cascade no name") from error


def ship(
    folder: Path,
    unet: UNet,
    recipe: Recipe,
    encoder: TextEncoder,
    *,
    average_with: tuple[Mapping[str, Tensor], str] | None = None,
    world: World | None = None,
    weaker: bool = False,
) -> None:
    """Write ``unet`` as a stage of the cascade in ``folder`` and bring its cascade.json up to date.

    ``weaker`` makes it the weaker version of the base, for autoguidance.
    The recorded number of ``images`` counts this run alone. ``average_with`` holds the weights of another run from the
    same start, and the digest of their cascade; the mean of the two is then shipped (Wortsman et al. 2022, a soup).
    ``world`` is that of the recipe, needed where people collected it.
    """
    spec = recipe.spec
    weights: dict[str, Tensor] = dict(unet.state_dict())
    world = world or open_world(recipe.world)
    training = {"world_version": world.version, "images": recipe.steps * recipe.batch, **asdict(recipe)}
    if average_with is not None:
        others, training["averaged_with"] = average_with
        weights = {name: torch.lerp(x, others[name].to(x), 0.5) for name, x in weights.items()}
    save_stage(folder, spec, unet.config, weights, training, weaker=weaker)
    write_cascade(folder, _name(folder), encoder, world, read_sizes(recipe.sizes))
    if isinstance(world, Collected):
        write_card(folder, world)


def ship_classifier(folder: Path, network: Classifier, world: World, facts: dict[str, Any]) -> None:
    """Write a classifier into the cascade in ``folder`` and bring its cascade.json up to date."""
    known = {"world": world.name, "world_version": world.version, **facts}
    save_classifier(folder, network.config, dict(network.state_dict()), known)
    write_cascade(folder, _name(folder), TEXT_ENCODERS["minilm"](), world)
