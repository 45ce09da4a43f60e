"""The one place that knows the order: predict → guide → threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch.nn import functional as F

from ..types import Conditioning, Denoise, Denoised, Image, Level, Network, StageSpec, TextEmbedding, UserError
from .guidance import Guide, Moment
from .parameterization import PREDICTIONS
from .thresholding import Threshold


@dataclass(frozen=True)
class Rules:
    """What is done with a prediction: a rule of guidance.py and one of thresholding.py, their options bound."""

    guide: Guide
    threshold: Threshold

    def apply(self, cond: Image, uncond: Image | None, moment: Moment) -> tuple[Denoised, Any]:
        """Guide and threshold two estimates of x; without ``uncond`` there is nothing to guide.

        Needs no network: any rules can be applied to the same stored estimates.
        """
        raw, memory = (cond, moment.memory) if uncond is None else self.guide(cond, uncond, moment)
        x0_hat, s = self.threshold.fn(raw)
        x0_renoise = uncond if self.guide.renoises_from == "uncond" and uncond is not None else x0_hat
        out = Denoised(
            x0_hat=x0_hat, x0_renoise=x0_renoise, x0_raw=raw, x0_cond=cond, x0_uncond=uncond, s=s, w=moment.w
        )
        return out, memory


@dataclass(frozen=True)
class Second:
    """Where the second estimate comes from, if not from the network without text (Guide.source).

    ``steer`` is the gradient in z of log p(y | z) of a classifier. ``weaker`` is a weaker version of the network.
    """

    steer: Callable[[Image, Level], Image] | None = None
    weaker: Network | None = None


def build_denoiser(
    network: Network,
    conditioning: Conditioning,
    spec: StageSpec,
    rules: Rules,
    weights: Sequence[float],
    *,
    second: Second = Second(),
    memory: Any = None,
) -> Denoise:
    """A denoiser for one run of one stage: what depends on the text alone is computed once, when first needed.

    ``weights`` has the guidance weight of each step. Where the rule needs no unconditional estimate at a weight, the
    unconditional network is not called; otherwise both estimates come from one batch of twice the size. ``memory`` is
    the guidance's, to resume.

    With ``second.steer`` the text is not used: the conditional estimate is the unconditional one moved by Bayes' rule,
    ``x0 + (sigma^2 / alpha) steer`` (Dhariwal & Nichol 2021, sec. 4: ``eps - sigma steer``), and w is their gradient
    scale, 0 being off. For a rule that guides by the network, ``second.weaker`` reads the same text.

    The denoiser raises a UserError at the first estimate that is not finite.
    """
    estimates = _estimator(network, conditioning, spec, rules.guide.source, second)

    # A sampler such as Heun's evaluates twice for one step's weight; guidance remembers that step once.
    last, before = -1, memory

    def denoise(z: Image, level: Level, *, step: int = 0, ahead: int = 0) -> Denoised:
        nonlocal last, before, memory
        index = step + ahead
        if index != last:
            last, before = index, memory
        w = weights[index]

        def estimate(text: TextEmbedding, *, z: Image = z, level: Level = level, network: Network = network) -> Image:
            return _predict(conditioning, spec, network, network.prepare(text), z, level)[0]

        cond, uncond, gamma = estimates(z, level, rules.guide.needs_uncond(w))
        moment = Moment(w, memory=before, level=level, z=z, text=conditioning.text, estimate=estimate)
        out, memory = rules.apply(cond, uncond, moment)
        _check_finite(spec.name, index, cond, uncond, out.x0_raw)
        return replace(out, gamma=gamma)

    return denoise


def _estimator(
    network: Network, conditioning: Conditioning, spec: StageSpec, source: str, second: Second
) -> Callable[[Image, Level, bool], tuple[Image, Image | None, Image | None]]:
    """What makes the estimates that guidance mixes: ``(z, level, guided) -> (cond, uncond, gamma)``.

    ``uncond`` is None where not ``guided``, and ``gamma`` where the network learned no variance.
    """
    text = conditioning.text

    @cache
    def context(texts: str) -> Any:
        chosen = {"cond": lambda: text, "uncond": text.null, "both": lambda: join(text, text.null())}
        return network.prepare(chosen[texts]())

    @cache
    def weaker() -> tuple[Network, Any]:
        if second.weaker is None:
            raise ValueError("second: a rule that guides by the network needs its weaker version")
        return second.weaker, second.weaker.prepare(text)

    predict = partial(_predict, conditioning, spec, network)

    def estimates(z: Image, level: Level, guided: bool) -> tuple[Image, Image | None, Image | None]:
        if second.steer is not None:
            uncond, gamma = predict(context("uncond"), z, level)
            return uncond + level.sigma**2 / level.alpha * second.steer(z, level), uncond, gamma
        if not guided:
            cond, gamma = predict(context("cond"), z, level)
            return cond, None, gamma
        if source == "network":
            cond, gamma = predict(context("cond"), z, level)
            return cond, _predict(conditioning, spec, *weaker(), z, level)[0], gamma
        both, gamma = predict(context("both"), torch.cat([z, z]), level)
        cond, uncond = both.chunk(2)
        # Guidance is for the mean alone: the variance is what the text's own branch, the first half, says.
        return cond, uncond, None if gamma is None else gamma[: len(z)]

    return estimates


def _check_finite(stage: str, index: int, *estimates: Image | None) -> None:
    """Refuse estimates with infinities or nan: all later steps, and the picture, would be nan."""
    if not all(bool(x.isfinite().all()) for x in estimates if x is not None):
        what = f"the estimate of {stage} at step {index + 1} is not finite"
        raise UserError(f"dtype: {what}; its numbers overflow, so try --dtype bfloat16 or float32")


def _predict(
    conditioning: Conditioning, spec: StageSpec, network: Network, context: Any, z: Image, level: Level
) -> tuple[Image, Image | None]:
    """x0 from a network, and gamma where it learned one; z may hold the batch of the conditioning several times."""
    low_res, aug = conditioning.low_res, None
    if low_res is not None and len(low_res) < len(z):
        low_res = low_res.repeat(len(z) // len(low_res), 1, 1, 1)
    if conditioning.aug_level is not None:
        aug = z.new_full((len(z),), conditioning.aug_level)
    predicted, gamma = network(z, z.new_full((len(z),), level.log_snr), context, low_res, aug).float(), None
    if spec.learned_variance:
        predicted, learned = predicted.chunk(2, dim=1)
        gamma = (learned + 1) / 2
    return PREDICTIONS[spec.prediction].to_x0(predicted, z, level.alpha, level.sigma), gamma


def join(a: TextEmbedding, b: TextEmbedding) -> TextEmbedding:
    """Two batches of text as one, the shorter padded with masked tokens."""
    n = max(a.tokens.shape[1], b.tokens.shape[1])
    padded = [
        (F.pad(t.tokens, (0, 0, 0, n - t.tokens.shape[1])), F.pad(t.mask, (0, n - t.mask.shape[1]))) for t in (a, b)
    ]
    tokens, masks = zip(*padded)
    return TextEmbedding(torch.cat(tokens), torch.cat(masks))
