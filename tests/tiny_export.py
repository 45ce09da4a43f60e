"""A small cascade with a small text encoder, as files that a browser tab samples with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from imagen_core.export import folder
from imagen_core.models.cascade import Cascade
from imagen_core.networks.text import TextEncoder, minilm


@dataclass(frozen=True)
class Exported:
    """A cascade, the folder that it was exported to, and what was said about it."""

    cascade: Cascade
    place: Path
    facts: dict[str, Any]


def encoder() -> TextEncoder:
    """MiniLM's tokenizer before one random layer of its width."""
    from transformers import BertConfig, BertModel

    tokenizer, _ = minilm().warm_up()
    torch.manual_seed(0)
    config = BertConfig(hidden_size=384, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    model = BertModel(config).eval().requires_grad_(False)
    return replace(minilm(), load=lambda: (tokenizer, model), _loaded=None)


def export(cascade: Cascade, place: Path) -> Exported:
    """Write a cascade with the small encoder into a folder."""
    cascade = replace(cascade, encode=encoder())
    return Exported(cascade, place, dict(folder.write(cascade, place)))
