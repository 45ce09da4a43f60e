"""DeepFloyd IF's text: what its pipeline reads, from an encoder that leaves again, kept on the disk."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_deepfloyd import PROMPT
from torch.testing import assert_close

from imagen_core.models.cascade import Cascade, Loading
from imagen_core.models.deepfloyd import t5 as captions
from imagen_core.models.opening import load_cascade
from imagen_core.types import UserError

pytestmark = pytest.mark.usefixtures("cache")


def test_text_is_what_the_pipeline_reads(stage_1: Path, tiny_if: Cascade) -> None:
    """Caption cleaning, padding to 77, and a null text that is T5("") rather than zeros."""
    from diffusers import DiffusionPipeline

    dirty = 'A <b>RED</b> ball &amp; "cube" – see https://example.com/x.png #123 @somebody'
    pipeline = DiffusionPipeline.from_pretrained(stage_1)
    text, null = pipeline.encode_prompt([dirty, PROMPT], clean_caption=True)
    ours = tiny_if.encode([dirty, PROMPT])
    assert_close(ours.tokens, text)
    assert_close(ours.null().tokens, null)
    assert ours.tokens.shape[1] == 77 and ours.mask[1].sum() < 77
    assert captions.clean(dirty) == pipeline._text_preprocessing([dirty], clean_caption=True)[0]


def test_the_encoder_leaves_and_what_it_read_stays(stage_1: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = load_cascade(stage_1)
    monkeypatch.setattr(captions, "MOST_AT_ONCE", 2)
    loads, alive = cascade.encode.load, []

    def watched() -> Any:
        tokenizer, load = loads()

        def loaded() -> Any:
            model = load()
            alive.append(weakref.ref(model))
            return model

        return tokenizer, loaded

    cascade.encode.load = watched
    first = cascade.encode(["a dog", "a cat", "a dog"])
    gc.collect()
    assert len(alive) == 1 and alive[0]() is None
    assert torch.equal(first.tokens[0], first.tokens[2]) and not torch.equal(first.tokens[0], first.tokens[1])

    again = load_cascade(stage_1)
    again.encode.load = lambda: pytest.fail("what is on the disk must not be read again")
    assert torch.equal(again.encode(["a cat"]).tokens[0], first.tokens[1])
    # Another dtype is another embedding.
    other = load_cascade(stage_1, Loading(dtype="bfloat16"))
    assert other.encode.digest != again.encode.digest
    # A damaged file is read anew.
    for file in cache.glob("text/*"):
        file.write_bytes(b"nothing")
    anew = load_cascade(stage_1)
    assert torch.equal(anew.encode(["a cat"]).tokens[0], first.tokens[1])


@pytest.mark.parametrize("others", [[], ["a dog"]])
def test_a_prompt_beyond_77_tokens_is_refused_before_the_encoder_loads(stage_1: Path, others: list[str]) -> None:
    encode = load_cascade(stage_1).encode
    load = encode.load
    encode.load = lambda: (load()[0], lambda: pytest.fail("not for this"))
    with pytest.raises(UserError, match=r"prompt: 'ball ball .* has \d+ tokens, .* reads at most 77"):
        encode([*others, "ball " * 99])
