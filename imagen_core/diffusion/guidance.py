"""Guidance: how the conditional and the unconditional estimate of x are combined.

Imagen guides eps: ``eps~ = w eps(z, c) + (1 - w) eps(z)`` (Saharia et al. 2022, eq. 2). At a given z and level,
eps, v and x0 are affine in each other. An affine map commutes with any mix whose weights sum to 1, as w and 1 - w do.
So guiding x0 is the same as guiding eps, before thresholding.

A rule is ``(cond, uncond, *, w, ...) -> (guided, memory)``. Its keyword-only parameters with a number as default are
options that a user may set. All others are handed over by name: the fields of :class:`Moment`. ``memory`` is what the
rule wants to remember until the next step, None for most. How w changes over a run is the matter of w_schedules.py.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..types import Image, Level, TextEmbedding
from .parameterization import to_eps
from .thresholding import quantile


@dataclass(frozen=True)
class Moment:
    """What a guidance rule may ask for, by the name of a parameter.

    ``w`` is the weight of this step and ``memory`` what the rule returned at the step before (None at the first). ``z``
    [b, 3, h, w] is the noisy image at ``level``, and ``text`` the prompts' embedding. ``estimate(text, *, z, level,
    network)`` asks the network once more and returns x0_hat [b, 3, h, w]; what is left out is as in ``cond``. A stored
    step has neither ``text`` nor ``estimate``.
    """

    w: float
    memory: Any = None
    level: Level | None = None
    z: Image | None = None
    text: TextEmbedding | None = None
    estimate: Callable[..., Image] | None = None


@dataclass(frozen=True)
class Guide:
    """A guidance rule, what people are told about it, and what the engine must know of it.

    ``off_at`` is the weight that is no guidance in the rule's paper: 1 where the conditional estimate alone is left, so
    that the unconditional one is not needed; None if there is no such weight. ``source`` says what the two estimates
    differ in: "text", a "classifier", or the "network", whose weaker version then takes the place of no text. A step
    re-noises from the estimate that ``renoises_from`` names, "guided" or "uncond". ``further`` counts the network rows
    that the rule's own estimates take, for one picture and evaluation.
    """

    fn: Callable[..., tuple[Image, Any]]
    title: str
    paper: str
    help: str
    off_at: float | None = 1.0
    source: str = "text"
    renoises_from: str = "guided"
    further: int = 0

    @property
    def asks(self) -> tuple[str, ...]:
        """The fields of :class:`Moment` that the rule's signature names."""
        parameters = inspect.signature(self.fn).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and not is_option(p))

    def needs_uncond(self, w: float) -> bool:
        """Whether the unconditional estimate is needed at a weight (``off_at``)."""
        return self.off_at != 1 or not is_off(w)

    def __call__(self, cond: Image, uncond: Image, moment: Moment) -> tuple[Image, Any]:
        """The guided estimate and the rule's memory."""
        return self.fn(cond, uncond, **{name: getattr(moment, name) for name in self.asks})


def cfg(cond: Image, uncond: Image, *, w: float) -> tuple[Image, None]:
    """Classifier-free guidance in the paper's form: w = 1 is off (Ho & Salimans 2022; Saharia et al. 2022, eq. 2)."""
    return uncond + w * (cond - uncond), None


def rescale(cond: Image, uncond: Image, *, w: float, phi: float = 0.7) -> tuple[Image, None]:
    """Pull the guided spread back towards the conditional one's (Lin et al. 2023, arXiv 2305.08891, eq. 15-16).

    They rescale the network's output; unlike the mix, a spread depends on the parameterization, and here it is x0's.
    """
    guided, _ = cfg(cond, uncond, w=w)
    ratio = cond.flatten(1).std(1) / guided.flatten(1).std(1).clamp_min(1e-8)
    return guided * (phi * ratio + 1 - phi).reshape(-1, 1, 1, 1), None


def apg(
    cond: Image,
    uncond: Image,
    *,
    w: float,
    memory: Tensor | None = None,
    momentum: float = -0.5,
    radius: float = 0.1,
    parallel: float = 0.0,
) -> tuple[Image, Tensor]:
    """Adaptive projected guidance on x0: ``cond + (w - 1) (d_orthogonal + parallel d_parallel)``.

    The difference ``d = cond - uncond`` gets a (reverse) ``momentum``, at most ``radius`` of length, and only
    ``parallel`` times its part along cond, the part that saturates (Sadat et al. 2024, arXiv 2410.02416, alg. 1).
    Lengths are root mean squares, so that radius means the same at any size; 0.1 is our choice.
    """
    memory = cond - uncond if memory is None else cond - uncond + momentum * memory
    size = memory.square().mean((1, 2, 3), keepdim=True).sqrt()
    d = memory * (radius / size.clamp_min(1e-8)).clamp_max(1.0)
    share = _dot(d, cond) / _dot(cond, cond).clamp_min(1e-8)
    return cond + (w - 1) * (d + (parallel - 1) * share * cond), memory


