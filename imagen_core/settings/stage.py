"""How one stage samples, in one frozen value that is valid once it exists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from ..diffusion.guidance import GUIDANCE
from ..diffusion.samplers import SAMPLERS
from ..diffusion.schedules import SPACINGS, check_times
from ..diffusion.thresholding import PRESETS, THRESHOLDS
from ..types import UserError
from .ranges import (
    CHOICES,
    DEFAULT_SIZES,
    KEPT_OPTIONS,
    PURE_NOISE,
    RULES,
    TRAINED,
    are_shipped_sizes,
    check_choice,
    check_number,
    check_size,
    escaped,
    hyper_parameters,
)


@dataclass(frozen=True)
class StageConfig:
    """How one stage samples. ``guidance`` is the paper's w (1 is off); ``aug_level`` is None for the base alone.

    ``times`` gives the t of each step, falling within (0, 1]; if empty, ``steps`` and ``spacing`` decide it.
    ``options`` holds the options of the chosen rules, such as ``{"gamma": 0.5}``; options at their default are
    left out.

    Raises:
        UserError: a value is out of range, or two settings exclude each other; the message names the setting.
    """

    size: int
    steps: int
    guidance: float
    sampler: str = "dpmpp_2m"
    spacing: str = "trailing"
    schedule: str = TRAINED
    times: tuple[float, ...] = ()
    guidance_rule: str = "cfg"
    w_schedule: str = "constant"
    threshold: str = "dynamic"
    aug_level: float | None = None
    options: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_size(self.size)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_number("steps", self.steps, whole=True)
        check_number("guidance", self.guidance)
        self._check_times()
        self._check_guidance()
        if self.aug_level is not None:
            check_number("aug_level", self.aug_level)
        allowed = self.allowed_options()
        for name, value in self.options.items():
            if name not in allowed:
                raise UserError(
                    f"{escaped(name)}: not an option of {self._rules()}; it has {', '.join(allowed) or 'no options'}"
                )
            # A cap's default, infinity, is outside its range.
            if not value == allowed[name] == math.inf:
                check_number(name, value)
        # Options at their default are dropped, so JSON never holds infinity.
        object.__setattr__(self, "options", {name: v for name, v in self.options.items() if v != allowed[name]})
        chosen = {**allowed, **self.options}
        if chosen.get("low", 0) > chosen.get("high", 0):
            raise UserError(f"low: must not be above high, got {chosen['low']} and {chosen['high']}")

    def _check_times(self) -> None:
        # JSON has lists, not tuples.
        object.__setattr__(self, "times", tuple(self.times) if isinstance(self.times, list) else self.times)
        if not isinstance(self.times, tuple) or any(type(t) not in (int, float) for t in self.times):
            raise UserError("times: must be a list of numbers that fall from at most 1, and stay above 0")
        if self.times:
            # Whether a schedule can tell them apart is for Plan: here the trained one is not known.
            check_times(self.times)
        if self.times and len(self.times) != self.steps:
            raise UserError(f"times: has {len(self.times)} entries for {self.steps} steps")

    def _check_guidance(self) -> None:
        guide, renoises = GUIDANCE[self.guidance_rule], SAMPLERS[self.sampler].renoises
        if guide.renoises_from == "uncond" and not (self.guidance <= 1 and renoises):
            samplers = " or ".join(sorted(name for name, sampler in SAMPLERS.items() if sampler.renoises))
            raise UserError(
                f"guidance_rule: {self.guidance_rule} takes a guidance between 0 and 1 and the sampler {samplers}, "
                f"got {self.guidance:g} and {self.sampler}"
            )
        # Schedules of w take 1 for "off", which it is not for these rules.
        if guide.off_at != 1 and self.w_schedule != "constant":
            raise UserError(f"w_schedule: {self.guidance_rule} takes a constant one")
        if guide.source == "classifier" and not (self.is_base and self.size == DEFAULT_SIZES[0]):
            raise UserError(f"guidance_rule: {self.guidance_rule} is for the base stage; its classifier reads 64 × 64")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Settings that are allowed but probably a mistake, one line each."""
        lines = []
        if self.allowed_options().get("cap") is not None and self.options.get("cap") == 1:
            lines.append(f"cap: at 1, {self.threshold} can divide by nothing and is the same as static")
        # Only "leading" begins below t = 1.
        leading = 1.0 if self.spacing != "leading" else SPACINGS["leading"].fn(self.schedule, self.steps)[0]
        first = self.times[0] if self.times else leading
        if first < PURE_NOISE:
            name = "times" if self.times else "spacing"
            lines.append(
                f"{name}: the first step is taken for t = {first:.2g}, but begins from pure noise all the same"
            )
        return tuple(lines)

    @property
    def is_base(self) -> bool:
        """Whether this is a cascade's first stage, which draws from the text alone."""
        return self.aug_level is None

    @property
    def name(self) -> str:
        """The stage's name, such as base64, sr256 or sr1024."""
        return f"base{self.size}" if self.is_base else f"sr{self.size}"

    def _rules(self) -> str:
        return ", ".join(getattr(self, name) for name in RULES)

    def allowed_options(self) -> dict[str, float]:
        """The options of the chosen sampler and rules, and those that are always kept, with their defaults."""
        chosen = (entries[getattr(self, name)] for name, entries in RULES.items())
        return {**KEPT_OPTIONS, **{name: value for rule in chosen for name, value in hyper_parameters(rule).items()}}

    @property
    def percentile(self) -> float:
        """The percentile of dynamic thresholding, 50 to 100; without effect under rules that take none."""
        return {**self.allowed_options(), **self.options}["percentile"]

    def rule(self, name: str) -> partial[Any]:
        """The function chosen for one of RULES, its options bound."""
        entry = RULES[name][getattr(self, name)]
        own = hyper_parameters(entry)
        chosen = {name: self.options.get(name, own[name]) for name in own if name in {*self.options, *KEPT_OPTIONS}}
        return partial(entry.fn, **chosen)

    def entry(self, name: str) -> Any:
        """The entry chosen for one of RULES, its function's options bound."""
        return replace(RULES[name][getattr(self, name)], fn=self.rule(name))


