"""Training the classifier of noisy pictures: cross-entropy of the main thing's colour and shape at random levels."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..diffusion.schedules import SCHEDULES, alpha_sigma
from ..networks.classifier import Classifier, ClassifierConfig
from ..worlds.tabletop.render import render
from ..worlds.tabletop.scenes import CAMERA_DISTANCE, Scene, Thing, sample_scene
from ..worlds.tabletop.vocabulary import COLOURS, SHAPES, plural
from .data import FRESH_SEEDS, Images
from .loop import STAGES, bf16_is_fast
from .objective import spread

STEPS, BATCH, RATE = 3000, 64, 1e-3


def config() -> ClassifierConfig:
    """The shipped classifier: eight colours, four shapes, and the words of training captions for them."""
    shapes = {name: [form for word in words for form in (word, plural(word))] for name, words in SHAPES.items()}
    return ClassifierConfig({"colour": {name: list(words) for name, words in COLOURS.items()}, "shape": shapes})


def main_thing(scene: Scene) -> Thing:
    """The largest by half its width times its height, as near as it is: about what covers most of a picture."""
    return max(scene.things, key=lambda thing: thing.radius * thing.height / (thing.z + CAMERA_DISTANCE) ** 2)


def labels_of(scenes: list[Scene]) -> dict[str, Int[Tensor, " n"]]:
    """The classes of each scene's main thing."""
    things = [main_thing(scene) for scene in scenes]
    return {
        "colour": torch.tensor([list(COLOURS).index(thing.colour) for thing in things]),
        "shape": torch.tensor([list(SHAPES).index(thing.shape) for thing in things]),
    }


def loss(
    network: Classifier, x: Float[Tensor, "b 3 h w"], truth: dict[str, Tensor], random: torch.Generator
) -> Float[Tensor, ""]:
    """Mean cross-entropy over attributes, at levels spread evenly over the base's schedule."""
    log_snr = SCHEDULES[STAGES["base"].schedule].fn(spread(len(x), random))
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(log_snr))
    logits = network(alpha * x + sigma * torch.randn(x.shape, generator=random), log_snr)
    return torch.stack([F.cross_entropy(logits[name].float(), truth[name]) for name in logits]).mean()


# Enough scenes for an accuracy within a percent or two, few enough to render in a quarter of a minute.
FRESH = 400


def accuracy(network: Classifier) -> dict[str, dict[str, float]]:
    """Share of fresh scenes whose main thing is recognised, for each attribute, at several log_snr."""
    scenes = [sample_scene(seed) for seed in range(FRESH_SEEDS, FRESH_SEEDS + FRESH)]
    x = torch.stack([render(scene, 64) for scene in scenes])
    truth, noise = labels_of(scenes), torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    found = {}
    for log_snr in (-6.0, -4.0, -2.0, 0.0, 2.0, 6.0):
        level = x.new_full((len(x),), log_snr)
        alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(level))
        with torch.no_grad():
            logits = network(alpha * x + sigma * noise, level)
        found[f"log_snr {log_snr:g}"] = {
            name: round(float((logits[name].argmax(1) == truth[name]).float().mean()), 3) for name in truth
        }
    return found


def train(data: Path, run: Path, *, pictures: int, steps: int = STEPS) -> Classifier:
    """Train on the base's rendered pictures; the loss of every 50th step goes to ``run``/log.jsonl."""
    torch.manual_seed(0)
    network = Classifier(config())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    # A training picture's number is its scene's seed.
    images, truth = Images(data, 64, pictures), labels_of([sample_scene(seed) for seed in range(pictures)])
    random = torch.Generator().manual_seed(0)
    run.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (run / "log.jsonl").open("a") as log:
        for step in tqdm(range(steps), desc="classifier", unit="step", mininterval=5.0):
            rows = torch.randint(pictures, (BATCH,), generator=random)
            x = images[rows]
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_fast()):
                error = loss(network, x, {name: values[rows] for name, values in truth.items()}, random)
            optimizer.zero_grad(set_to_none=True)
            error.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                seconds = round(time.monotonic() - began, 1)
                print(
                    json.dumps({"step": step, "loss": round(float(error.detach()), 4), "seconds": seconds}),
                    file=log,
                    flush=True,
                )
    return network.eval().requires_grad_(False)