def cfgpp(cond: Image, uncond: Image, *, w: float) -> tuple[Image, None]:
    """CFG++: ``uncond + w (cond - uncond)`` with w in [0, 1], their lambda (Chung et al. 2024, arXiv 2406.08070).

    The step then re-noises from the *unconditional* estimate (Denoised.x0_renoise), which keeps z on its manifold.
    """
    return cfg(cond, uncond, w=w)


def mambo(cond: Image, uncond: Image, *, w: float, level: Level, z: Image, damping: float = 8.0) -> tuple[Image, None]:
    """MAMBO-G: ``1 + (w - 1) exp(-damping r)`` in place of w (Zhu et al. 2025, arXiv 2508.03442).

    ``r = |v_c - v_u| / |v_u|`` compares velocities. Theirs are a flow's; v is the velocity of this process (Salimans &
    Ho 2022, App. D), and here ``sigma v = alpha z - x0``.
    """
    r = _length(cond - uncond) / _length(level.alpha * z - uncond).clamp_min(1e-8)
    return uncond + (1 + (w - 1) * torch.exp(-damping * r)) * (cond - uncond), None


def zero_star(
    cond: Image, uncond: Image, *, w: float, level: Level, z: Image, still: float = 0.04
) -> tuple[Image, None]:
    """CFG-Zero*: ``s v_u + w (v_c - s v_u)`` with ``s = <v_c, v_u> / |v_u|^2`` (Fan et al. 2025, arXiv 2503.18886).

    v is 0 in the first ``still`` of the time, by their advice that of 4 % of the steps. Their velocity is a flow's,
    ours is v as in :func:`mambo`; the weights do not sum to 1, so that the space matters.
    """
    if level.t > 1 - still and not is_off(w):
        return level.alpha * z, None
    v_cond, v_uncond = level.alpha * z - cond, level.alpha * z - uncond
    v_uncond = v_uncond * _dot(v_cond, v_uncond) / _dot(v_uncond, v_uncond).clamp_min(1e-8)
    return level.alpha * z - cfg(v_cond, v_uncond, w=w)[0], None


def tangential(cond: Image, uncond: Image, *, w: float, level: Level, z: Image) -> tuple[Image, None]:
    """TCFG: guide eps from its unconditional part along the first singular vector of [eps_c; eps_u], the part that both
    share (Kwon et al. 2025, arXiv 2503.18137). Their score is eps up to a factor.

    With (a, b) the larger eigenvector of the Gram matrix, that part is ``b (a eps_c + b eps_u)``. Estimates of equal
    length at less than a right angle have ``a = b``; then w acts as ``(1 + w) / 2`` would in :func:`cfg`.
    """
    # In noise the two differ by alpha times less than their length: float32 would round the difference away.
    eps_cond, eps_uncond = (to_eps(x.double(), z.double(), level.alpha, level.sigma) for x in (cond, uncond))
    pair = torch.stack([eps_cond.flatten(1), eps_uncond.flatten(1)], 1)
    largest = torch.linalg.eigh(pair @ pair.mT).eigenvectors[:, :, -1]
    a, b = (part.reshape(-1, 1, 1, 1) for part in largest.unbind(1))
    eps, _ = cfg(eps_cond, b * (a * eps_cond + b * eps_uncond), w=w)
    return ((z - level.sigma * eps) / level.alpha).to(cond.dtype), None


def by_frequency(cond: Image, uncond: Image, *, w: float, coarse: float = 0.5) -> tuple[Image, None]:
    """FDG: w for the fine details, ``1 + coarse (w - 1)`` for what is left of the picture at half its size.

    One step of a Laplacian pyramid splits the difference of the estimates (Sadat et al. 2025, arXiv 2506.19713).
    They guide low frequencies less, as those burn: for SDXL by 5 and 10, near our ``coarse``. Each band's weights sum
    to 1 and the split is linear, so that x0, eps and v give the same.
    """
    guided, _ = cfg(cond, uncond, w=w)
    return guided - (1 - coarse) * (w - 1) * _coarse(cond - uncond), None


def mimic(cond: Image, uncond: Image, *, w: float, mimic_scale: float = 7.0, top: float = 100.0) -> tuple[Image, None]:
    """Guide by w with no more contrast than a smaller weight gives: the "CFG scale fix" of A1111.

    Each channel of the guided x0 is cut off where the ``top`` percentile of its distances from its mean lies, or the
    largest distance at ``mimic_scale`` if that is farther; then it shrinks to that largest distance. A rule of guidance
    and no threshold, since it needs both estimates. https://github.com/mcmonkeyprojects/sd-dynamic-thresholding, its
    mode MEAN and AD; their percentile is 100 too. A w at or below ``mimic_scale`` is left alone.
    """
    guided, _ = cfg(cond, uncond, w=w)
    tame, _ = cfg(cond, uncond, w=min(w, mimic_scale))
    mean = guided.mean((2, 3), keepdim=True)
    size = (guided - mean).abs().flatten(2).flatten(0, 1)
    own = quantile(size, top / 100).reshape(mean.shape)
    like = (tame - tame.mean((2, 3), keepdim=True)).abs().amax((2, 3), keepdim=True)
    most = torch.maximum(own, like)
    return (guided - mean).clamp(-most, most) * (like / most.clamp_min(1e-8)) + mean, None


