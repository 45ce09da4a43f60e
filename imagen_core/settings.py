"""Everything a run is asked to do, in one frozen, versioned value: page, CLI, PNG and trace all carry this.

A Request is valid once it exists: bad values are refused when it is made, with one line that names the field
and what is allowed. Whether a cascade offers a size is checked by cascade.generate.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .augmentation import aug_sigma, aug_snr
from .guidance import GUIDANCE, RENOISE_UNCOND, w_from_ho
from .samplers import RENOISERS, SAMPLERS
from .schedules import SPACINGS
from .thresholding import THRESHOLDS
from .types import UserError

FORMAT = 1
MAX_PROMPT = 500

# Lowest and highest allowed value of every number; sliders and error messages read them here.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "count": (1, 4),
    "steps": (1, 250),
    "guidance": (0.0, 30.0),
    "percentile": (50.0, 100.0),
    "aug_level": (0.0, 1.0),
    # Hyper-parameters of single rules.
    "gamma": (0.0, 1.0),
    "eta": (0.0, 1.0),
    "phi": (0.0, 1.0),
    "momentum": (-1.0, 1.0),
    "radius": (0.0, 10.0),
    "parallel": (0.0, 1.0),
    "cap": (1.0, math.inf),
    "knee": (0.0, 0.99),
    "low": (-20.0, 20.0),
    "high": (-20.0, 20.0),
}
# Options by name; choices on the page and in --help are the keys.
CHOICES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "sampler": SAMPLERS,
    "spacing": SPACINGS,
    "guidance_rule": GUIDANCE,
    "threshold": THRESHOLDS,
}
# The rules of the paper, which page and CLI set side by side.
SIDE_BY_SIDE = ("none", "static", "dynamic")
# How the number on the guidance slider is read: as the paper's w, or as Ho & Salimans' w' = w - 1.
CONVENTIONS: dict[str, Callable[[float], float]] = {"paper": lambda w: w, "ho": w_from_ho}
# Hyper-parameters that have a field of their own, by their name in the rule's signature.
OWN_FIELD = {"w": "guidance", "percentile": "percentile"}
# Passed by the machinery, not by the user.
_MACHINERY = {"level", "memory"}


def _check_size(size: Any) -> None:
    # 64.0 equals 64 and would be found in the tuple, but no picture has 64.0 pixels.
    if type(size) is not int or size not in DEFAULT_SIZES:
        raise UserError(f"size: must be one of {', '.join(map(str, DEFAULT_SIZES))}, got {size!r:.60}")


def _check_choice(name: str, value: Any, choices: Mapping[str, Any]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{name}: must be one of {', '.join(choices)}, got {value!r:.60}")


def _check_number(name: str, value: Any, *, whole: bool = False) -> None:
    low, high = RANGES[name]
    kinds = int if whole else (int, float)
    # bool is an int to Python, not to a user; nan fails both comparisons.
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high or not math.isfinite(value):
        what = "a whole number" if whole else "a number"
        raise UserError(f"{name}: must be {what} between {low} and {high}, got {value!r:.60}")


@dataclass(frozen=True)
class StageConfig:
    """How one stage samples. ``guidance`` is the paper's w (1 is off); ``aug_level`` is None for the base.

    ``options`` holds further hyper-parameters of the chosen sampler and rules, such as ``{"gamma": 0.5}``.
    """

    size: int
    steps: int
    guidance: float
    sampler: str = "dpmpp_2m"
    spacing: str = "uniform"
    guidance_rule: str = "cfg"
    threshold: str = "dynamic"
    percentile: float = 99.5
    aug_level: float | None = None
    options: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_size(self.size)
        for name, choices in CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        _check_number("steps", self.steps, whole=True)
        _check_number("guidance", self.guidance)
        _check_number("percentile", self.percentile)
        if self.guidance_rule in RENOISE_UNCOND and not (self.guidance <= 1 and self.sampler in RENOISERS):
            samplers = " or ".join(sorted(RENOISERS))
            raise UserError(f"guidance_rule: {self.guidance_rule} takes a guidance between 0 and 1, and {samplers}")
        if self.size == DEFAULT_SIZES[0]:
            if self.aug_level is not None:
                raise UserError("aug_level: the base stage has none; it belongs to the super-resolution stages")
        else:
            _check_number("aug_level", self.aug_level)
        allowed = self.allowed_options()
        for name, value in self.options.items():
            if name not in allowed:
                raise UserError(
                    f"{name:.40}: not an option of {self._rules()}; it has {', '.join(allowed) or 'no options'}"
                )
            _check_number(name, value)
        chosen = {**allowed, **self.options}
        if chosen.get("low", 0) > chosen.get("high", 0):
            raise UserError(f"low: must not be above high, got {chosen['low']} and {chosen['high']}")

    @property
    def name(self) -> str:
        """What the stage is called: base64, sr256, sr1024."""
        return f"base{self.size}" if self.size == DEFAULT_SIZES[0] else f"sr{self.size}"

    @property
    def aug_sigma(self) -> float:
        """Standard deviation of the noise that ``aug_level`` puts on the low-resolution image."""
        return aug_sigma(self.aug_level or 0.0)

    @property
    def aug_snr(self) -> float:
        """Signal-to-noise ratio of the augmented low-resolution image, infinite at aug_level 0."""
        return aug_snr(self.aug_level or 0.0)

    def _rules(self) -> str:
        return f"{self.sampler}, {self.guidance_rule} and {self.threshold}"

    def allowed_options(self) -> dict[str, float]:
        """Further hyper-parameters of the chosen sampler and rules, with their defaults."""
        chosen = (SAMPLERS[self.sampler], GUIDANCE[self.guidance_rule], THRESHOLDS[self.threshold])
        return {
            name: value for rule in chosen for name, value in hyper_parameters(rule).items() if name not in OWN_FIELD
        }

    def options_of(self, rule: Callable[..., Any]) -> dict[str, float]:
        """The keyword arguments of one of the chosen functions."""
        values = {**self.options, **{name: getattr(self, own) for name, own in OWN_FIELD.items()}}
        return {name: values[name] for name in hyper_parameters(rule) if name in values}


def hyper_parameters(rule: Callable[..., Any]) -> dict[str, float]:
    """Keyword-only parameters of an option's function and their defaults, read from its signature."""
    parameters = inspect.signature(rule).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _MACHINERY}


