"""DeepFloyd IF's text encoder: captions are cleaned, padded to 77 tokens and encoded; then the encoder is unloaded.

T5-XXL is larger than all its U-Nets together. So it stays in memory only while it reads. Embeddings are kept on disk
under a digest of text, encoder and dtype: a prompt that was used before needs no encoder.
"""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files.writing import written_whole
from ...networks.text import TextEncoder
from ...types import TextEmbedding, UserError
from .network import enough_memory

MAX_TOKENS = 77
# 0.6 MB each with T5-XXL in half precision.
MOST_KEPT = 1000
MOST_IN_MEMORY = 32
# Texts in one batch of the encoder.
MOST_AT_ONCE = 32


def cache_folder() -> Path:
    """Where embeddings are kept: IMAGEN_LAB_CACHE, or imagen-lab in the user's cache."""
    if own := os.environ.get("IMAGEN_LAB_CACHE"):
        return Path(own)
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        # A service's user may have no home.
        home = Path(tempfile.gettempdir())
    return home / "imagen-lab"


@lru_cache(maxsize=1)
def _cleaner() -> Callable[[str], str]:
    try:
        import bs4  # noqa: F401
        import ftfy  # noqa: F401
        from diffusers import IFPipeline
    except ImportError as error:
        raise UserError(f"model: {error.name} is missing; pip install -r requirements-deepfloyd.txt") from error
    # The library's own cleaning, the same as for IF's training captions; it needs no pipeline.
    pipeline: Any = IFPipeline.__new__(IFPipeline)
    return lambda text: str(pipeline._text_preprocessing([text], clean_caption=True)[0])


def clean(text: str) -> str:
    """A caption cleaned as for IF's training: lower case, no links, mark-up, file names, odd punctuation or CJK."""
    return _cleaner()(text)


@dataclass
class CaptionEncoder(TextEncoder):
    """A text encoder that pads to ``max_tokens``, whose null text is the embedding of "", unloaded after each batch.

    ``load`` returns the tokenizer and a function that loads the model, for each batch of texts that are not kept yet.
    ``clean`` is applied to a caption first. ``masked`` says whether the model gets a mask of the padding (T5) or not
    (the CLIP of stage III).
    """

    clean: Callable[[str], str] = field(default=str, repr=False)
    masked: bool = True
    _kept: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def warm_up(self) -> Any:
        """Do nothing: a large encoder is loaded when there is a text to read."""

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embed prompts: tokens [b, 77, d] of float32 on the CPU, with the null text beside them.

        Raises:
            UserError: a prompt is longer than 77 tokens, or the encoder does not fit into the memory.
        """
        texts = [self.clean(prompt) for prompt in prompts]
        with self._lock:
            missing = [text for text in dict.fromkeys([*texts, ""]) if not self._find(text)]
            if missing:
                with enough_memory():
                    self._encode(missing)
            rows = [self._kept[text] for text in texts]
            null, mask = (x.expand(len(texts), *x.shape[1:]) for x in _stack([self._kept[""]]))
            # The others are on the disk.
            for text in list(self._kept)[:-MOST_IN_MEMORY]:
                del self._kept[text]
        return TextEmbedding(*_stack(rows), unconditional=TextEmbedding(null, mask))

    def _encode(self, texts: Sequence[str]) -> None:
        tokenizer, load = self.load()
        tokens = tokenizer(list(texts), padding="max_length", max_length=self.max_tokens)
        for text, row in zip(texts, tokens["input_ids"]):
            if len(row) > self.max_tokens:
                raise UserError(
                    f"prompt: {text!r:.40} has {len(row)} tokens, {self.name} reads at most {self.max_tokens}"
                )
        ids, mask = torch.tensor(tokens["input_ids"]), torch.tensor(tokens["attention_mask"])
        model = load()
        for rows in torch.arange(len(ids)).split(MOST_AT_ONCE):
            given = {"attention_mask": mask[rows].to(model.device)} if self.masked else {}
            states = model(input_ids=ids[rows].to(model.device), **given).last_hidden_state.cpu()
            for i, row in zip(rows.tolist(), states):
                self._keep(texts[i], row.clone(), mask[i].bool())
        del model, states
        with suppress(OSError):
            files = self._file("").parent.glob("*.safetensors")
            for old in sorted(files, key=lambda file: file.stat().st_mtime)[:-MOST_KEPT]:
                old.unlink()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _file(self, text: str) -> Path:
        name = hashlib.sha256(f"{self.digest}\n{text}".encode()).hexdigest()
        return cache_folder() / "text" / f"{name}.safetensors"

    def _find(self, text: str) -> bool:
        """Whether a text is in memory, after looking for it on the disk."""
        from safetensors.torch import load_file

        if text not in self._kept:
            # A damaged file is written again.
            with suppress(Exception):
                kept = load_file(self._file(text))
                if kept["tokens"].shape == (self.max_tokens, self.width):
                    self._kept[text] = (kept["tokens"], kept["mask"])
        return text in self._kept

    def _keep(self, text: str, tokens: Tensor, mask: Tensor) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        self._kept[text] = (tokens, mask)
        # Without a writable disk every prompt is encoded again.
        with suppress(OSError, SafetensorError):
            file = self._file(text)
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as aside:
                save_file({"tokens": tokens, "mask": mask}, aside)


def _stack(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([tokens.float() for tokens, _ in rows]), torch.stack([mask for _, mask in rows])
