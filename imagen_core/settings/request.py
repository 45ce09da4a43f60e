"""All settings of a run in one frozen value, which page, command line, PNG and trace carry.

A Request that exists is valid: it refuses bad values with one line that names the field and the allowed range.
`run.generate.check` refuses a size that the cascade lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..diffusion.guidance import GUIDANCE
from ..types import UserError
from .ranges import CONVENTIONS, MAX_PROMPT, RANGES, check_choice, check_number, check_sizes
from .stage import DEFAULTS, STAGE_FIELDS, StageConfig, base_of, in_full, vary


@dataclass(frozen=True)
class Request:
    """One run: ``count`` pictures of a prompt, picture i from seed + i, through ``stages`` in order of size."""

    prompt: str
    seed: int = 0
    count: int = 1
    stages: tuple[StageConfig, ...] = (DEFAULTS[64],)

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise UserError(f"prompt: write a prompt first (1 to {MAX_PROMPT} characters)")
        if len(self.prompt) > MAX_PROMPT:
            raise UserError(f"prompt: must have between 1 and {MAX_PROMPT} characters, got {len(self.prompt)}")
        if any(0xD800 <= ord(c) <= 0xDFFF for c in self.prompt):
            raise UserError("prompt: holds half of a surrogate pair; retype that character")
        check_number("seed", self.seed, whole=True)
        check_number("count", self.count, whole=True)
        check_sizes("stages", self.sizes)
        base, *later = self.stages
        if not base.is_base:
            raise UserError("aug_level: the base stage has none; it belongs to the super-resolution stages")
        for stage in later:
            check_number("aug_level", stage.aug_level)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the stages' pictures in pixels, the smallest first."""
        return tuple(stage.size for stage in self.stages)

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed a picture; after the largest they start at 0 again."""
        return tuple((self.seed + i) % (int(RANGES["seed"][1]) + 1) for i in range(self.count))

    def alone(self, index: int) -> Request:
        """The run of its picture ``index`` (from 0) by itself, which is the same picture."""
        return replace(self, seed=self.seeds[index], count=1)


def request(
    prompt: str,
    *,
    size: int | None = None,
    seed: int = 0,
    count: int = 1,
    convention: str = "paper",
    aug_level: float | None = None,
    defaults: Mapping[int, StageConfig] | None = None,
    **base: Any,
) -> Request:
    """A request up to ``size`` with the settings of ``defaults`` (Cascade.defaults), or those of the shipped model.

    Without ``size`` it has the base alone. ``base`` replaces settings and options of that stage; its ``guidance`` is
    read by ``convention``. ``aug_level`` replaces that of every later stage, and is checked even if there is none.

    Raises:
        UserError: a value is of the wrong kind or out of range.
    """
    plain = base_of(defaults)
    rule = base.get("guidance_rule", plain.guidance_rule)
    check_convention(convention, rule)
    if "guidance" in base:
        base["guidance"] = weight(base["guidance"], convention, rule)
    if base.get("times"):
        base.setdefault("steps", len(base["times"]))
    # Default options are dropped with their rule. Given options must belong to a chosen rule.
    options = base.pop("options", {})
    if not isinstance(options, Mapping) or not options.keys().isdisjoint(STAGE_FIELDS):
        raise UserError("options: must be options of the chosen rules and their values, such as {'gamma': 0.5}")
    first = vary(plain, {**base, **options})
    size = plain.size if size is None else size
    return Request(prompt, seed, count, (first, *later_stages(size, aug_level, defaults=defaults)))


def later_stages(
    size: int,
    aug_level: float | None = None,
    *,
    instead: tuple[StageConfig, ...] = (),
    defaults: Mapping[int, StageConfig] | None = None,
) -> tuple[StageConfig, ...]:
    """The super-resolution stages up to ``size``: those in ``instead``, else those of ``defaults``.

    ``aug_level`` replaces theirs, and is checked even if there is no such stage.

    Raises:
        UserError: ``size`` is none of the model's, or ``aug_level`` is out of range.
    """
    known, given = in_full(defaults), {stage.size: stage for stage in instead}
    # 64.0 equals 64, but a size is a whole number.
    if type(size) is not int or size not in known:
        raise UserError(f"size: must be one of {', '.join(map(str, known))}, got {size!r:.60}")
    _, *stages = (given.get(own, stage) for own, stage in known.items())
    if aug_level is not None:
        stages = [replace(stage, aug_level=aug_level) for stage in stages]
    return tuple(stage for stage in stages if stage.size <= size)


def placed(request: Request, sizes: Sequence[int]) -> Request:
    """The same settings at another cascade's ``sizes``: each stage takes the size in its place, further ones go."""
    return replace(request, stages=tuple(replace(stage, size=size) for stage, size in zip(request.stages, sizes)))


def check_convention(convention: str, rule: str) -> None:
    """Refuse an unknown convention, or one that does not apply to this guidance rule."""
    check_choice("convention", convention, CONVENTIONS)
    check_choice("guidance_rule", rule, GUIDANCE)
    if convention != "paper" and GUIDANCE[rule].off_at != 1:
        raise UserError(f"convention: the weight of {rule} is off at 0 as it is; leave it at paper")


def weight(number: Any, convention: str, rule: str) -> float:
    """The weight of a guidance rule in the paper's form, from a number in one of CONVENTIONS.

    Raises:
        UserError: out of range, or a convention that does not apply to this rule.
    """
    check_convention(convention, rule)
    check_number("guidance", number, zero=CONVENTIONS[convention])
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
