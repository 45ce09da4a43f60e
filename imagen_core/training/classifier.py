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

from ..classifier import Classifier, ClassifierConfig
from ..schedules import SCHEDULES, alpha_sigma
from ..tabletop.scenes import CAMERA_DISTANCE, Scene, Thing, sample_scene
from ..tabletop.vocabulary import COLOURS, SHAPES, plural
from .data import Pictures

STEPS, BATCH, RATE = 3000, 64, 1e-3


def config() -> ClassifierConfig:
    """The shipped classifier: eight colours, four shapes, and the words of training captions for them."""
    shapes = {name: [form for word in words for form in (word, plural(word))] for name, words in SHAPES.items()}
    return ClassifierConfig({"colour": {name: list(words) for name, words in COLOURS.items()}, "shape": shapes})


def main_thing(scene: Scene) -> Thing:
    """The thing that covers most of the picture."""
    return max(scene.things, key=lambda thing: thing.radius * thing.height / (thing.z + CAMERA_DISTANCE) ** 2)


def labels(pictures: int) -> dict[str, Int[Tensor, " n"]]:
    """Each picture's classes: a picture's number is its scene's seed."""
    things = [main_thing(sample_scene(seed)) for seed in range(pictures)]
    return {
        "colour": torch.tensor([list(COLOURS).index(thing.colour) for thing in things]),
        "shape": torch.tensor([list(SHAPES).index(thing.shape) for thing in things]),
    }


def loss(
    network: Classifier, x: Float[Tensor, "b 3 h w"], truth: dict[str, Tensor], random: torch.Generator
) -> Float[Tensor, ""]:
    """Mean cross-entropy over attributes, at levels spread evenly over the base's schedule."""
    t = (torch.rand((), generator=random) + torch.arange(len(x)) / len(x)) % 1
    log_snr = SCHEDULES["cosine"](t)
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(log_snr))
    logits = network(alpha * x + sigma * torch.randn(x.shape, generator=random), log_snr)
    return torch.stack([F.cross_entropy(logits[name].float(), truth[name]) for name in logits]).mean()


def train(data: Path, run: Path, *, pictures: int, steps: int = STEPS) -> Classifier:
    """Train on the base's rendered pictures; the loss of every 50th step goes to ``run``/log.jsonl."""
    torch.manual_seed(0)
    network = Classifier(config())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    source, truth, random = Pictures(data, 64, pictures), labels(pictures), torch.Generator().manual_seed(0)
    run.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (run / "log.jsonl").open("a") as log:
        for step in tqdm(range(steps), desc="classifier", unit="step", mininterval=5.0):
            rows = torch.randint(pictures, (BATCH,), generator=random)
            x = source.images(rows)
            with torch.autocast("cpu", torch.bfloat16):
                error = loss(network, x, {name: values[rows] for name, values in truth.items()}, random)
            optimizer.zero_grad(set_to_none=True)
            error.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                seconds = round(time.monotonic() - began, 1)
                print(
                    json.dumps({"step": step, "loss": round(float(error), 4), "seconds": seconds}), file=log, flush=True
                )
    return network.eval().requires_grad_(False)
