"""The one place that knows the order: predict → guide → threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..types import Conditioning, Denoise, Denoised, Image, Level, Network, StageSpec, TextEmbedding
from .guidance import is_off
from .parameterization import PREDICTIONS


@dataclass(frozen=True)
class Rules:
    """What is done with a prediction: ``guide`` of guidance.py and ``limit`` of thresholding.py, options bound.

    ``renoise_uncond`` says that a step re-noises from the unconditional estimate (CFG++).
    """

    guide: Callable[..., tuple[Image, Any]]
    limit: Callable[[Image], tuple[Image, Tensor]]
    renoise_uncond: bool = False

    def needs_uncond(self, w: float) -> bool:
        """Whether a weight asks for the unconditional estimate; at w = 1 it would be multiplied by 0."""
        return self.renoise_uncond or not is_off(w)

    def apply(self, cond: Image, uncond: Image | None, w: float, memory: Any = None) -> tuple[Denoised, Any]:
        """Guide and threshold two estimates of x; without ``uncond`` there is nothing to guide.

        Needs no network: any rules can be applied to the same stored estimates.
        """
        if uncond is None:
            raw = cond
        else:
            raw, memory = self.guide(cond, uncond, w=w, memory=memory)
        x0_hat, s = self.limit(raw)
        x0_renoise = uncond if self.renoise_uncond and uncond is not None else x0_hat
        return Denoised(x0_hat, x0_renoise, raw, cond, uncond, s), memory


def build_denoiser(
    network: Network,
    conditioning: Conditioning,
    spec: StageSpec,
    rules: Rules,
    w: Callable[[Level], float],
    *,
    steer: Callable[[Image, Level], Image] | None = None,
    memory: Any = None,
) -> Denoise:
    """A denoiser for one run of one stage: what depends on the text alone is computed once, when first needed.

    ``w`` gives the weight at a level. Where it is 1 the unconditional network is not called, unless the rules re-noise
    from it; otherwise both estimates come from one batch of twice the size. ``memory`` is the guidance's, to resume.

    With ``steer``, the gradient in z of log p(y | z) of a classifier, the text is not used: the conditional estimate is
    the unconditional one moved by Bayes' rule, ``x0 + (sigma^2 / alpha) steer`` (Dhariwal & Nichol 2021, sec. 4:
    ``eps - sigma steer``), and w is their gradient scale, 0 being off.
    """
    text, to_x0 = conditioning.text, PREDICTIONS[spec.prediction].to_x0

    @cache
    def context(texts: str) -> Any:
        chosen = {"cond": lambda: text, "uncond": text.null, "both": lambda: _join(text, text.null())}
        return network.prepare(chosen[texts]())

    def predict(z: Image, level: Level, texts: str) -> tuple[Image, Image | None]:
        """x0 from the network, and gamma where it learned one."""
        low_res = conditioning.low_res
        if texts == "both":
            z = torch.cat([z, z])
            low_res = None if low_res is None else torch.cat([low_res, low_res])
        log_snr = z.new_full((len(z),), level.log_snr)
        aug = None if conditioning.aug_level is None else z.new_full((len(z),), conditioning.aug_level)
        predicted, gamma = network(z, log_snr, context(texts), low_res, aug).float(), None
        if spec.learned_variance:
            predicted, learned = predicted.chunk(2, dim=1)
            gamma = (learned + 1) / 2
        return to_x0(predicted, z, level.alpha, level.sigma), gamma

    def estimates(z: Image, level: Level, guided: bool) -> tuple[Image, Image | None, Image | None]:
        if steer is not None:
            uncond, gamma = predict(z, level, "uncond")
            return uncond + level.sigma**2 / level.alpha * steer(z, level), uncond, gamma
        if not guided:
            cond, gamma = predict(z, level, "cond")
            return cond, None, gamma
        both, gamma = predict(z, level, "both")
        cond, uncond = both.chunk(2)
        # Guidance is for the mean alone: the variance is what the text's own branch, the first half, says.
        return cond, uncond, None if gamma is None else gamma[: len(z)]

    # A sampler such as Heun's asks twice at a level; guidance remembers a level once.
    asked, before = None, memory

    def denoise(z: Image, level: Level) -> Denoised:
        nonlocal asked, before, memory
        if level != asked:
            asked, before = level, memory
        weight = w(level)
        cond, uncond, gamma = estimates(z, level, guided=rules.needs_uncond(weight))
        out, memory = rules.apply(cond, uncond, weight, before)
        return replace(out, gamma=gamma)

    return denoise


def _join(a: TextEmbedding, b: TextEmbedding) -> TextEmbedding:
    """Two batches of text as one, the shorter padded with tokens that nobody sees."""
    n = max(a.tokens.shape[1], b.tokens.shape[1])
    padded = [
        (F.pad(t.tokens, (0, 0, 0, n - t.tokens.shape[1])), F.pad(t.mask, (0, n - t.mask.shape[1]))) for t in (a, b)
    ]
    tokens, masks = zip(*padded)
    return TextEmbedding(torch.cat(tokens), torch.cat(masks))
