"""The text encoder as a graph, its table of words in shards that are fetched as a prompt needs them, its tokenizer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.text import LAST, TextEncoder, read_layer
from .tracing import Traced

# Words of one shard. A prompt's words lie in about ten, each a quarter of a megabyte.
SHARD = 256
# A relative error of tokens that no picture shows (tests/export). Float16 weights make 2e-3.
ALLOWED = 1e-2
FILES = ("tokenizer.json", "tokenizer_config.json")


class Text(nn.Module):
    """The words' own embeddings [1, n, d] in float16, as shards hold them → tokens [1, n, width] in float32."""

    def __init__(self, model: Any, layer: int) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, words: Tensor) -> tuple[Tensor]:
        out = self.model(inputs_embeds=words.float(), output_hidden_states=self.layer != LAST)
        return (read_layer(out, self.layer),)


def text(encoder: TextEncoder) -> Traced:
    """The graph of an encoder without its table of words."""
    _, model = encoder.warm_up()
    table = _table(encoder)
    made = torch.Generator().manual_seed(0)

    def words(n: int) -> dict[str, Tensor | list[Tensor]]:
        return {"words": table[torch.randint(len(table), (1, n), generator=made)].half()}

    few, many = words(9), words(min(40, encoder.max_tokens))
    module = Text(model, encoder.layer)
    # transformers prepares a model for its hidden layers at the first call, under a lock that cannot be traced.
    module(few["words"])
    return Traced(module, few, {"words": {1: "n"}}, ["tokens"], many, allowed=ALLOWED, exact=False)


def shards(encoder: TextEncoder) -> Iterator[bytes]:
    """The table of words as float16, SHARD rows at a time."""
    table = _table(encoder).numpy()
    for start in range(0, len(table), SHARD):
        yield np.ascontiguousarray(table[start : start + SHARD], "<f2").tobytes()


def tokenizer(encoder: TextEncoder) -> dict[str, bytes]:
    """The files of the encoder's tokenizer, by name."""
    own, _ = encoder.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        own.save_pretrained(folder)
        return {name: (Path(folder) / name).read_bytes() for name in FILES}


def _table(encoder: TextEncoder) -> Tensor:
    _, model = encoder.warm_up()
    table: Tensor = model.get_input_embeddings().weight
    return table.detach().float()
