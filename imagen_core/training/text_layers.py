"""Training of the base's text layers before its pictures: from a caption alone, what stands at each place.

At nearly pure noise a base cannot know more than this, but it learns it slowly. After 370,000 pictures ours could not
tell a caption from the same one with left and right exchanged. Without pictures, and with captions that name a relation
drawn more often, it takes minutes on one core (docs/LOG.md). The head that reads the layers is not kept.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..files.writing import written_whole
from ..networks.layers import TextLayout
from ..networks.precision import bf16_is_fast
from ..networks.text import TextEncoder
from ..networks.unet import UNet
from ..types import TextEmbedding
from ..worlds.world import SceneWorld, scenes_of
from .data import CAPTIONS, FRESH_SEEDS, Pictures, Shards

STEPS, BATCH, RATE = 1200, 256, 1e-3
# Share of captions that name a relation. Without this a third do, and 115,000 captions were not enough.
RELATED = 0.6
SIDE = TextLayout.SIDE
# The file in a run's folder that `train --stage base --start` reads.
WEIGHTS = "start.safetensors"


class Reader(nn.Module):
    """A base with a head on its text layers. Its other weights get no gradient and stay as they are.

    ``world`` names the attributes; each cell of the picture has one class of each, or none.
    """

    def __init__(self, unet: UNet, world: SceneWorld) -> None:
        super().__init__()
        assert unet.text_layout is not None
        self.unet, self.layout, self.world = unet, unet.text_layout, world
        # One more each, for a cell without a thing.
        self.classes = [len(concepts) + 1 for concepts in world.attributes.values()]
        self.head = nn.Linear(self.layout.inner.out_features, sum(self.classes))

    def forward(self, text: TextEmbedding) -> Float[Tensor, "b k s s"]:
        _, tokens = self.unet.read(text)
        return self.head(self.layout.features(tokens, text.mask)).transpose(1, 2).unflatten(2, (SIDE, SIDE))

    def loss(self, text: TextEmbedding, seen: Int[Tensor, "b a s s"]) -> Float[Tensor, " b"]:
        """Cross-entropy, summed over the attributes: the mean over a caption's cells."""
        logits = self(text).float().split(self.classes, 1)
        each = (F.cross_entropy(x, y, reduction="none") for x, y in zip(logits, seen.unbind(1)))
        return torch.stack([x.mean((1, 2)) for x in each]).sum(0)


def sides_told(reader: Reader, encoder: TextEncoder, count: int = 150) -> float:
    """Share of fresh pictures whose true caption fits better than with left and right exchanged; 0.5 is chance."""
    seeds, *captions = zip(*reader.world.exchanged_sides(count, FRESH_SEEDS))
    seen = torch.from_numpy(np.stack([reader.world.cells(seed, SIDE) for seed in seeds]))
    with torch.no_grad():
        true, exchanged = (reader.loss(encoder(list(texts)), seen) for texts in captions)
    return float((true < exchanged).float().mean())


def train(unet: UNet, shards: Shards, run: Path, *, pictures: int, steps: int = STEPS) -> Reader:
    """Train the text layers of ``unet`` in place, and write all its weights to ``run``/start.safetensors.

    Captions are those of the first ``pictures`` training pictures, encoded before.

    Raises:
        UserError: the world does not know what stands where in its pictures.
    """
    torch.manual_seed(0)
    world = scenes_of(shards.world, "--world")
    reader = Reader(unet, world)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    captions = Pictures(shards, pictures)
    seen = torch.from_numpy(np.stack([world.cells(seed, SIDE) for seed in range(pictures)]))
    texts = [(seed, k, text) for seed in range(pictures) for k, text in enumerate(shards.captions(seed))]
    related = torch.tensor([(seed, k) for seed, k, text in texts if world.names_a_relation(text)])
    random = torch.Generator().manual_seed(0)
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:
        for step in tqdm(range(steps), desc="layout", unit="step", mininterval=5.0):
            any_rows = torch.stack([torch.randint(n, (BATCH,), generator=random) for n in (pictures, CAPTIONS)], 1)
            rows = related[torch.randint(len(related), (BATCH,), generator=random)]
            rows = torch.where((torch.rand(BATCH, generator=random) < RELATED)[:, None], rows, any_rows)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_fast()):
                error = reader.loss(captions.text(rows[:, 0], rows[:, 1]), seen[rows[:, 0]]).mean()
            optimizer.zero_grad(set_to_none=True)
            error.backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                print(json.dumps({"step": step, "loss": round(float(error.detach()), 4)}), file=log, flush=True)
    with written_whole(run / WEIGHTS) as aside:
        aside.write_bytes(save({name: value.contiguous() for name, value in unet.state_dict().items()}))
    return reader
