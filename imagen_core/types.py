"""The values that pass between the packages, and the glossary of their names.

Glossary (the field's names, used everywhere in this repository)
----------------------------------------------------------------
x          a clean image, float32 in [-1, 1], shape ``[b, 3, h, w]``.
t          diffusion time in [0, 1]: 0 is the data, 1 is pure noise.
alpha, sigma
           signal and noise scale of the variance-preserving process,
           ``z = alpha x + sigma eps`` with ``alpha^2 + sigma^2 = 1``.
log_snr    ``log(alpha^2 / sigma^2)``, how the network is told the noise level.
z          the noised image at some level.
eps        the unit Gaussian noise inside z.
v          ``alpha eps - sigma x`` (Salimans & Ho 2022), what the shipped networks predict.
x0_hat     an estimate of x made from z.
w          guidance weight in the paper's form: ``w = 1`` is off (Saharia et al. 2022, eq. 2).
s          the scale that dynamic thresholding divides by; ``s = 1`` only clips, as static does.
aug_level  noise-conditioning augmentation of the low-resolution image, in [0, 1].
low_res    the (augmented) low-resolution image a super-resolution stage is conditioned on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Image = Float[Tensor, "b 3 h w"]


class UserError(ValueError):
    """A user's mistake; the message is one line that names the field and the allowed range."""


def in_words(error: Exception) -> str:
    """One line about a mistake, or about a file that cannot be read or written.

    ``str()`` of an OSError begins with a number that says nothing to people.
    """
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__


@dataclass(frozen=True)
class Choice:
    """A function that a user may choose by name, and what people are told about it.

    Keyword-only parameters of ``fn`` whose default is a number are options that a user may set. ``paper`` is the
    source, empty where the rule is our own; ``help`` is one plain sentence. Guide, Sampler and Threshold start with the
    same four fields and add what the engine must know of their rules.
    """

    fn: Callable[..., Any]
    title: str
    paper: str
    help: str


@dataclass(frozen=True)
class Level:
    """One noise level of the process: time ``t`` in [0, 1] and its ``log_snr`` (may be +inf at t = 0)."""

    t: float
    log_snr: float

    @property
    def alpha(self) -> float:
        """Signal scale, ``sqrt(sigmoid(log_snr))``."""
        return math.sqrt(_sigmoid(self.log_snr))

    @property
    def sigma(self) -> float:
        """Noise scale, ``sqrt(sigmoid(-log_snr))``."""
        return math.sqrt(_sigmoid(-self.log_snr))

    @property
    def clean(self) -> bool:
        """Whether no noise is left: where a run ends."""
        return self.log_snr == math.inf


def _sigmoid(x: float) -> float:
    # The two branches keep exp() from overflowing at either end.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@dataclass(frozen=True)
class TextEmbedding:
    """A frozen language model's output: one vector per token and which tokens are real.

    ``unconditional`` is the text of the unconditional branch for networks trained with another text than the paper's
    zeros: DeepFloyd IF was trained with T5("").
    """

    tokens: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]
    unconditional: TextEmbedding | None = None

    def null(self) -> TextEmbedding:
        """The text of the unconditional branch; by default zeroed embeddings (Saharia et al. 2022, sec. 4.1).

        One token of zeros stays visible, because attention needs at least one.
        """
        if self.unconditional is not None:
            return self.unconditional
        mask = torch.zeros_like(self.mask[:, :1]).logical_not()
        return TextEmbedding(torch.zeros_like(self.tokens[:, :1]), mask)

    def rows(self, numbers: Sequence[int]) -> TextEmbedding:
        """The texts with these numbers, in this order."""
        chosen = torch.tensor(numbers)
        other = None if self.unconditional is None else self.unconditional.rows(numbers)
        return TextEmbedding(self.tokens[chosen], self.mask[chosen], other)


