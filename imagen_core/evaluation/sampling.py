"""Many pictures of many prompts in batches; each picture is the same as if it were drawn alone.

A Request has one prompt. Here run_stage gets a batch of different embeddings and seeds. Each picture has its own noise
generator, and padding is masked, so the batch changes only the speed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache as once
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..files.digests import file_digest, sha256
from ..models.cascade import Cascade
from ..run.generate import Inputs, run_stage
from ..settings import Plan, StageConfig
from ..types import Image, StageResult, UserError
from .spread import kept_by_all

# The modules of the engine that determine a picture: everything that sampling and loading a cascade import.
DRAWN_BY = (
    "diffusion", "files", "models", "networks", "processes", "records", "run", "settings", "sources", "types", "worlds",
)  # fmt: skip
# Pixels in a batch. On a CPU larger batches are no faster; single pictures take half as long again.
PIXELS = 16 * 64 * 64
# Texts that are encoded together; T5-XXL's take 1.3 MB each.
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

    ``low_res`` [n, 3, s, s] holds the pictures that a super-resolution stage starts from. Pictures that people see go
    through :func:`for_viewers`.

    Raises:
        UserError: the cascade has no such stage, or a prompt is too long for its text encoder.
    """
    stage = next((stage for stage in cascade.stages if stage.spec.size == config.size), None)
    if stage is None:
        raise UserError(f"size: {config.size} is not offered by {cascade.name}")
    if len(orders) > TEXTS:
        for start in range(0, len(orders), TEXTS):
            stop = start + TEXTS
            yield from draw(cascade, config, orders[start:stop], None if low_res is None else low_res[start:stop])
        return
    # All texts first: a large encoder is loaded once, and a prompt that is too long is refused before any work.
    places = {prompt: i for i, prompt in enumerate(dict.fromkeys(order.prompt for order in orders))}
    texts = (stage.encode or cascade.encode)(list(places))
    size, plan = max(1, PIXELS // config.size**2), Plan(config, stage.spec.schedule)
    for start in range(0, len(orders), size):
        part = orders[start : start + size]
        image = None if low_res is None else low_res[start : start + size]
        with torch.no_grad():
            text = texts.rows([places[order.prompt] for order in part])
            for event in run_stage(stage, plan, Inputs(text, [order.seed for order in part], image)):
                if isinstance(event, StageResult):
                    yield event.unmarked


def draw_all(cascade: Cascade, config: StageConfig, orders: Sequence[Order], low_res: Image | None = None) -> Tensor:
    """All pictures of :func:`draw` at once, with a progress bar on a terminal."""
    with tqdm(total=len(orders), unit="picture", desc=config.name, disable=None) as bar:
        parts = []
        for part in draw(cascade, config, orders, low_res):
            parts.append(part)
            bar.update(len(part))
    return torch.cat(parts)


def for_viewers(cascade: Cascade, size: int, images: Image) -> Image:
    """A stage's pictures as people may see them: with the safety checker and watermark of the model, if it has any."""
    finish = cascade.stage(size).finish
    return finish(images).image if finish else images


@once
def engine_digest() -> str:
    """sha256 of the sources of DRAWN_BY: after a change there, a cached picture may be out of date."""
    root = Path(__file__).parents[1]
    files = [file for name in DRAWN_BY for file in (root / name).rglob("*.py")]
    files += [file for name in DRAWN_BY if (file := root / f"{name}.py").is_file()]
    return sha256("".join(map(file_digest, sorted(files))).encode())


def kept(
    cache: Path, cascade: Cascade, config: StageConfig, orders: Sequence[Order], low_res: Tensor | None = None
) -> Tensor:
    """Pictures in [-1, 1], from the cache if everything that determines them is the same, else drawn and cached."""
    facts = {
        "engine": engine_digest(),
        "weights": cascade.digest,
        "dtype": str(cascade.dtype),
        # A safety checker blackens what it withholds.
        "guard": cascade.guard,
        "settings": asdict(config),
        "orders": [asdict(order) for order in orders],
    }
    given = sha256(b"" if low_res is None else low_res.numpy().tobytes())
    name = sha256(f"{json.dumps(facts, sort_keys=True)}/{given}".encode())[:24]
    shape = (len(orders), 3, config.size, config.size)

    def draw_share(share: slice) -> Tensor:
        return draw_all(cascade, config, orders[share], None if low_res is None else low_res[share])

    return kept_by_all(cache / f"cell-{name}.npy", shape, draw_share)