# The defaults of every stage (the paper used w = 5 for its threshold figures, App. A.10).
DEFAULT_SIZES = (64, 256, 1024)
DEFAULTS: dict[int, StageConfig] = {
    64: StageConfig(64, steps=25, guidance=5.0),
    256: StageConfig(256, steps=12, guidance=2.0, aug_level=0.1),
    1024: StageConfig(1024, steps=6, guidance=1.0, aug_level=0.1),
}


@dataclass(frozen=True)
class Request:
    """One run: ``count`` pictures of a prompt, picture i from seed + i, through ``stages`` in order of size."""

    prompt: str
    seed: int = 0
    count: int = 1
    stages: tuple[StageConfig, ...] = (DEFAULTS[64],)

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise UserError(f"prompt: must have between 1 and {MAX_PROMPT} characters, got none")
        if len(self.prompt) > MAX_PROMPT:
            raise UserError(f"prompt: must have between 1 and {MAX_PROMPT} characters, got {len(self.prompt)}")
        if any(0xD800 <= ord(c) <= 0xDFFF for c in self.prompt):
            raise UserError("prompt: must be text, but has a character that is only half there")
        _check_number("seed", self.seed, whole=True)
        _check_number("count", self.count, whole=True)
        sizes = tuple(stage.size for stage in self.stages)
        if not sizes or sizes != DEFAULT_SIZES[: len(sizes)]:
            raise UserError(f"stages: must be 64, then 256, then 1024, without gaps, got {sizes}")

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple((self.seed + i) % 2**31 for i in range(self.count))


