"""Settings: everything a run is asked to do, its ranges and defaults, and its forms as text."""

from ..diffusion.thresholding import PRESETS
from ..types import UserError
from .plan import Plan
from .ranges import (
    CHOICES,
    CONVENTIONS,
    DEFAULT_SIZES,
    FORMAT,
    KEPT_OPTIONS,
    MAX_PROMPT,
    PURE_NOISE,
    RANGES,
    RULES,
    SIDE_BY_SIDE,
    SIDES,
    TRAINED,
    check_number,
    check_sizes,
    escaped,
    hyper_parameters,
    unknown,
    usual,
)
from .request import Request, check_convention, later_stages, placed, request, weight, with_stage
from .stage import DEFAULTS, STAGE_FIELDS, StageConfig, defaults_at, in_full, vary, with_preset, with_rule
from .text import from_json, to_json

__all__ = [
    "CHOICES",
    "CONVENTIONS",
    "DEFAULTS",
    "DEFAULT_SIZES",
    "FORMAT",
    "KEPT_OPTIONS",
    "MAX_PROMPT",
    "PRESETS",
    "PURE_NOISE",
    "RANGES",
    "RULES",
    "SIDES",
    "SIDE_BY_SIDE",
    "STAGE_FIELDS",
    "TRAINED",
    "Plan",
    "Request",
    "StageConfig",
    "UserError",
    "check_convention",
    "check_number",
    "check_sizes",
    "defaults_at",
    "escaped",
    "from_json",
    "hyper_parameters",
    "in_full",
    "later_stages",
    "placed",
    "request",
    "to_json",
    "unknown",
    "usual",
    "vary",
    "weight",
    "with_preset",
    "with_rule",
    "with_stage",
]
