"""Everything a run is asked to do, in one frozen, versioned value: page, CLI, PNG and trace all carry this.

A Request is valid once it exists: bad values are refused when it is made, with one line that names the field
and what is allowed. Whether a cascade offers a size is checked by cascade.generate.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

from .guidance import BY_CLASSIFIER, GUIDANCE, RENOISE_UNCOND, w_from_ho
from .samplers import RENOISERS, SAMPLERS
from .schedules import SCHEDULES, SPACINGS, levels_at
from .thresholding import PRESETS, THRESHOLDS
from .types import UserError
from .w_schedules import W_SCHEDULES

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
    "cap": (1.0, 1000.0),
    "knee": (0.0, 0.99),
    "low": (-20.0, 20.0),
    "high": (-20.0, 20.0),
    "hold": (0.0, 1.0),
    "rest": (0.0, 30.0),
}
# Functions by name, whose keyword arguments are hyper-parameters that a user may set.
RULES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "sampler": SAMPLERS,
    "guidance_rule": GUIDANCE,
    "w_schedule": W_SCHEDULES,
    "threshold": THRESHOLDS,
}
# The schedule that a stage was trained with; its network takes the levels of any other as well.
TRAINED = "trained"
# From here up a step may begin from pure noise without harm.
PURE_NOISE = 0.95
# What may be chosen by name, on the page and on the command line.
CHOICES: dict[str, tuple[str, ...]] = {
    "sampler": tuple(SAMPLERS),
    "spacing": tuple(SPACINGS),
    "schedule": (TRAINED, *SCHEDULES),
    "guidance_rule": tuple(GUIDANCE),
    "w_schedule": tuple(W_SCHEDULES),
    "threshold": tuple(THRESHOLDS),
}
# The rules of the paper, which page and CLI set side by side.
SIDE_BY_SIDE = ("none", "static", "dynamic")
# How the number on the guidance slider is read, as the paper's w or as Ho & Salimans' w' = w - 1: what its 0 is in w.
CONVENTIONS: dict[str, float] = {"paper": 0.0, "ho": w_from_ho(0.0)}
# Rules whose weight is off at 0 in every paper, so that there is nothing to convert.
OFF_AT_0 = RENOISE_UNCOND | BY_CLASSIFIER
# Hyper-parameters that have a field of their own, by their name in the rule's signature.
OWN_FIELD = {"w": "guidance", "percentile": "percentile"}
# Passed by the machinery, not by the user.
_MACHINERY = {"memory"}


def _check_size(size: Any) -> None:
    # 64.0 equals 64 and would be found in the tuple, but no picture has 64.0 pixels.
    if type(size) is not int or size not in DEFAULT_SIZES:
        raise UserError(f"size: must be one of {', '.join(map(str, DEFAULT_SIZES))}, got {size!r:.60}")


def _check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{name}: must be one of {', '.join(choices)}, got {value!r:.60}")


def _check_number(name: str, value: Any, *, whole: bool = False, zero: float = 0) -> None:
    """Refuse what is out of RANGES; a number that is counted from ``zero`` is named as it was given."""
    low, high = (end - zero for end in RANGES[name])
    kinds = int if whole else (int, float)
    # bool is an int to Python, not to a user; nan fails every comparison.
    fits = isinstance(value, kinds) and low <= value <= high
    if isinstance(value, bool) or not fits:
        what = "a whole number" if whole else "a number"
        raise UserError(f"{name}: must be {what} between {low} and {high}, got {value!r:.60}")


@dataclass(frozen=True)
class StageConfig:
    """How one stage samples. ``guidance`` is the paper's w (1 is off); ``aug_level`` is None for the base.

    ``times`` gives the t of each step outright, falling within (0, 1]; empty, they follow from ``steps`` and
    ``spacing``. ``options`` holds further hyper-parameters of the chosen rules, such as ``{"gamma": 0.5}``;
    those at their rule's own value are left out.
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
        self._check_times()
        self._check_guidance()
        if self.size == DEFAULT_SIZES[0]:
            if self.aug_level is not None:
                raise UserError("aug_level: the base stage has none; it belongs to the super-resolution stages")
        else:
            _check_number("aug_level", self.aug_level)
        allowed = self.allowed_options()
        for name, value in self.options.items():
            if name not in allowed:
                raise UserError(
                    f"{shown(name)}: not an option of {self._rules()}; it has {', '.join(allowed) or 'no options'}"
                )
            # A cap's own value, which is none, is beyond its range.
            if not value == allowed[name] == math.inf:
                _check_number(name, value)
        # A rule's own value is the same as none; so JSON, which knows no infinity, never sees that of a cap.
        object.__setattr__(self, "options", {name: v for name, v in self.options.items() if v != allowed[name]})
        chosen = {**allowed, **self.options}
        if chosen.get("low", 0) > chosen.get("high", 0):
            raise UserError(f"low: must not be above high, got {chosen['low']} and {chosen['high']}")

    def _check_times(self) -> None:
        # JSON knows lists only.
        object.__setattr__(self, "times", tuple(self.times) if isinstance(self.times, list) else self.times)
        if not isinstance(self.times, tuple) or any(type(t) not in (int, float) for t in self.times):
            raise UserError("times: must be a list of numbers that fall from at most 1, and stay above 0")
        if self.times:
            levels_at(self.schedule if self.schedule != TRAINED else "cosine", self.times)
        if self.times and len(self.times) != self.steps:
            raise UserError(f"times: has {len(self.times)} entries for {self.steps} steps")

    def _check_guidance(self) -> None:
        if self.guidance_rule in RENOISE_UNCOND and not (self.guidance <= 1 and self.sampler in RENOISERS):
            samplers = " or ".join(sorted(RENOISERS))
            raise UserError(
                f"guidance_rule: {self.guidance_rule} takes a guidance between 0 and 1 and the sampler {samplers}, "
                f"got {self.guidance:g} and {self.sampler}"
            )
        # Schedules call 1 off, which it is not for these rules.
        if self.guidance_rule in OFF_AT_0 and self.w_schedule != "constant":
            raise UserError(f"w_schedule: {self.guidance_rule} takes a constant one")
        if self.guidance_rule in BY_CLASSIFIER and self.size != DEFAULT_SIZES[0]:
            raise UserError(f"guidance_rule: {self.guidance_rule} is for the base stage; its classifier reads 64 × 64")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but hardly meant, a line each."""
        found = []
        if self.allowed_options().get("cap") is not None and self.options.get("cap") == 1:
            found.append(f"cap: at 1, {self.threshold} can divide by nothing and is the same as static")
        # No other spacing begins below 1, whatever the schedule.
        leading = 1.0 if self.spacing != "leading" else SPACINGS["leading"](self.schedule, self.steps)[0]
        first = self.times[0] if self.times else leading
        if first < PURE_NOISE:
            name = "times" if self.times else "spacing"
            found.append(
                f"{name}: the first step is taken for t = {first:.2g}, but begins from pure noise all the same"
            )
        return tuple(found)

    @property
    def name(self) -> str:
        """What the stage is called: base64, sr256, sr1024."""
        return f"base{self.size}" if self.size == DEFAULT_SIZES[0] else f"sr{self.size}"

    def _rules(self) -> str:
        return ", ".join(getattr(self, name) for name in RULES)

    def allowed_options(self) -> dict[str, float]:
        """Further hyper-parameters of the chosen sampler and rules, with their defaults."""
        chosen = (functions[getattr(self, name)] for name, functions in RULES.items())
        return {
            name: value for rule in chosen for name, value in hyper_parameters(rule).items() if name not in OWN_FIELD
        }

    def rule(self, name: str) -> partial[Any]:
        """The function chosen for one of RULES with its options bound; w is left to whoever calls a guidance rule."""
        function = RULES[name][getattr(self, name)]
        values = {**self.options, "percentile": self.percentile}
        return partial(function, **{key: values[key] for key in hyper_parameters(function) if key in values})


# Settings of a stage that have a field; all others are options of its rules.
STAGE_FIELDS = tuple(f.name for f in fields(StageConfig) if f.name not in {"size", "options"})


def hyper_parameters(rule: Callable[..., Any]) -> dict[str, float]:
    """Keyword-only parameters of an option's function and their defaults, read from its signature."""
    parameters = inspect.signature(rule).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _MACHINERY}