def with_rule(stage: StageConfig, **changes: Any) -> StageConfig:
    """The stage with some settings replaced; options that its rules then no longer take are dropped."""
    options = changes.pop("options", stage.options)
    plain = replace(stage, **changes, options={})
    taken = plain.allowed_options()
    return replace(plain, options={name: value for name, value in options.items() if name in taken})


def request(
    prompt: str,
    *,
    size: int = 64,
    seed: int = 0,
    count: int = 1,
    convention: str = "paper",
    aug_level: float | None = None,
    **base: Any,
) -> Request:
    """A request up to ``size`` at default settings.

    ``base`` replaces settings of the 64 × 64 stage, its ``guidance`` read by ``convention``; ``aug_level`` replaces
    that of every later stage, and is checked even where the request has none.

    Raises:
        UserError: a value is of the wrong kind or out of range.
    """
    _check_size(size)
    _check_choice("convention", convention, CONVENTIONS)
    if "guidance" in base and convention != "paper":
        _check_number("guidance", base["guidance"])
        base["guidance"] = CONVENTIONS[convention](base["guidance"])
    later = [DEFAULTS[s] for s in DEFAULT_SIZES[1:]]
    if aug_level is not None:
        later = [replace(stage, aug_level=aug_level) for stage in later]
    stages = (replace(DEFAULTS[64], **base), *(stage for stage in later if stage.size <= size))
    return Request(prompt, seed, count, stages)


def with_stage(request: Request, size: int, **changes: Any) -> Request:
    """The same request with some settings of one of its stages replaced.

    Raises:
        UserError: the request has no such stage, or a value is of the wrong kind or out of range.
    """
    if size not in {stage.size for stage in request.stages}:
        raise UserError(f"size: this run has no stage of {size}")
    stages = (replace(stage, **changes) if stage.size == size else stage for stage in request.stages)
    return replace(request, stages=tuple(stages))


def to_json(request: Request) -> str:
    """The request as one line of JSON."""
    return json.dumps({"format": FORMAT, **asdict(request)}, ensure_ascii=False)


def from_json(text: str) -> tuple[Request, tuple[str, ...]]:
    """A request from JSON that anybody may have written, and warnings about what was ignored.

    Raises:
        UserError: not JSON, another format, a value out of range or of the wrong kind.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("settings: not valid JSON") from error
    if not isinstance(data, dict) or type(data.get("format")) is not int or data["format"] != FORMAT:
        raise UserError(f"settings: not a run's settings of format {FORMAT}")
    stages = data.get("stages")
    if not isinstance(stages, list) or not 1 <= len(stages) <= len(DEFAULT_SIZES):
        raise UserError(f"stages: must be a list of 1 to {len(DEFAULT_SIZES)} stages")
    warnings: list[str] = []
    configs = tuple(_make(StageConfig, stage, warnings) for stage in stages)
    rest = {key: value for key, value in data.items() if key not in {"format", "stages"}}
    return _make(Request, {**rest, "stages": configs}, warnings), tuple(warnings)


def _make(kind: type, data: Any, warnings: list[str]) -> Any:
    """Build a settings dataclass from untrusted data; unknown keys are dropped with a warning."""
    if not isinstance(data, dict):
        raise UserError(f"settings: expected an object, got {type(data).__name__}")
    known = {f.name for f in fields(kind)}
    warnings += [f"{str(key)[:40]}: unknown setting, ignored" for key in data if key not in known]
    if not isinstance(data.get("options", {}), dict):
        raise UserError("options: must be an object of numbers")
    try:
        return kind(**{key: value for key, value in data.items() if key in known})
    except TypeError as error:
        raise UserError(f"settings: a required setting of {kind.__name__} is missing") from error
