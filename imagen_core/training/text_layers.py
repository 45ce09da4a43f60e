"""Teaching the base's text layers before its pictures: from a caption alone, what stands at each place.

At nearly pure noise a base can do no better than this, but learns it slowly: after 370,000 pictures ours could
not tell a caption from the same one with left and right exchanged. Without pictures, and with captions that name a
relation drawn more often, it takes minutes on one core (docs/LOG.md). The head that reads the layers is thrown away.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..networks.layers import TextLayout
from ..networks.text import TextEncoder
from ..networks.unet import UNet
from ..types import TextEmbedding
from ..worlds.tabletop.exchanges import pairs, scenes
from ..worlds.tabletop.scenes import Scene, sample_scene
from ..worlds.tabletop.vocabulary import COLOURS, SHAPES
from .data import CAPTIONS, FRESH_SEEDS, Pictures, captions_of
from .loop import bf16_is_fast

STEPS, BATCH, RATE = 1200, 256, 1e-3
# Share of captions that say how one thing stands to another. By themselves a third do; 115,000 were then not enough.
RELATED = 0.6
SIDE = TextLayout.SIDE
# The file in a run's folder that `train --stage base --start` takes up.
WEIGHTS = "start.safetensors"


def cells(scene: Scene) -> Int[np.ndarray, "2 s s"]:
    """Colour and shape seen at the middle of each cell, counted from 1; 0 where there is nothing.

    Things are taken as upright boxes: a place to look at, not a rendering.
    """
    seen = np.zeros((2, SIDE, SIDE), dtype=np.int64)
    middle = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    for thing in sorted(scene.things, key=lambda thing: -thing.z):
        across, half = thing.on_screen()
        top, bottom = thing.down_screen(thing.height), thing.down_screen(0.0)
        inside = ((middle > top) & (middle < bottom))[:, None] & (abs(middle - across) < half)
        seen[:, inside] = [[1 + list(COLOURS).index(thing.colour)], [1 + list(SHAPES).index(thing.shape)]]
    return seen


class Reader(nn.Module):
    """A base with a head on its text layers; its other weights get no gradient and so stay as they are."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        assert unet.text_layout is not None
        self.unet, self.layout = unet, unet.text_layout
        self.head = nn.Linear(self.layout.inner.out_features, len(COLOURS) + len(SHAPES) + 2)

    def forward(self, text: TextEmbedding) -> Float[Tensor, "b k s s"]:
        _, tokens = self.unet.read(text)
        return self.head(self.layout.features(tokens, text.mask)).transpose(1, 2).unflatten(2, (SIDE, SIDE))

    def loss(self, text: TextEmbedding, seen: Int[Tensor, "b 2 s s"]) -> Float[Tensor, " b"]:
        """Cross-entropy of colour plus that of shape, the mean over a caption's cells."""
        colour, shape = self(text).float().split((len(COLOURS) + 1, len(SHAPES) + 1), 1)
        each = (F.cross_entropy(x, y, reduction="none") for x, y in zip((colour, shape), seen.unbind(1)))
        return torch.stack([x.mean((1, 2)) for x in each]).sum(0)


def names_a_relation(text: str) -> bool:
    """Whether a caption says which of two things is on the left, or in front."""
    return bool({"left", "right", "front", "behind"} & set(text.split()))


def sides_told(reader: Reader, encoder: TextEncoder, count: int = 150) -> float:
    """Share of fresh scenes likelier from a true caption than with left and right exchanged; 0.5 is chance."""
    chosen = scenes(count, FRESH_SEEDS)
    seen = torch.from_numpy(np.stack([cells(scene) for scene in chosen]))
    with torch.no_grad():
        said = zip(*(pairs(scene)["sides"] for scene in chosen))
        true, exchanged = (reader.loss(encoder(list(texts)), seen) for texts in said)
    return float((true < exchanged).float().mean())


def train(unet: UNet, data: Path, run: Path, *, pictures: int, steps: int = STEPS) -> Reader:
    """Teach the text layers of ``unet``, in place, and write all its weights to ``run``/start.safetensors.

    Captions and scenes are those of the first ``pictures`` training pictures, encoded before.
    """
    torch.manual_seed(0)
    reader = Reader(unet)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    captions = Pictures(data, 64, pictures)
    seen = torch.from_numpy(np.stack([cells(sample_scene(seed)) for seed in range(pictures)]))
    related = torch.tensor(
        [(seed, k) for seed in range(pictures) for k, text in enumerate(captions_of(seed)) if names_a_relation(text)]
    )
    random = torch.Generator().manual_seed(0)
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.jsonl").open("a") as log:
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
    save_file({name: value.contiguous() for name, value in unet.state_dict().items()}, run / WEIGHTS)
    return reader
