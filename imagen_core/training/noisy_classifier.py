"""Training the classifier of noisy pictures: cross-entropy of the main thing's attributes at random levels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..diffusion.schedules import SCHEDULES, alpha_sigma
from ..networks.classifier import Classifier, ClassifierConfig
from ..networks.precision import bf16_is_fast
from ..worlds.world import SceneWorld
from .data import FRESH_SEEDS, Images, Shards
from .objective import spread
from .recipes import STAGES

STEPS, BATCH, RATE = 3000, 64, 1e-3


def config(world: SceneWorld) -> ClassifierConfig:
    """The classifier of a world's attributes, with the words of training captions for their classes."""
    attributes = {
        name: {concept: list(words) for concept, words in classes.items()} for name, classes in world.attributes.items()
    }
    return ClassifierConfig(attributes)


def labels_of(world: SceneWorld, seeds: Iterable[int]) -> dict[str, Int[Tensor, " n"]]:
    """The class of each picture's main thing, for each attribute."""
    things = [world.main_thing(seed) for seed in seeds]
    return {name: torch.tensor([thing[name] for thing in things]) for name in world.attributes}


def loss(
    network: Classifier, x: Float[Tensor, "b 3 h w"], truth: dict[str, Tensor], random: torch.Generator
) -> Float[Tensor, ""]:
    """Mean cross-entropy over attributes, at levels spread evenly over the base's schedule."""
    log_snr = SCHEDULES[STAGES["base"].schedule].fn(spread(len(x), random))
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(log_snr))
    logits = network(alpha * x + sigma * torch.randn(x.shape, generator=random), log_snr)
    return torch.stack([F.cross_entropy(logits[name].float(), truth[name]) for name in logits]).mean()


# Enough pictures to know the accuracy within one or two percent; they render in 15 seconds.
FRESH = 400


def accuracy(network: Classifier, world: SceneWorld) -> dict[str, dict[str, float]]:
    """Share of fresh pictures whose main thing is recognised, for each attribute, at several log_snr."""
    seeds = range(FRESH_SEEDS, FRESH_SEEDS + FRESH)
    x = torch.stack([world.picture(seed, 64) for seed in seeds])
    truth, noise = labels_of(world, seeds), torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    shares = {}
    for log_snr in (-6.0, -4.0, -2.0, 0.0, 2.0, 6.0):
        level = x.new_full((len(x),), log_snr)
        alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(level))
        with torch.no_grad():
            logits = network(alpha * x + sigma * noise, level)
        shares[f"log_snr {log_snr:g}"] = {
            name: round(float((logits[name].argmax(1) == truth[name]).float().mean()), 3) for name in truth
        }
    return shares


def train(world: SceneWorld, data: Path, run: Path, *, pictures: int, steps: int = STEPS) -> Classifier:
    """Train on the base's rendered pictures below ``data``; the loss of every 50th step goes to ``run``/log.jsonl."""
    torch.manual_seed(0)
    network = Classifier(config(world))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    # A training picture's number is its seed.
    images, truth = Images(Shards(data, world, 64), pictures), labels_of(world, range(pictures))
    random = torch.Generator().manual_seed(0)
    run.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:
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
