"""Everything a run is asked to do, in one frozen, versioned value: page, CLI, PNG and trace all carry this.

A Request is valid once it exists: bad values are refused when it is made, with one line that names the field
and what is allowed. Whether a cascade offers a size is checked by cascade.generate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..diffusion.guidance import GUIDANCE
from ..types import UserError
from .ranges import CONVENTIONS, DEFAULT_SIZES, MAX_PROMPT, RANGES, check_choice, check_number, check_size
from .stage import DEFAULTS, StageConfig, vary


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
        check_number("seed", self.seed, whole=True)
        check_number("count", self.count, whole=True)
        sizes = tuple(stage.size for stage in self.stages)
        if not sizes or sizes != DEFAULT_SIZES[: len(sizes)]:
            raise UserError(f"stages: must be 64, then 256, then 1024, without gaps, got {sizes}")

    @property
    def seeds(self) -> tuple[int, ...]:
        """One a picture; past the largest they begin at 0 again."""
        return tuple((self.seed + i) % (int(RANGES["seed"][1]) + 1) for i in range(self.count))


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
    options = base.pop("options", {})
    first = vary(plain, {**base, **options})
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
    check_size(size)
    known = {**DEFAULTS, **(defaults or {}), **{stage.size: stage for stage in instead}}
    stages = [known[s] for s in DEFAULT_SIZES[1:]]
    if aug_level is not None:
        stages = [replace(stage, aug_level=aug_level) for stage in stages]
    return tuple(stage for stage in stages if stage.size <= size)


def check_convention(convention: str, rule: str) -> None:
    """Refuse a convention that is not one, or not for this guidance rule, whatever the weight."""
    check_choice("convention", convention, CONVENTIONS)
    check_choice("guidance_rule", rule, GUIDANCE)
    if convention != "paper" and GUIDANCE[rule].off_at != 1:
        raise UserError(f"convention: the weight of {rule} is off at 0 as it is; leave it at paper")


def weight(number: Any, convention: str, rule: str) -> float:
    """A guidance rule's weight in the paper's form, from one in a convention of CONVENTIONS.

    Raises:
        UserError: out of range, or another convention for a rule whose weight is of neither form.
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
