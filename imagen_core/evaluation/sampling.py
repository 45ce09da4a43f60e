"""Many pictures of many prompts: batches that mix prompts, each picture what it would be on its own.

A Request is one prompt; here the engine's run_stage is handed a batch of different embeddings and seeds. Noise comes
from each picture's own generator, and padding is masked, so that the batch changes nothing but speed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache as once
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..files.hub import file_digest
from ..models.cascade import Cascade
from ..run.generate import Inputs, run_stage
from ..settings import Plan, StageConfig
from ..types import Image, StageResult, UserError
from .disk import kept_in

# The engine's modules that a picture follows from: all that sampling and loading a cascade import.
DRAWN_BY = ("diffusion", "files", "models", "networks", "records", "run", "settings", "types")
# Pixels in a batch: on a CPU larger ones are no faster, and one picture at a time costs half as much again.
PIXELS = 16 * 64 * 64
# Texts that are read together: of T5-XXL's 1.3 MB each.
TEXTS = 1024


@dataclass(frozen=True)
class Order:
    """One picture to be drawn."""

    prompt: str
    seed: int


def draw(
    cascade: Cascade, config: StageConfig, orders: Sequence[Order], low_res: Image | None = None
) -> Iterator[Image]:
    """Run one stage for all orders; yields the finished pictures batch by batch, in order, without a watermark.

    ``low_res`` [n, 3, s, s] holds the pictures that a super-resolution stage starts from. What people are to see goes
    through :func:`shown`.

    Raises:
        UserError: the cascade has no such stage, or a prompt is too long for its text encoder.
    """
    found = [stage for stage in cascade.stages if stage.spec.size == config.size]
    if not found:
        raise UserError(f"size: {config.size} is not offered by {cascade.name}")
    if len(orders) > TEXTS:
        for start in range(0, len(orders), TEXTS):
            stop = start + TEXTS
            yield from draw(cascade, config, orders[start:stop], None if low_res is None else low_res[start:stop])
        return
    # All texts before any picture: a large encoder is loaded once, and a prompt that is too long costs nothing.
    places = {prompt: i for i, prompt in enumerate(dict.fromkeys(order.prompt for order in orders))}
    texts = (found[0].encode or cascade.encode)(list(places))
    size, plan = max(1, PIXELS // config.size**2), Plan(config, found[0].spec.schedule)
    for start in range(0, len(orders), size):
        part = orders[start : start + size]
        image = None if low_res is None else low_res[start : start + size]
        with torch.no_grad():
            text = texts.rows([places[order.prompt] for order in part])
            for event in run_stage(found[0], plan, Inputs(text, [order.seed for order in part], image)):
                if isinstance(event, StageResult):
                    yield event.unmarked


def draw_all(cascade: Cascade, config: StageConfig, orders: Sequence[Order], low_res: Image | None = None) -> Tensor:
    """All pictures of :func:`draw` at once, with a bar on standard error where somebody looks."""
    with tqdm(total=len(orders), unit="picture", desc=config.name, disable=None) as bar:
        parts = []
        for part in draw(cascade, config, orders, low_res):
            parts.append(part)
            bar.update(len(part))
    return torch.cat(parts)


def shown(cascade: Cascade, size: int, images: Image) -> Image:
    """Pictures of a stage for people's eyes: as the model's authors want them, with the watermark if there is one."""
    finish = cascade.stage(size).finish
    return finish(images).image if finish else images


@once
def engine_digest() -> str:
    """sha256 of the sources of DRAWN_BY: where one of them was changed, a kept picture may not be what it would be."""
    root = Path(__file__).parents[1]
    files = [file for name in DRAWN_BY for file in (root / name).rglob("*.py")]
    files += [file for name in DRAWN_BY if (file := root / f"{name}.py").is_file()]
    return hashlib.sha256("".join(file_digest(file) for file in sorted(files)).encode()).hexdigest()


def kept(
    cache: Path, cascade: Cascade, config: StageConfig, asked: Sequence[Order], low_res: Tensor | None = None
) -> Tensor:
    """A cell's pictures in [-1, 1]: from the cache if all that they follow from is the same, else drawn and kept."""
    facts = {
        "engine": engine_digest(),
        "weights": cascade.digest,
        # A safety checker blackens what it withholds.
        "guard": cascade.guard,
        "settings": asdict(config),
        "orders": [asdict(order) for order in asked],
    }
    given = hashlib.sha256(b"" if low_res is None else low_res.numpy().tobytes()).hexdigest()
    name = hashlib.sha256(f"{json.dumps(facts, sort_keys=True)}/{given}".encode()).hexdigest()[:24]
    shape = (len(asked), 3, config.size, config.size)
    return kept_in(cache / f"cell-{name}.npy", shape, lambda: draw_all(cascade, config, asked, low_res))
