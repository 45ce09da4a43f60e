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
    TRAINED,
    escaped,
    hyper_parameters,
    unknown,
)
from .request import Request, check_convention, later_stages, request, weight, with_stage
from .stage import DEFAULTS, STAGE_FIELDS, StageConfig, vary, with_preset, with_rule
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
    "SIDE_BY_SIDE",
    "STAGE_FIELDS",
    "TRAINED",
    "Plan",
    "Request",
    "StageConfig",
    "UserError",
    "check_convention",
    "escaped",
    "from_json",
    "hyper_parameters",
    "later_stages",
    "request",
    "to_json",
    "unknown",
    "vary",
    "weight",
    "with_preset",
    "with_rule",
    "with_stage",
]
