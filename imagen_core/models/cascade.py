"""What a model is: its stages, their text encoder, and what its authors ask to be done to finished pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.augmentation import aug_sigma, aug_snr
from ..networks.classifier import Classifier
from ..networks.text import TextEncoder
from ..settings import DEFAULTS, StageConfig, base_of
from ..types import Image, Network, StageSpec, UserError
from ..worlds.world import World

# The dtypes that a model may compute in; float16 is for large ones only.
DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Loading:
    """How a model is loaded. This project's cascades are small and take the dtype alone.

    ``dtype`` "auto" is float16 on a GPU and float32 elsewhere, and for this project's cascades always float32.
    ``device`` "auto" spreads a network over GPUs, memory
    and disk; any other value is a torch device that must hold it. ``eight_bit`` loads the text encoder in 8 bits.
    ``safety`` switches the authors' safety checker and watermark on.

    Raises:
        UserError: an unknown dtype or device.
    """

    dtype: str = "auto"
    device: str = "auto"
    eight_bit: bool = False
    safety: bool = True

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"dtype: must be one of {', '.join(DTYPES)}, got {self.dtype!r:.60}")
        try:
            known = self.device == "auto" or torch.device(self.device).type in {"cpu", "cuda", "mps"}
        except RuntimeError:
            known = False
        if not known:
            raise UserError(f"device: must be auto, cpu, cuda, cuda:N or mps, got {self.device!r:.60}")


@dataclass(frozen=True)
class Finished:
    """Pictures for people (``image``) and for the next stage (``unmarked``), both black where ``withheld``."""

    image: Image
    unmarked: Image
    withheld: tuple[bool, ...]


Finish = Callable[[Image], Finished]


@dataclass(frozen=True)
class Stage:
    """A trained stage: its description, its network and the facts of its training.

    ``encode`` is the stage's own text encoder; None for the cascade's. ``weaker`` is a weaker version of the network,
    for autoguidance; most stages have none. ``decode`` turns a latent stage's latents into
    pictures. ``finish`` does to pictures what the model's authors ask for before anybody sees them.
    """

    spec: StageSpec
    network: Network
    training: dict[str, Any]
    encode: TextEncoder | None = None
    decode: Callable[[Tensor], Image] | None = None
    finish: Finish | None = None
    weaker: Network | None = None

    def aug_sigma(self, aug_level: float) -> float:
        """Standard deviation of the noise that ``aug_level`` adds to this stage's low-resolution image."""
        return aug_sigma(aug_level, self.spec.augmentation)

    def aug_snr(self, aug_level: float) -> float:
        """Signal-to-noise ratio of this stage's augmented low-resolution image; infinite without noise."""
        return aug_snr(aug_level, self.spec.augmentation)


@dataclass(frozen=True)
class Cascade:
    """Stages in order of size, and the text encoder they were trained with. ``digest`` names the weights.

    ``classifier`` reads noisy pictures of the base's size, for classifier guidance; most cascades have none. ``folder``
    is where a cascade of this project was read from. ``world`` says which words its training captions used; None where
    that is not known. ``guard`` says in one sentence what is done to pictures before anybody sees them; empty for
    nothing. ``defaults`` are the settings that suit the model, by size. ``dtype`` is what the networks compute in; what
    goes in and comes out is float32.
    """

    name: str
    stages: tuple[Stage, ...]
    encode: TextEncoder
    digest: str
    classifier: Classifier | None = None
    folder: Path | None = None
    world: World | None = None
    guard: str = ""
    defaults: Mapping[int, StageConfig] = field(default_factory=lambda: DEFAULTS, repr=False)
    dtype: torch.dtype = torch.float32

    @property
    def base(self) -> StageConfig:
        """The settings that suit the cascade's base, whether it is trained yet or not."""
        return base_of(self.defaults)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the stages' pictures in pixels, the smallest first."""
        return tuple(stage.spec.size for stage in self.stages)

    def stage(self, size: int) -> Stage:
        """The stage that makes pictures of this size; KeyError if there is none."""
        return {stage.spec.size: stage for stage in self.stages}[size]
