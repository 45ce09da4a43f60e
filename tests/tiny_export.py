"""A small cascade with a small text encoder, as files that a browser tab samples with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from imagen_core.export import folder
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
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


def export(model: Path, root: Path) -> Exported:
    """The cascade in ``model`` with the small encoder, in a folder below ``root``; made once, whoever else asks."""
    cascade, place, said = replace(load_cascade(model), encode=encoder()), root / "exported", root / "exported.json"
    with FileLock(root / "exported.lock"):
        if not said.is_file():
            said.write_text(json.dumps(dict(folder.write(cascade, place))))
        return Exported(cascade, place, json.loads(said.read_bytes()))
