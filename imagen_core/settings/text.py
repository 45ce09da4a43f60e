"""Settings as text: JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from ..types import UserError
from .ranges import DEFAULT_SIZES, FORMAT, unknown
from .request import Request
from .stage import StageConfig


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
    warnings += [unknown(key) for key in data if key not in known]
    if not isinstance(data.get("options", {}), dict):
        raise UserError("options: must be an object of numbers")
    try:
        return kind(**{key: value for key, value in data.items() if key in known})
    except TypeError as error:
        raise UserError(f"settings: a required setting of {kind.__name__} is missing") from error
