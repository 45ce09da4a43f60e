"""The one place that knows the order: predict → guide → threshold."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .guidance import GUIDANCE, RENOISE_UNCOND, is_off
from .parameterization import PREDICTIONS
from .thresholding import THRESHOLDS
from .types import Conditioning, Denoise, Denoised, Level, Network, StageSpec, TextEmbedding


def build_denoiser(
    network: Network,
    conditioning: Conditioning,
    spec: StageSpec,
    *,
    guidance: str,
    guidance_options: dict[str, Any],
    threshold: str,
    threshold_options: dict[str, Any],
) -> Denoise:
    """A denoiser for one run of one stage: what depends on the text alone is computed here, once.

    ``guidance_options`` holds ``w`` and whatever else the rule takes. At w = 1 the unconditional network is never
    called, unless the rule re-noises from it; otherwise both estimates come from one batch of twice the size.
    """
    renoise_uncond = guidance in RENOISE_UNCOND
    guided = renoise_uncond or not is_off(guidance_options["w"])
    text = _join(conditioning.text, conditioning.text.null()) if guided else conditioning.text
    context = network.prepare(text)
    to_x0 = PREDICTIONS[spec.prediction].to_x0
    guide = partial(GUIDANCE[guidance], **guidance_options)
    limit = partial(THRESHOLDS[threshold], **threshold_options)
    low_res = conditioning.low_res
    if guided and low_res is not None:
        low_res = torch.cat([low_res, low_res])
    memory: Any = None

    def denoise(z: Tensor, level: Level) -> Denoised:
        nonlocal memory
        both = torch.cat([z, z]) if guided else z
        rows = len(both)
        log_snr = z.new_full((rows,), level.log_snr)
        aug = None if conditioning.aug_level is None else z.new_full((rows,), conditioning.aug_level)
        predicted, gamma = network(both, log_snr, context, low_res, aug).float(), None
        if spec.learned_variance:
            # Guidance is for the mean alone; the text's branch, which comes first, says the variance.
            predicted, learned = predicted.chunk(2, dim=1)
            gamma = (learned[: len(z)] + 1) / 2
        x0 = to_x0(predicted, both, level.alpha, level.sigma)
        if guided:
            cond, uncond = x0.chunk(2)
            raw, memory = guide(cond, uncond, level=level, memory=memory)
        else:
            cond, uncond, raw = x0, None, x0
        x0_hat, s = limit(raw)
        x0_renoise = uncond if renoise_uncond and uncond is not None else x0_hat
        return Denoised(x0_hat, x0_renoise, raw, cond, uncond, s, gamma)

    return denoise


def _join(a: TextEmbedding, b: TextEmbedding) -> TextEmbedding:
    """Two batches of text as one, the shorter padded with tokens that nobody sees."""
    n = max(a.tokens.shape[1], b.tokens.shape[1])
    padded = [
        (F.pad(t.tokens, (0, 0, 0, n - t.tokens.shape[1])), F.pad(t.mask, (0, n - t.mask.shape[1]))) for t in (a, b)
    ]
    tokens, masks = zip(*padded)
    return TextEmbedding(torch.cat(tokens), torch.cat(masks))
