"""DeepFloyd IF checkpoints small enough to make in a second, written by diffusers itself in the hub's layout.

Every key of IF's own configurations is in use: learned_range, text_proj, the text addition embedding, class_embed_type
timestep, resnet_skip_time_act, scale factors, SimpleCrossAttn blocks, only_cross_attention, group-normed text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imagen_core.settings import StageConfig
from imagen_core.types import StageResult, StepRecord

# A short run of its first two stages.
PROMPT, SEED = "a red ball on grass", 5
IF_1 = StageConfig(64, 3, 7.0, "ancestral", "leading", options={"percentile": 95.0, "cap": 1.5})
IF_2 = StageConfig(256, 2, 4.0, "ancestral", "leading", options={"percentile": 95.0, "cap": 1.0}, aug_level=0.25)
WIDTH = 48
WORDS = ("a red blue green ball cube dog cat on grass sand at night " + "photo of the and with large small").split(" ")

# Attention sees a quarter of the picture's side.
UNET: dict[str, Any] = {
    "sample_size": 64, "in_channels": 3, "out_channels": 6, "layers_per_block": 1, "block_out_channels": (8, 8, 16),
    "down_block_types": ("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
    "norm_num_groups": 4, "cross_attention_dim": 32, "encoder_hid_dim": WIDTH, "encoder_hid_dim_type": "text_proj",
    "attention_head_dim": 8, "addition_embed_type": "text", "addition_embed_type_num_heads": 4,
    "cross_attention_norm": "group_norm", "resnet_time_scale_shift": "scale_shift", "act_fn": "gelu",
}  # fmt: skip
UNET_2: dict[str, Any] = UNET | {
    "sample_size": 256, "in_channels": 6, "class_embed_type": "timestep", "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 1.4142, "mid_block_scale_factor": 1.4142, "time_embedding_act_fn": "gelu",
    "only_cross_attention": True,
}  # fmt: skip
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "epsilon",
    "variance_type": "learned_range", "thresholding": True, "dynamic_thresholding_ratio": 0.95, "sample_max_value": 1.5,
}  # fmt: skip


def filled(network: nn.Module, seed: int) -> Any:
    """Random weights everywhere, so that nothing a network is told goes unnoticed."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.15 if parameter.ndim > 1 else 0.3)
    return network.eval().requires_grad_(False)


def write_tokenizer(folder: Path) -> None:
    """A sentencepiece vocabulary trained on a handful of words, as spiece.model."""
    import sentencepiece

    texts = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=64, model_type="unigram", hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    facts = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**facts, "extra_ids": 100, "model_max_length": 77}))


def write_if(folder: Path, stage: int = 1, *, width: int = WIDTH, safety: bool = False, **unet: Any) -> Path:
    """Stage I (64 × 64) or II (256 × 256) of IF in ``folder``."""
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from transformers import T5Config, T5EncoderModel

    config = (UNET if stage == 1 else UNET_2) | unet
    filled(UNet2DConditionModel(**config), stage).save_pretrained(folder / "unet")
    DDPMScheduler(**(SCHEDULER | ({} if stage == 1 else {"sample_max_value": 1.0}))).save_pretrained(
        folder / "scheduler"
    )
    write_tokenizer(folder / "tokenizer")
    t5 = T5Config(
        vocab_size=200, d_model=width, d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    filled(T5EncoderModel(t5), 9).save_pretrained(folder / "text_encoder")
    index: dict[str, Any] = {
        "_class_name": "IFPipeline" if stage == 1 else "IFSuperResolutionPipeline",
        "_diffusers_version": "0.16.0",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "watermarker": [None, None],
        "requires_safety_checker": False,
    }
    if stage == 2:
        noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
        noising.save_pretrained(folder / "image_noising_scheduler")
        index["image_noising_scheduler"] = ["diffusers", "DDPMScheduler"]
    if safety:
        index |= write_safety(folder)
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder


def write_safety(folder: Path) -> dict[str, list[str]]:
    """IF's safety checker over a tiny CLIP, and its watermark: a white square."""
    from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
    from diffusers.pipelines.deepfloyd_if.watermark import IFWatermarker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 16, "projection_dim": 8}  # fmt: skip
    checker = filled(IFSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8)), 3)
    for head in (checker.p_head, checker.w_head):
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, -1.0)
    checker.save_pretrained(folder / "safety_checker")
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(folder / "feature_extractor")
    mark = IFWatermarker()
    mark.watermark_image.fill_(255)
    mark.save_pretrained(folder / "watermarker")
    return {
        "safety_checker": ["deepfloyd_if", "IFSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "watermarker": ["deepfloyd_if", "IFWatermarker"],
    }


def write_upscaler(folder: Path) -> Path:
    """Stage III: the x4 upscaler of Stable Diffusion, latent, with a CLIP text encoder of its own."""
    from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    unet = UNet2DConditionModel(
        sample_size=128, in_channels=7, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        norm_num_groups=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=WIDTH, attention_head_dim=8,
        num_class_embeds=1000, only_cross_attention=(True, False), use_linear_projection=True,
    )  # fmt: skip
    filled(unet, 4).save_pretrained(folder / "unet")
    betas: dict[str, Any] = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "scaled_linear"}
    DDIMScheduler(**betas, prediction_type="v_prediction", clip_sample=False).save_pretrained(folder / "scheduler")
    DDPMScheduler(**betas).save_pretrained(folder / "low_res_scheduler")
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 4, 8), norm_num_groups=4, latent_channels=4, scaling_factor=0.08333,
    )  # fmt: skip
    filled(vae, 5).save_pretrained(folder / "vae")
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        eos_token_id=len(words) - 1, bos_token_id=len(words) - 2,
    )  # fmt: skip
    filled(CLIPTextModel(text), 6).save_pretrained(folder / "text_encoder")
    index = {
        "_class_name": "StableDiffusionUpscalePipeline",
        "_diffusers_version": "0.16.0",
        "max_noise_level": 350,
        **{name: ["diffusers", kind] for name, kind in (
            ("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("scheduler", "DDIMScheduler"),
            ("low_res_scheduler", "DDPMScheduler"),
        )},
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder


def drained(events: Iterator[Any]) -> tuple[list[StepRecord], StageResult]:
    *steps, result = events
    return steps, result
