"""What a run does: the numbers of a recipe, their ranges, and the recipes of the shipped weights.

What was tried for them is in docs/LOG.md. The base's run began from the weights before it and from ``--stage layout``;
sr256's two runs, here joined, began from the weights before them. From random weights they need more steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..diffusion.schedules import LOG_SNR_MAX
from ..networks.sizes import SIZES, config_of
from ..networks.text import LAST, MINILM, MIX, TextEncoder
from ..networks.unet import UNetConfig
from ..settings import DEFAULT_SIZES, are_shipped_sizes, check_sizes, defaults_at
from ..types import StageSpec, UserError
from ..worlds.known import FIRST, open_world
from ..worlds.world import SceneWorld
from .data import CROP
from .optimizers import OPTIMIZERS

# The stages by their place in a cascade, at the sizes of the shipped one. Other sizes keep these names in recipes.
STAGES = {
    "base": StageSpec("base64", 64, None, "cosine", "v"),
    "sr256": StageSpec("sr256", 256, 64, "cosine", "v"),
    "sr1024": StageSpec("sr1024", 1024, 256, "linear", "v"),
}

# The range of each number of a recipe.
LIMITS: dict[str, tuple[float, float]] = {
    "steps": (1, 100_000_000),
    "batch": (1, 65_536),
    "small_steps": (0, 100_000_000),
    "lr": (0.0, 1.0),
    "warmup": (0, 100_000_000),
    "decay": (0.0, 1.0),
    "ema": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "clip": (1e-6, 1e6),
    "pictures": (1, 10_000_000),
    "seed": (0, 2**32 - 1),
    "accumulate": (1, 65_536),
    "layer": (MIX, 100),
    "shift": (-LOG_SNR_MAX, LOG_SNR_MAX),
    "crowded": (0.0, 1.0),
    "one_colour": (0.0, 100.0),
}
# How the network is computed. Its weights, their average and the loss are always float32.
PRECISIONS = ("no", "bf16")


@dataclass(frozen=True)
class Recipe:
    """What a run does. Only ``steps`` (it moves the decay) and ``accumulate`` may change when a run is resumed.

    ``shift`` moves the levels of training (:class:`~.objective.Objective`). ``crowded`` above 0 and ``one_colour``
    weigh the pictures of a ``world`` that knows what stands where (:meth:`~..worlds.world.SceneWorld.odds`).
    ``started_from`` is the digest of the weights that a run began from, if any. ``data_digest`` is that of
    prepared pictures; it is empty, and ``world`` a world of this program, where pictures are rendered. ``network`` is
    a size in SIZES. Each process divides its share of a batch into ``accumulate`` parts, for less memory. ``encoder``
    is minilm or a T5's folder or hub name, ``layer`` the number of the hidden layer that is read, or LAST or MIX.
    ``sizes`` are the sides of the whole cascade's pictures, the smallest first, with commas between them. ``size`` is
    the side of the pictures or crops that this stage learns from.

    Raises:
        UserError: a value is out of range, the world cannot weigh its pictures, or the cascade has no such stage.
    """

    stage: str
    steps: int
    batch: int = 32
    size: int = 64
    small_steps: int = 0
    lr: float = 1e-3
    warmup: int = 200
    decay: float = 0.33
    ema: float = 0.998
    weight_decay: float = 0.01
    clip: float = 1.0
    pictures: int = 24_000
    seed: int = 0
    precision: str = "no"
    shift: float = 0.0
    crowded: float = 0.0
    one_colour: float = 1.0
    started_from: str = ""
    world: str = FIRST
    data_digest: str = ""
    network: str = "S"
    optimizer: str = "adamw"
    accumulate: int = 1
    encoder: str = MINILM
    layer: int = LAST
    sizes: str = ",".join(map(str, DEFAULT_SIZES))

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise UserError(f"stage: {self.stage!r} is not one of {', '.join(STAGES)}")
        for name, choices in (("precision", PRECISIONS), ("network", SIZES), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in choices:
                raise UserError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(choices)}")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name}: must be between {low} and {high}, got {value!r:.40}")
        if self.batch % self.accumulate:
            raise UserError(f"batch: must be a multiple of --accumulate {self.accumulate}, got {self.batch}")
        self._check_sizes()
        multiple = _multiple(self.stage, self.network, self.spec) * (2 if self.small_steps else 1)
        most = self.spec.size if self.spec.is_base else min(CROP, self.spec.size)
        if multiple > most:
            raise UserError(
                f"small_steps: must be 0, as half of a side up to {most} is no multiple of {multiple // 2}, "
                f"got {self.small_steps}"
            )
        if self.size % multiple or not multiple <= self.size <= most:
            half = ", whose half the small_steps learn from" if self.small_steps else ""
            raise UserError(
                f"size: must be a multiple of {multiple} between {multiple} and {most}{half}, got {self.size}"
            )
        scenes = not self.data_digest and isinstance(open_world(self.world), SceneWorld)
        if self.crowded and not scenes:
            raise UserError(f"crowded: must be 0 for the world {self.world}, which does not know what stands where")

    def _check_sizes(self) -> None:
        sizes = read_sizes(self.sizes)
        for (stage, plain), side in zip(STAGES.items(), sizes):
            multiple = SIZES[self.network][plain.name].multiple
            if side % multiple:
                raise UserError(
                    f"--sizes: {side} must be a multiple of {multiple}, for {stage} of --network {self.network}"
                )
        for stage in list(STAGES)[1 : len(sizes)]:
            spec = spec_of(stage, sizes)
            multiple = _multiple(stage, self.network, spec)
            if multiple > CROP:
                raise UserError(
                    f"--sizes: {spec.size} from {spec.low_res_size} needs crops of {multiple} for {stage} of --network "
                    f"{self.network}, which must be at most {CROP}; take another size or network"
                )

    @property
    def spec(self) -> StageSpec:
        """The stage that is trained; UserError where the cascade has none in its place."""
        return spec_of(self.stage, read_sizes(self.sizes))

    def config(self, encoder: TextEncoder) -> UNetConfig:
        """The network that is trained, for what this encoder makes."""
        name, factor = STAGES[self.stage].name, factor_of(self.spec)
        return config_of(name, self.network, encoder.state_width, factor, encoder.states)

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, flat, linear decay to zero over the last ``decay`` of the run."""
        rise = (step + 1) / max(1, self.warmup)
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.lr * min(1.0, rise, fall)

    def size_at(self, step: int) -> int:
        """The first ``small_steps`` steps run at half the side, for a quarter of the cost."""
        return self.size // 2 if step < self.small_steps else self.size