def classifier(cond: Image, uncond: Image, *, w: float) -> tuple[Image, None]:
    """Classifier guidance (Dhariwal & Nichol 2021, arXiv 2105.05233, sec. 4): :func:`cfg`'s mix, from another source.

    ``cond`` is Bayes' estimate from a classifier's gradient (denoiser.build_denoiser), so w is their gradient scale:
    w = 0 is off and w = 1 is Bayes' rule. The network never sees the text.
    """
    return cfg(cond, uncond, w=w)


def autoguidance(cond: Image, uncond: Image, *, w: float) -> tuple[Image, None]:
    """Autoguidance (Karras et al. 2024, arXiv 2406.02507): :func:`cfg`'s mix, away from a worse estimate.

    ``uncond`` is what a weaker version of the network, smaller or trained for less long, makes of the same text. So w
    sharpens what the network learnt last, and leaves the text's own weight as it was.
    """
    return cfg(cond, uncond, w=w)


GUIDANCE: dict[str, Guide] = {
    "cfg": Guide(
        cfg, "Classifier-free", "Ho & Salimans 2022, arXiv 2207.12598",
        "Moves the estimate with text away from the one without text, w times as far.",
    ),
    "rescale": Guide(
        rescale, "Rescaled", "Lin et al. 2023, arXiv 2305.08891",
        "Classifier-free guidance, with its contrast scaled back towards that of the estimate with text.",
    ),
    "apg": Guide(
        apg, "Adaptive projected", "Sadat et al. 2024, arXiv 2410.02416",
        "Leaves out the part of the guidance that only makes colours stronger.",
    ),
    "cfgpp": Guide(
        cfgpp, "CFG++", "Chung et al. 2024, arXiv 2406.08070",
        "Mixes with a weight from 0 to 1, and adds the noise back from the estimate without text.",
        off_at=0.0, renoises_from="uncond",
    ),
    "mambo": Guide(
        mambo, "MAMBO-G", "Zhu et al. 2025, arXiv 2508.03442",
        "Classifier-free guidance that holds back where the two estimates differ much, as they do in noise.",
    ),
    "fdg": Guide(
        by_frequency, "Frequency-decoupled", "Sadat et al. 2025, arXiv 2506.19713",
        "Guides fine details by w, and the coarse picture, where colours burn, by less.",
    ),
    "tcfg": Guide(
        tangential, "Tangential damping", "Kwon et al. 2025, arXiv 2503.18137",
        "Guides from that part of the estimate without text that the one with text shares.",
    ),
    "zero_star": Guide(
        zero_star, "CFG-Zero*", "Fan et al. 2025, arXiv 2503.18886",
        "Scales the estimate without text to fit the one with text, and stands still at the very first.",
    ),
    "mimic": Guide(
        mimic, "Mimic scale", "sd-dynamic-thresholding for A1111",
        "Guides by w with the contrast that the smaller mimic_scale would give.",
    ),
    "auto": Guide(
        autoguidance, "Autoguidance", "Karras et al. 2024, arXiv 2406.02507",
        "Moves away from what a weaker version of the network makes of the same text; the model must bring one.",
        source="network",
    ),
    "classifier": Guide(
        classifier, "Classifier", "Dhariwal & Nichol 2021, arXiv 2105.05233",
        "A classifier of noisy pictures pulls towards the prompt; the network itself never sees the text.",
        off_at=0.0, source="classifier",
    ),
}  # fmt: skip


def _dot(a: Image, b: Image) -> Tensor:
    """The inner product of each pair of pictures, to broadcast against them."""
    return (a * b).sum((1, 2, 3), keepdim=True)


def _length(x: Image) -> Tensor:
    return _dot(x, x).sqrt()


def _coarse(x: Image) -> Image:
    """What is left of a picture that is halved and enlarged again, blurred before and after (Burt & Adelson 1983)."""
    half = F.interpolate(_blur(x), scale_factor=0.5, mode="bilinear", align_corners=False)
    return _blur(F.interpolate(half, x.shape[-2:], mode="bilinear", align_corners=False))


def _blur(x: Image) -> Image:
    row = x.new_tensor([1, 4, 6, 4, 1]) / 16
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=x.shape[1])


def is_option(parameter: inspect.Parameter) -> bool:
    """Whether a parameter of a rule is an option that a user may set: keyword-only, with a number as default."""
    return parameter.kind is parameter.KEYWORD_ONLY and type(parameter.default) in (int, float)


def w_from_ho(w_prime: float) -> float:
    """Ho & Salimans write ``(1 + w') eps(z, c) - w' eps(z)``: their w' = 0 is off, ours is w = 1 + w'."""
    return 1.0 + w_prime


def is_off(w: float) -> bool:
    """Whether a weight is off where off is 1 (Guide.off_at)."""
    return math.isclose(w, 1.0, abs_tol=1e-9)
