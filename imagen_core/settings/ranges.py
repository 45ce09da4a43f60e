"""The allowed values of every setting: ranges of numbers, choices by name, and the checks that refuse all others."""

from __future__ import annotations

import inspect
from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..diffusion.guidance import GUIDANCE, is_option, w_from_ho
from ..diffusion.samplers import SAMPLERS
from ..diffusion.schedules import SCHEDULES, SPACINGS
from ..diffusion.thresholding import PERCENTILE, THRESHOLDS
from ..diffusion.w_schedules import W_SCHEDULES
from ..types import UserError

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
    # Options of rules.
    "gamma": (0.0, 1.0),
    "eta": (0.0, 1.0),
    "phi": (0.0, 1.0),
    "momentum": (-1.0, 1.0),
    "radius": (0.0, 10.0),
    "parallel": (0.0, 1.0),
    "damping": (0.0, 100.0),
    "coarse": (0.0, 1.0),
    "still": (0.0, 1.0),
    "mimic_scale": (1.0, 30.0),
    "top": (50.0, 100.0),
    "cap": (1.0, 1000.0),
    "knee": (0.0, 0.99),
    "low": (-20.0, 20.0),
    "high": (-20.0, 20.0),
    "until": (-20.0, 20.0),
    "hold": (0.0, 1.0),
    "rest": (0.0, 30.0),
}
# Stands for the schedule that a stage was trained with.
TRAINED = "trained"
# A first step at or above this t may start from pure noise.
PURE_NOISE = 0.95


class About(NamedTuple):
    """Title, source and help of a choice without a function."""

    title: str
    paper: str
    help: str


# Settings that are chosen by name; each entry has a title, a paper and one line of help.
CHOICES: dict[str, Mapping[str, Any]] = {
    "sampler": SAMPLERS,
    "spacing": SPACINGS,
    "schedule": ChainMap(
        SCHEDULES, {TRAINED: About("As trained", "", "The schedule that the stage was trained with.")}
    ),
    "guidance_rule": GUIDANCE,
    "w_schedule": W_SCHEDULES,
    "threshold": THRESHOLDS,
}
# Those whose functions have options (hyper_parameters).
RULES = {name: entries for name, entries in CHOICES.items() if name not in ("spacing", "schedule")}
# The paper's threshold rules, which the page and the command line run side by side.
SIDE_BY_SIDE = ("none", "static", "dynamic")
# Offset added to the typed weight to get the paper's w.
CONVENTIONS: dict[str, float] = {"paper": 0.0, "ho": w_from_ho(0.0)}
# The sides of the shipped cascade's pictures, and the limits of any other's: sides, how many times the side before,
# and stages.
DEFAULT_SIZES = (64, 256, 1024)
SIDES, FACTORS, MOST_STAGES = (16, 1024), (2, 8), 3


def check_size(size: Any) -> None:
    low, high = SIDES
    # 64.0 equals 64, but a size is a whole number.
    if type(size) is not int or not low <= size <= high:
        raise UserError(f"size: must be a whole number between {low} and {high}, got {size!r:.60}")


def check_sizes(field: str, sizes: Sequence[Any]) -> None:
    """Refuse sides of a cascade that are no way up: one to three from 16 to 1024, each 2 to 8 times the one before.

    Raises:
        UserError: names the ``field`` and the limits.
    """
    (low, high), (least, most) = SIDES, FACTORS
    fits = 1 <= len(sizes) <= MOST_STAGES and all(type(size) is int and low <= size <= high for size in sizes)
    if not fits or any(b % a or not least <= b // a <= most for a, b in pairwise(sizes)):
        raise UserError(
            f"{field}: must be 1 to {MOST_STAGES} sizes from {low} to {high}, the smallest first, each {least} to "
            f"{most} times the one before, got {', '.join(map(escaped, sizes)) or 'none':.60}"
        )


def are_shipped_sizes(sizes: Sequence[int]) -> bool:
    """Whether a cascade has the shipped one's sizes, or the first of them."""
    return tuple(sizes) == DEFAULT_SIZES[: len(sizes)]


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{name}: must be one of {', '.join(choices)}, got {value!r:.60}")


def check_number(name: str, value: Any, *, whole: bool = False, zero: float = 0) -> None:
    """Refuse a number outside RANGES. Errors quote the number before the offset ``zero`` was added."""
    low, high = (end - zero for end in RANGES[name])
    kinds = int if whole else (int, float)
    # bool is an int to Python, not to a user; nan fails every comparison.
    fits = isinstance(value, kinds) and low <= value <= high
    if isinstance(value, bool) or not fits:
        what = "a whole number" if whole else "a number"
        raise UserError(f"{name}: must be {what} between {low} and {high}, got {value!r:.60}")


def hyper_parameters(rule: Any) -> dict[str, float]:
    """The options of an entry of RULES and their defaults, read from its function's signature."""
    return {p.name: p.default for p in inspect.signature(rule.fn).parameters.values() if is_option(p)}


# Options that a stage keeps under any threshold, with their defaults: runs side by side switch the rule alone.
KEPT_OPTIONS = {"percentile": PERCENTILE}


def unknown(key: Any) -> str:
    """The warning about an unknown setting; its name is untrusted, so it is escaped."""
    return f"{escaped(key)}: unknown setting, ignored"


def escaped(name: Any) -> str:
    """An untrusted name: at most 40 characters, with line breaks, lone surrogates and invisible characters escaped."""
    return repr(str(name)[:40])[1:-1]
