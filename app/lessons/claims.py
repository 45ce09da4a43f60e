"""The expressions in a lesson: a claim such as ``run.static.burnt > 3 * run.dynamic.burnt``, or a number to show.

A small part of Python's grammar, parsed by ``ast`` and walked by hand, so that a file can compute and nothing else.
Names are those that the caller gives. A run has ``w``, ``steps``, ``t`` and its tracks by rule; a track has its
numbers (imagen_core/records/payload.py). A series of numbers stands for the one at the shown step; ``[n]`` is the one
at step n, counted from 1, and ``[last]`` the one at the end.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagen_core.types import UserError

MAX_LENGTH = 200
Value = float | bool


@dataclass(frozen=True)
class Series:
    """A number at every step, of which step ``shown`` (from 1) is on the screen."""

    values: tuple[float, ...]
    shown: int

    def at(self, step: int) -> float:
        """The number at a step.

        Raises:
            UserError: the run has no such step.
        """
        if not 1 <= step <= len(self.values):
            raise UserError(f"step must be between 1 and {len(self.values)}, got {step}")
        return self.values[step - 1]


_UNARY: dict[type, Callable[[Any], Value]] = {ast.USub: operator.neg, ast.Not: operator.not_}
_BINARY: dict[type, Callable[[Any, Any], Value]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
}  # fmt: skip
_OF_SERIES: dict[str, Callable[[tuple[float, ...]], float]] = {"peak": max, "lowest": min}


def percent(value: float) -> str:
    """A share in [0, 1], as the player writes it (static/player/numbers.js)."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return f"{100 * value:.0f} %" if value >= 0.0995 or value == 0 else f"{100 * value:.1f} %"


# How a number is written, by the name after the bar: ``{{ run.none.largest | number }}``.
FORMATS: dict[str, Callable[[float], str]] = {
    "percent": percent,
    "number": "{:.2f}".format,
    "short": "{:g}".format,
    "whole": "{:.0f}".format,
}


def result(text: str, names: Mapping[str, Any]) -> tuple[Value, str | None]:
    """The value of an expression, and the name of its format; a claim is a truth value and has none.

    Raises:
        UserError: not such an expression, an unknown name, or a step that the run lacks.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"an expression has at most {MAX_LENGTH} characters, got {len(text)}")
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"{text!r} is no expression") from None
    shown = None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        shown = node.right.id if isinstance(node.right, ast.Name) else ""
        if shown not in FORMATS:
            raise UserError(f"{text!r}: the format must be one of {', '.join(FORMATS)}")
        node = node.left
    try:
        value = _number(_value(node, names))
    except ZeroDivisionError:
        raise UserError(f"{text!r} divides by zero") from None
    if isinstance(value, bool) is not (shown is None):
        raise UserError(f"{text!r}: a claim must be true or false; a number needs a format, such as | percent")
    return value, shown


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """The value of a node; everything that is not listed here is refused."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name):
            return _named(names, name)
        case ast.Attribute(value=inner, attr=name):
            return _named(_value(inner, names), name)
        case ast.Subscript(value=inner, slice=place):
            return _at(_value(inner, names), place)
        case ast.UnaryOp(op=op, operand=inner) if type(op) in _UNARY:
            return _UNARY[type(op)](_number(_value(inner, names)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_number(_value(left, names)), _number(_value(right, names)))
        case ast.BoolOp(op=op, values=parts):
            truths = [bool(_number(_value(part, names))) for part in parts]
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARE for op in ops):
            values = [_number(_value(part, names)) for part in (left, *others)]
            return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, values, values[1:]))
        case ast.Call(func=ast.Name(id="abs"), args=[inner], keywords=[]):
            return abs(_number(_value(inner, names)))
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in _OF_SERIES:
            series = _value(inner, names)
            if not isinstance(series, Series):
                raise UserError(f"{name} takes numbers over the steps, such as run.none.s")
            return _OF_SERIES[name](series.values)
    raise UserError(f"{ast.unparse(node)!r} is not allowed in an expression")


def _named(holder: Any, name: str) -> Any:
    if not isinstance(holder, Mapping) or name not in holder:
        known = f"; there is {', '.join(holder)}" if isinstance(holder, Mapping) else ""
        raise UserError(f"{name!r} is unknown{known}")
    return holder[name]


def _at(series: Any, place: ast.AST) -> float:
    if not isinstance(series, Series):
        raise UserError("only numbers over the steps have one at a step")
    match place:
        case ast.Name(id="last"):
            return series.at(len(series.values))
        case ast.Constant(value=int() as step) if not isinstance(step, bool):
            return series.at(step)
    raise UserError(f"a step is a whole number from 1, or last, got {ast.unparse(place)!r}")


def _number(value: Any) -> Value:
    if isinstance(value, Series):
        return value.at(value.shown)
    if isinstance(value, bool | int | float):
        return value
    raise UserError("a run or a track is no number; name one of its numbers")
