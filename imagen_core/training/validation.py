"""The loss on the same pictures, which training never shows, noised alike each time; and the best weights by it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ..files.writing import written_whole
from ..networks.text import TextEncoder
from ..networks.unet import UNet
from ..types import UserError
from ..worlds.collected.collected import Collected
from ..worlds.world import FRESH_SEEDS, World
from .data import Batch, Shards, shortened
from .loop import share
from .objective import Example, Objective, make_example
from .recipes import Recipe

# Pictures that are looked at, and at once.
PICTURES, AT_ONCE = 64, 16
# A run's averaged weights with the lowest loss so far; its metadata says the step and the loss.
BEST = "best.safetensors"


class Validation:
    """Held-back pictures of a world, ready to ask a network of a recipe for its loss."""

    def __init__(self, recipe: Recipe, world: World, encoder: TextEncoder) -> None:
        spec = recipe.spec
        pictures = Shards.of(Path(), world, spec)
        random = torch.Generator().manual_seed(0)
        count = min(PICTURES, int(world.facts["held_back"])) if isinstance(world, Collected) else PICTURES
        self._recipe, self._examples = recipe, list[Example]()
        for first in range(0, count, AT_ONCE):
            seeds = range(FRESH_SEEDS + first, FRESH_SEEDS + min(first + AT_ONCE, count))
            images = torch.stack([pictures.picture(seed) for seed in seeds])
            text = encoder([shortened(world.caption(seed, seed), encoder) for seed in seeds])
            self._examples.append(make_example(Batch(images, text), spec, recipe.size, random))

    @torch.no_grad()
    def loss(self, network: UNet) -> float:
        """The mean loss, each picture counted alike."""
        training = network.training
        objective = Objective(network, self._recipe.spec, self._recipe.shift).eval()
        device = next(network.parameters()).device
        total = sum(float(objective(share(example, 0, 1, device))) * len(example.x) for example in self._examples)
        network.train(training)
        return total / sum(len(example.x) for example in self._examples)

    def log(self, network: UNet, step: int, run: Path) -> float:
        """Append the loss after ``step`` steps to validation.jsonl of a run, and keep the best weights; returns it."""
        loss = round(self.loss(network), 5)
        run.mkdir(parents=True, exist_ok=True)
        with (run / "validation.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "loss": loss}) + "\n")
        if not (run / BEST).exists() or loss < _best(run)[1]:
            weights = {name: x.detach().cpu().contiguous() for name, x in network.state_dict().items()}
            with written_whole(run / BEST) as aside:
                save_file(weights, aside, {"step": str(step), "loss": str(loss)})
        return loss


def load_best(run: Path, network: UNet) -> int:
    """Give ``network`` the best weights of a run; returns the step they are of.

    Raises:
        UserError: there are none, or they are damaged or of another network.
    """
    step, _ = _best(run)
    try:
        network.load_state_dict(load_file(run / BEST))
    except RuntimeError as error:
        raise UserError(f"--best: {run / BEST} is of another network") from error
    return step


def _best(run: Path) -> tuple[int, float]:
    """Step and loss of the best weights of a run."""
    if not (run / BEST).is_file():
        raise UserError(f"--best: {run} kept no best weights; leave --best out, or train in a new folder")
    try:
        with safe_open(run / BEST, "pt") as file:
            facts = file.metadata()
        return int(facts["step"]), float(facts["loss"])
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"run: {run / BEST} is damaged; delete it") from error