# Settings of a stage that have a field; all others are options of its rules.
STAGE_FIELDS = tuple(f.name for f in fields(StageConfig) if f.name not in {"size", "options"})


# The defaults of every stage. The paper used w = 5 for its threshold figure (Fig. A.10), at every step. Here guidance
# ends early: outlines are smoother so, and dynamic keeps its colours at large weights (docs/LOG.md).
DEFAULTS: dict[int, StageConfig] = {
    64: StageConfig(64, steps=25, guidance=5.0, w_schedule="early"),
    256: StageConfig(256, steps=8, guidance=1.0, aug_level=0.1, spacing="late"),
    1024: StageConfig(1024, steps=6, guidance=1.0, aug_level=0.1, spacing="late"),
}


def defaults_at(sizes: Sequence[int]) -> dict[int, StageConfig]:
    """DEFAULTS at a cascade's own sizes: the base's for the smallest, then those of both super-resolution stages."""
    return {size: replace(stage, size=size) for size, stage in zip(sizes, DEFAULTS.values())}


def in_full(defaults: Mapping[int, StageConfig] | None) -> dict[int, StageConfig]:
    """A model's defaults, the smallest size first; one of the shipped sizes gets DEFAULTS for what it lacks."""
    own = dict(sorted((defaults or {}).items()))
    return {**DEFAULTS, **own} if are_shipped_sizes(tuple(own)) else own


def base_of(defaults: Mapping[int, StageConfig] | None) -> StageConfig:
    """A model's defaults for its base, whether that is trained yet or not."""
    return next(iter(in_full(defaults).values()))


def with_preset(stage: StageConfig, preset: str) -> StageConfig:
    """The stage with a threshold of thresholding.PRESETS.

    Raises:
        UserError: there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    threshold, options = PRESETS[preset]
    replaced = hyper_parameters(THRESHOLDS[stage.threshold])
    kept = {name: value for name, value in stage.options.items() if name not in replaced}
    return replace(stage, threshold=threshold, options={**kept, **options})


def with_rule(stage: StageConfig, **changes: Any) -> StageConfig:
    """As :func:`vary`, but ``options`` replace all of the stage's options except KEPT_OPTIONS."""
    kept = {name: value for name, value in stage.options.items() if name in KEPT_OPTIONS}
    options = {**kept, **changes.pop("options")} if "options" in changes else stage.options
    return _varied(stage, changes, options)


def vary(stage: StageConfig, changes: Mapping[str, Any]) -> StageConfig:
    """The stage with settings and options changed by name; its other options are dropped where no rule takes them.

    Raises:
        UserError: a value is out of range, or an option in ``changes`` is not one of the rules that then hold.
    """
    return _varied(stage, changes, stage.options)


def schedule_taken(changes: Mapping[str, Any]) -> dict[str, str]:
    """Constant w where the changes choose a guidance rule that takes no other; a given schedule is still refused."""
    rule = changes.get("guidance_rule")
    constant = isinstance(rule, str) and rule in GUIDANCE and GUIDANCE[rule].off_at != 1
    return {"w_schedule": "constant"} if constant else {}


def _varied(stage: StageConfig, changes: Mapping[str, Any], before: Mapping[str, float]) -> StageConfig:
    """The stage changed; of the options ``before``, those that the rules now take."""
    changes = {**schedule_taken(changes), **changes}
    plain = replace(stage, **{name: value for name, value in changes.items() if name in STAGE_FIELDS}, options={})
    taken = plain.allowed_options()
    kept = {name: value for name, value in before.items() if name in taken}
    given = {name: value for name, value in changes.items() if name not in STAGE_FIELDS}
    return replace(plain, options={**kept, **given})