def sizes_text(sizes: Sequence[int]) -> str:
    """Sizes as a recipe has them, which :func:`read_sizes` reads."""
    return ",".join(map(str, sizes))


def read_sizes(text: str) -> tuple[int, ...]:
    """The sides of a cascade's pictures, from a text with commas between them.

    Raises:
        UserError: they are none (settings.check_sizes).
    """
    parts = [part.strip() for part in text.split(",")]
    sizes = tuple(int(part) if re.fullmatch("[0-9]{1,4}", part) else part for part in parts)
    check_sizes("--sizes", sizes)
    return tuple(map(int, sizes))


def spec_of(stage: str, sizes: Sequence[int]) -> StageSpec:
    """The stage in the place of one of STAGES, in a cascade of these sizes.

    Raises:
        UserError: the cascade has fewer stages.
    """
    place, plain = list(STAGES).index(stage), STAGES[stage]
    if place >= len(sizes):
        raise UserError(f"--sizes: must be {place + 1} sizes or more for --stage {stage}, got {sizes_text(sizes)}")
    size, before = sizes[place], None if place == 0 else sizes[place - 1]
    return replace(plain, name=defaults_at(sizes)[size].name, size=size, low_res_size=before)


def factor_of(spec: StageSpec) -> int:
    """How many times a stage enlarges its input; a base enlarges nothing, and its network ignores the number."""
    return 4 if spec.low_res_size is None else spec.size // spec.low_res_size


def _multiple(stage: str, network: str, spec: StageSpec) -> int:
    """What the side of a training picture must be a multiple of."""
    needed = SIZES[network][STAGES[stage].name].multiple
    return needed if spec.is_base else math.lcm(needed, factor_of(spec))


def fields_for_sizes(stage: str, sizes: Sequence[int], network: str) -> dict[str, Any]:
    """What the default recipe of a stage takes from a cascade's sizes.

    A base learns from whole pictures, a later stage from crops of 64 pixels, or as near to that as its factor allows.

    Raises:
        UserError: the cascade has no such stage.
    """
    spec = spec_of(stage, sizes)
    if are_shipped_sizes(sizes):
        return {"sizes": sizes_text(sizes)}
    multiple = _multiple(stage, network, spec)
    size = spec.size if spec.is_base else max(multiple, min(64, spec.size) // multiple * multiple)
    whole = {} if size % (2 * multiple) == 0 else {"small_steps": 0}
    return {"sizes": sizes_text(sizes), "size": size, **whole}


# What a recipe.json from before a field existed is taken to say.
BEFORE = {
    "world": FIRST, "data_digest": "", "network": "S", "optimizer": "adamw", "accumulate": 1, "encoder": MINILM,
    "layer": LAST, "sizes": sizes_text(DEFAULT_SIZES),
}  # fmt: skip
# The last run of each stage of the shipped weights, but for its seed: the defaults of ``train``.
RECIPES = {
    "base": Recipe(
        "base",
        steps=1850,
        batch=64,
        size=64,
        lr=1e-3,
        warmup=60,
        decay=0.8,
        ema=0.995,
        pictures=12_000,
        shift=0.5,
        crowded=0.67,
        one_colour=3.0,
        optimizer="muon",
    ),
    "sr256": Recipe("sr256", steps=9300, batch=16, size=64, decay=0.5, ema=0.999, pictures=3000, shift=-5.0),
    "sr1024": Recipe("sr1024", steps=18_000, batch=16, size=64, decay=0.3, ema=0.999, pictures=6000, shift=-6.0),
}
# What a run from random weights on people's own pictures takes instead: the runs above continued trained weights. After
# about so much the first base drew most single things (docs/LOG.md, first weights of the base).
NEW: dict[str, dict[str, Any]] = {
    "base": {"steps": 10_000, "small_steps": 6_000, "warmup": 200, "decay": 0.33, "ema": 0.999},
    "sr256": {},
    "sr1024": {},
}
