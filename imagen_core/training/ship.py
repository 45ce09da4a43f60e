"""From a run to shipped weights: the averaged network, written into a cascade's folder with how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.writing import check_writable
from ..models.checkpoints import CLASSIFIER
from ..models.saving import check_others, save_classifier, save_stage, write_cascade
from ..networks.classifier import Classifier
from ..networks.text import TEXT_ENCODERS, TextEncoder
from ..networks.unet import UNet
from ..types import UserError
from ..worlds.tabletop.vocabulary import WORLD_VERSION
from .loop import STAGES, Recipe


def check_shippable(folder: Path, part: str) -> None:
    """Whether the stage of this name, or the classifier, can be shipped to ``folder``: a cascade's, whose other parts
    are as they were written, or for a stage an empty or a new one.

    Raises:
        UserError: there is something else, or it cannot be written to.
    """
    check_writable(folder, "--ship")
    if (folder / "cascade.json").is_file():
        try:
            check_others(folder, part)
            _name(folder)
        except UserError as error:
            raise UserError(f"--ship: {error}") from error
    elif part == CLASSIFIER or (folder.exists() and any(folder.iterdir())):
        raise UserError(f"--ship: {folder} holds no cascade.json; weights go to a cascade's folder")


def _name(folder: Path) -> str:
    """A cascade keeps its name; a new one is called after its folder."""
    path = folder / "cascade.json"
    if not path.is_file():
        return folder.resolve().name
    try:
        return str(json.loads(path.read_text())["name"])
    except LookupError as error:
        raise UserError(f"model: {path} gives the cascade no name") from error


def ship(
    folder: Path,
    unet: UNet,
    recipe: Recipe,
    encoder: TextEncoder,
    *,
    average_with: tuple[Mapping[str, Tensor], str] | None = None,
) -> None:
    """Write ``unet`` as a stage of the cascade in ``folder`` and bring its cascade.json up to date.

    ``images`` are those of this run, without those of the weights it began from. ``average_with`` are the weights of
    another run from the same beginnings, and the digest of their cascade: shipped is then the mean of the two
    (Wortsman et al. 2022, a soup).
    """
    spec = STAGES[recipe.stage]
    weights: dict[str, Tensor] = dict(unet.state_dict())
    training = {"world_version": WORLD_VERSION, "images": recipe.steps * recipe.batch, **asdict(recipe)}
    if average_with is not None:
        others, training["averaged_with"] = average_with
        weights = {name: torch.lerp(x, others[name].to(x), 0.5) for name, x in weights.items()}
    save_stage(folder, spec, unet.config, weights, training)
    write_cascade(folder, _name(folder), encoder, world_version=WORLD_VERSION)


def ship_classifier(folder: Path, network: Classifier, facts: dict[str, Any]) -> None:
    """Write a classifier into the cascade in ``folder`` and bring its cascade.json up to date."""
    save_classifier(folder, network.config, dict(network.state_dict()), {"world_version": WORLD_VERSION, **facts})
    write_cascade(folder, _name(folder), TEXT_ENCODERS["minilm"](), world_version=WORLD_VERSION)