# The defaults of every stage (the paper used w = 5 for its threshold figure, Fig. A.10).
DEFAULT_SIZES = (64, 256, 1024)
DEFAULTS: dict[int, StageConfig] = {
    64: StageConfig(64, steps=25, guidance=5.0),
    256: StageConfig(256, steps=8, guidance=1.0, aug_level=0.1, spacing="late"),
    1024: StageConfig(1024, steps=6, guidance=1.0, aug_level=0.1, spacing="late"),
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
        """One a picture; past the largest they begin at 0 again."""
        return tuple((self.seed + i) % (int(RANGES["seed"][1]) + 1) for i in range(self.count))


def with_preset(stage: StageConfig, preset: str) -> StageConfig:
    """The stage with the threshold that others use, by its name in thresholding.PRESETS.

    Raises:
        UserError: there is no such preset.
    """
    _check_choice("preset", preset, PRESETS)
    threshold, options = PRESETS[preset]
    own: dict[str, Any] = {name: value for name, value in options.items() if name in OWN_FIELD}
    replaced = hyper_parameters(THRESHOLDS[stage.threshold])
    kept = {name: value for name, value in stage.options.items() if name not in replaced}
    rest = {name: value for name, value in options.items() if name not in OWN_FIELD}
    return replace(stage, threshold=threshold, **own, options={**kept, **rest})


def with_rule(stage: StageConfig, **changes: Any) -> StageConfig:
    """The stage with some settings replaced; options that its rules then no longer take are dropped."""
    options = changes.pop("options", stage.options)
    plain = replace(stage, **changes, options={})
    taken = plain.allowed_options()
    return replace(plain, options={name: value for name, value in options.items() if name in taken})


def vary(stage: StageConfig, changes: Mapping[str, Any]) -> StageConfig:
    """The stage with settings, and options of its rules, changed by name; options that no longer apply are dropped.

    Raises:
        UserError: a value is out of range, or an option in ``changes`` is not one of the rules that then hold.
    """
    made = with_rule(stage, **{name: value for name, value in changes.items() if name in STAGE_FIELDS})
    options = {name: value for name, value in changes.items() if name not in STAGE_FIELDS}
    return replace(made, options={**made.options, **options})


def request(
    prompt: str,
    *,
    size: int = 64,
    seed: int = 0,
    count: int = 1,
    convention: str = "paper",
    aug_level: float | None = None,
    defaults: Mapping[int, StageConfig] | None = None,
    **base: Any,
) -> Request:
    """A request up to ``size`` at default settings: a model's own (Cascade.defaults), or those of the shipped one.

    ``base`` replaces settings of the 64 × 64 stage, its ``guidance`` read by ``convention``; ``aug_level`` replaces
    that of every later stage, and is checked even where the request has none.

    Raises:
        UserError: a value is of the wrong kind or out of range.
    """
    plain = (defaults or DEFAULTS)[64]
    rule = base.get("guidance_rule", plain.guidance_rule)
    check_convention(convention, rule)
    if "guidance" in base:
        base["guidance"] = weight(base["guidance"], convention, rule)
    if base.get("times"):
        base.setdefault("steps", len(base["times"]))
    # Options of the defaults go with their rule; those that are given must fit.
    first = (replace if "options" in base else with_rule)(plain, **base)
    return Request(prompt, seed, count, (first, *later_stages(size, aug_level, defaults=defaults)))


def later_stages(
    size: int,
    aug_level: float | None = None,
    *,
    instead: tuple[StageConfig, ...] = (),
    defaults: Mapping[int, StageConfig] | None = None,
) -> tuple[StageConfig, ...]:
    """The super-resolution stages up to ``size``, those of ``instead`` where it has them, at ``aug_level`` if given.

    ``aug_level`` is checked even where there is no stage to take it; UserError for it or for ``size``.
    """
    _check_size(size)
    known = {**DEFAULTS, **(defaults or {}), **{stage.size: stage for stage in instead}}
    stages = [known[s] for s in DEFAULT_SIZES[1:]]
    if aug_level is not None:
        stages = [replace(stage, aug_level=aug_level) for stage in stages]
    return tuple(stage for stage in stages if stage.size <= size)


def check_convention(convention: str, rule: str) -> None:
    """Refuse a convention that is not one, or not for this guidance rule, whatever the weight."""
    _check_choice("convention", convention, CONVENTIONS)
    _check_choice("guidance_rule", rule, GUIDANCE)
    if convention != "paper" and rule in OFF_AT_0:
        raise UserError(f"convention: the weight of {rule} is off at 0 as it is; leave it at paper")


def weight(number: Any, convention: str, rule: str) -> float:
    """A guidance rule's weight in the paper's form, from one in a convention of CONVENTIONS.

    Raises:
        UserError: out of range, or another convention for a rule whose weight is of neither form.
    """
    check_convention(convention, rule)
    _check_number("guidance", number, zero=CONVENTIONS[convention])
    return float(number + CONVENTIONS[convention])


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


def unknown(key: Any) -> str:
    """The warning about a setting that there is none of; its name may hold anything, and is shown in plain signs."""
    return f"{shown(key)}: unknown setting, ignored"


def shown(name: Any) -> str:
    """A name that anybody may have made up, cut short, its line breaks, halves and invisible signs escaped."""
    return repr(str(name)[:40])[1:-1]


def _make(kind: type, data: Any, warnings: list[str]) -> Any:
    """Build a settings dataclass from untrusted data; unknown keys are dropped with a warning."""
    if not isinstance(data, dict):
        raise UserError(f"settings: expected an object, got {type(data).__name__}")
    known = {f.name for f in fields(kind)}
    warnings += [unknown(key) for key in data if key not in known]
    if not isinstance(data.get("options", {}), dict):
        raise UserError("options: must be an object of numbers")
    try:
        return kind(**{key: value for key, value in data.items() if key in known})
    except TypeError as error:
        raise UserError(f"settings: a required setting of {kind.__name__} is missing") from error
