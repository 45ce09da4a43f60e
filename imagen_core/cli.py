"""The command line's options and verbs. Choices, defaults and ranges come from the engine; see settings.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

from . import settings
from .settings import CHOICES, CONVENTIONS, DEFAULT_SIZES, DEFAULTS, RANGES, Request, StageConfig
from .types import UserError


class Parser(argparse.ArgumentParser):
    """Errors are one line on standard error and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tabletop", help="tabletop or a cascade's folder (default %(default)s)")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that makes a Request. Bare options are the base stage's; --aug-level is every later stage's."""
    base, later = DEFAULTS[64], DEFAULTS[256]
    sizes = ", ".join(map(str, DEFAULT_SIZES))
    parser.add_argument("prompt", help=f"what to draw, 1 to {settings.MAX_PROMPT} characters")
    parser.add_argument("--seed", type=int, default=0, help=f"{_range('seed')} (default %(default)s)")
    parser.add_argument("-n", "--count", type=int, default=1, help=f"pictures, {_range('count')}")
    parser.add_argument("--size", type=int, default=64, help=f"one of {sizes} (default %(default)s)")
    for name, default, what in (
        ("guidance", base.guidance, "weight w of the text, 1 is off"),
        ("percentile", base.percentile, "of dynamic thresholding"),
        ("aug_level", later.aug_level, "noise on what the super-resolution stages are given"),
    ):
        flag, about = "--" + name.replace("_", "-"), f"{what}; {_range(name)} (default %(default)s)"
        parser.add_argument(flag, type=float, default=default, help=about)
    parser.add_argument("--steps", type=int, default=base.steps, help=f"{_range('steps')} (default %(default)s)")
    for name, choices in CHOICES.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, choices=list(choices), default=getattr(base, name), help="default %(default)s")
    parser.add_argument(
        "--guidance-convention",
        choices=CONVENTIONS,
        default="paper",
        help="paper: w eps(c) + (1 - w) eps; ho: (1 + w) eps(c) - w eps (default %(default)s)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.FIELD=VALUE",
        help="any setting of any stage, such as sr256.steps=20 or base64.gamma=0.5; may be repeated",
    )
    add_model_argument(parser)


def _range(name: str) -> str:
    low, high = RANGES[name]
    return f"{low} to {high}"


def request_from(args: argparse.Namespace) -> Request:
    """The request that parsed arguments ask for.

    Raises:
        UserError: a value is out of range, or --set names no stage or field.
    """
    bare = {name: getattr(args, name) for name in (*CHOICES, "percentile", "steps")}
    request = settings.request(
        args.prompt,
        size=args.size,
        seed=args.seed,
        count=args.count,
        guidance=CONVENTIONS[args.guidance_convention](args.guidance),
        **bare,
    )
    # Checked even where no stage uses it: a wrong number is a mistake at any size.
    replace(DEFAULTS[256], aug_level=args.aug_level)
    for size in [stage.size for stage in request.stages[1:]]:
        request = settings.with_stage(request, size, aug_level=args.aug_level)
    for text in args.set:
        request = _set(request, text)
    return request


def _set(request: Request, text: str) -> Request:
    """Apply one STAGE.FIELD=VALUE; a field that is none of StageConfig's is a rule's hyper-parameter."""
    place, equals, value = text.partition("=")
    stage_name, dot, name = place.partition(".")
    names = {_stage_name(stage.size): stage for stage in request.stages}
    if not equals or not dot or stage_name not in names:
        raise UserError(f"--set: must be STAGE.FIELD=VALUE with STAGE one of {', '.join(names)}, got {text!r:.60}")
    stage = names[stage_name]
    name = name.replace("-", "_")
    if name in {field.name for field in fields(StageConfig)} - {"size", "options"}:
        change: dict[str, Any] = {name: value if name in CHOICES else _number(name, value)}
    else:
        change = {"options": {**stage.options, name: _number(name, value)}}
    return settings.with_stage(request, stage.size, **change)


def _stage_name(size: int) -> str:
    return f"base{size}" if size == DEFAULT_SIZES[0] else f"sr{size}"


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError as error:
        raise UserError(f"{name}: must be a number, got {text!r:.60}") from error


def check_output(path: Path, suffix: str, option: str = "--out") -> None:
    """Refuse an output file that could not be written, before any work is done."""
    if path.suffix.lower() != suffix:
        raise UserError(f"{option}: must end in {suffix}, got {path.name!r:.60}")
    if not path.parent.is_dir():
        raise UserError(f"{option}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise UserError(f"{option}: {path} is a folder")


def with_progress(events: Iterable[Any], steps: int) -> Iterator[Any]:
    """Pass events on with a bar on standard error that counts sampling steps."""
    from tqdm import tqdm

    with tqdm(total=steps, unit="step", disable=not sys.stderr.isatty()) as bar:
        for event in events:
            yield event
            bar.update(bar.n < steps and not hasattr(event, "seconds"))


def numbers(text: str, option: str) -> list[float]:
    """A comma-separated list of numbers."""
    return [float(_number(option, part.strip())) for part in text.split(",")]


def with_rule(request: Request, threshold: str, w: float) -> Request:
    """The same request with another threshold and guidance weight on its base."""
    if threshold not in CHOICES["threshold"]:
        raise UserError(f"--rules: must be among {', '.join(CHOICES['threshold'])}, got {threshold!r:.60}")
    return replace(request, stages=(replace(request.stages[0], threshold=threshold, guidance=w), *request.stages[1:]))
