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

from torch import Tensor

from ..types import Image, Level, TextEmbedding


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
    that the unconditional one is not needed; None if there is no such weight. ``source`` of the conditional estimate is
    "text" or "classifier". A step re-noises from the estimate that ``renoises_from`` names, "guided" or "uncond".
    ``further`` counts the network rows that the rule's own estimates take, for one picture and evaluation.
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
    share = (d * cond).sum((1, 2, 3), keepdim=True) / cond.square().sum((1, 2, 3), keepdim=True).clamp_min(1e-8)
    return cond + (w - 1) * (d + (parallel - 1) * share * cond), memory


def cfgpp(cond: Image, uncond: Image, *, w: float) -> tuple[Image, None]:
    """CFG++: ``uncond + w (cond - uncond)`` with w in [0, 1], their lambda (Chung et al. 2024, arXiv 2406.08070).

    The step then re-noises from the *unconditional* estimate (Denoised.x0_renoise), which keeps z on its manifold.
    """
    return cfg(cond, uncond, w=w)


def classifier(cond: Image, uncond: Image, *, w: float) -> tuple[Image, None]:
    """Classifier guidance (Dhariwal & Nichol 2021, arXiv 2105.05233, sec. 4): :func:`cfg`'s mix, from another source.

    ``cond`` is Bayes' estimate from a classifier's gradient (denoiser.build_denoiser), so w is their gradient scale:
    w = 0 is off and w = 1 is Bayes' rule. The network never sees the text.
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
    "classifier": Guide(
        classifier, "Classifier", "Dhariwal & Nichol 2021, arXiv 2105.05233",
        "A classifier of noisy pictures pulls towards the prompt; the network itself never sees the text.",
        off_at=0.0, source="classifier",
    ),
}  # fmt: skip


def is_option(parameter: inspect.Parameter) -> bool:
    """Whether a parameter of a rule is an option that a user may set: keyword-only, with a number as default."""
    return parameter.kind is parameter.KEYWORD_ONLY and type(parameter.default) in (int, float)


def w_from_ho(w_prime: float) -> float:
    """Ho & Salimans write ``(1 + w') eps(z, c) - w' eps(z)``: their w' = 0 is off, ours is w = 1 + w'."""
    return 1.0 + w_prime


def is_off(w: float) -> bool:
    """Whether a weight is off where off is 1 (Guide.off_at)."""
    return math.isclose(w, 1.0, abs_tol=1e-9)