@dataclass(frozen=True)
class Conditioning:
    """What a stage is conditioned on; ``low_res`` is already resized and augmented."""

    text: TextEmbedding
    low_res: Image | None = None
    aug_level: float | None = None


@dataclass(frozen=True)
class Denoised:
    """The result of one evaluation of the guided, thresholded denoiser.

    A step moves towards ``x0_hat`` and re-noises from ``x0_renoise`` (the same tensor except for
    rules such as CFG++). ``x0_raw`` is the guided estimate before thresholding; ``x0_cond`` and
    ``x0_uncond`` are what guidance mixed (``x0_uncond`` is None where it was not evaluated).
    ``s`` is the threshold's scale per image, 1 where the rule has none. ``w`` is the guidance weight. ``gamma`` is
    the learned variance at each pixel, None if it was not learned: 0 is DDPM's small variance, 1 the large one (Nichol
    & Dhariwal 2021, eq. 15).
    """

    x0_hat: Image
    x0_renoise: Image
    x0_raw: Image
    x0_cond: Image
    x0_uncond: Image | None
    s: Float[Tensor, " b"]
    w: float = 1.0
    gamma: Image | None = None


class Denoise(Protocol):
    """A denoiser: the only view of a network that a sampler has."""

    def __call__(self, z: Image, level: Level, *, step: int = 0, ahead: int = 0) -> Denoised:
        """The estimates of x in z [b, 3, h, w], which is at ``level``, guided by the weight of step ``step + ahead``.

        The loop gives ``step``. A sampler that evaluates at the level of the next step passes ``ahead=1``.
        """


@dataclass(frozen=True)
class StepRecord:
    """One step of one stage: from level ``now`` to level ``next``; ``z`` is the input at ``now``."""

    stage: str
    index: int
    now: Level
    next: Level
    z: Image
    out: Denoised


@dataclass(frozen=True)
class StageResult:
    """A finished stage: its pictures in [-1, 1], and the seconds that sampling took.

    ``low_res`` is the resized and noised input of a super-resolution stage, None for the base. ``image`` is for people:
    checked for safety and watermarked if the cascade does so. ``unmarked`` is for the next stage: checked, without the
    watermark; the same tensor for cascades without one. Both are black where ``withheld`` is True, by this stage or an
    earlier one.
    """

    stage: str
    size: int
    image: Image
    low_res: Image | None
    seconds: float
    unmarked: Image
    withheld: tuple[bool, ...]


# What a run yields.
Event = StepRecord | StageResult


class Network(Protocol):
    """What the denoiser needs of a network, ours or an adapted one."""

    def prepare(self, text: TextEmbedding) -> Any:
        """Computes what depends on the text alone, once a stage; every call gets it as ``context``."""

    def __call__(
        self,
        z: Image,
        log_snr: Float[Tensor, " b"],
        context: Any,
        low_res: Image | None = None,
        aug_level: Float[Tensor, " b"] | None = None,
    ) -> Image:
        """The raw prediction in the stage's parameterization (eps, v or x0), float32.

        If the stage learned its variance, as many channels again follow: ``2 gamma - 1``.
        """


@dataclass(frozen=True)
class StageSpec:
    """The facts about a trained stage that sampling needs. ``low_res_size`` is None for the base.

    ``augmentation`` names how the low-resolution image is resized and noised (augmentation.AUGMENTATIONS). A latent
    stage samples ``channels`` maps, ``latent_factor`` times smaller than its pictures. ``most_aug`` is the highest
    aug_level in its training.
    """

    name: str
    size: int
    low_res_size: int | None
    schedule: str
    prediction: str
    learned_variance: bool = False
    augmentation: str = "cosine"
    channels: int = 3
    latent_factor: int = 1
    most_aug: float = 1.0

    @property
    def is_base(self) -> bool:
        """Whether this is a cascade's first stage, which draws from the text alone."""
        return self.low_res_size is None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one z of this stage: (channels, h, w)."""
        side = self.size // self.latent_factor
        return (self.channels, side, side)
