"""The command line's options. Choices, defaults and ranges come from the engine; see settings.py."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from . import settings
from .settings import CHOICES, CONVENTIONS, DEFAULT_SIZES, DEFAULTS, RANGES, Request, StageConfig
from .types import StepRecord, UserError


class Parser(argparse.ArgumentParser):
    """Errors are one line on standard error and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split()):.300}\n")


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tabletop", help="tabletop or a cascade's folder (default %(default)s)")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def add_run_arguments(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Everything that makes a Request, but for the settings in ``without``.

    Bare options are the base stage's; --aug-level is every later stage's.
    """
    base, later = DEFAULTS[64], DEFAULTS[256]
    sizes = ", ".join(map(str, DEFAULT_SIZES))
    parser.add_argument("prompt", help=f"what to draw, 1 to {settings.MAX_PROMPT} characters")
    parser.add_argument("--seed", type=int, default=0, help=f"{_range('seed')} (default %(default)s)")
    if "count" not in without:
        parser.add_argument(
            "-n", "--count", type=int, default=1, help=f"pictures, {_range('count')} (default %(default)s)"
        )
    parser.add_argument("--size", type=int, default=64, help=f"one of {sizes} (default %(default)s)")
    for name, default, what in (
        ("guidance", base.guidance, "weight w of the text, 1 is off"),
        ("percentile", base.percentile, "of dynamic thresholding"),
        ("aug_level", later.aug_level, "noise on what the super-resolution stages are given"),
    ):
        flag, about = "--" + name.replace("_", "-"), f"{what}; {_range(name)} (default %(default)s)"
        if name not in without:
            parser.add_argument(flag, type=float, default=default, help=about)
    parser.add_argument("--steps", type=int, default=base.steps, help=f"{_range('steps')} (default %(default)s)")
    for name, choices in CHOICES.items():
        flag = "--" + name.replace("_", "-")
        if name in without:
            continue
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
        help=f"any setting of any stage, such as sr256.steps=20, or an option of one of its rules: {_rule_options()}; "
        "may be repeated",
    )
    add_model_argument(parser)


def _range(name: str) -> str:
    low, high = RANGES[name]
    if math.isinf(high):
        return f"{low:g} or more"
    return f"{low:g} to {high:.10g}"


def _rule_options() -> str:
    """The hyper-parameters that have no option of their own: "gamma of ancestral (0 to 1, default 0.3), …"."""
    found = {
        f"{name} of {rule} ({_range(name)}, default {'none' if math.isinf(default) else f'{default:g}'})": None
        for choices in CHOICES.values()
        for rule, function in choices.items()
        for name, default in settings.hyper_parameters(function).items()
        if name not in settings.OWN_FIELD
    }
    return ", ".join(found)


def request_from(args: argparse.Namespace) -> Request:
    """The request that parsed arguments ask for.

    Raises:
        UserError: a value is out of range, or --set names no stage or field.
    """
    names = ("size", "seed", "count", "guidance", "percentile", "aug_level", "steps", *CHOICES)
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    request = settings.request(args.prompt, convention=args.guidance_convention, **given)
    for text in args.set:
        request = _set(request, text)
    return request


def _set(request: Request, text: str) -> Request:
    """Apply one STAGE.FIELD=VALUE; a field that is none of StageConfig's is a rule's hyper-parameter."""
    place, equals, value = text.partition("=")
    stage_name, dot, name = place.partition(".")
    names = {stage.name: stage for stage in request.stages}
    if not equals or not dot or not name or stage_name not in names:
        stages = f"one of {', '.join(names)} at this --size"
        raise UserError(f"--set: must be STAGE.FIELD=VALUE with STAGE {stages}, got {text!r:.60}")
    stage = names[stage_name]
    name = name.replace("-", "_")
    if name in {field.name for field in fields(StageConfig)} - {"size", "options"}:
        change: dict[str, Any] = {name: value if name in CHOICES else _number(name, value)}
    else:
        change = {"options": {**stage.options, name: _number(name, value)}}
    return settings.with_stage(request, stage.size, **change)


def refuse_set(texts: Iterable[str], instead: dict[str, str]) -> None:
    """Refuse --set for settings of the base stage that a verb takes another way."""
    for text in texts:
        field = text.partition("=")[0].replace("-", "_")
        for name, option in instead.items():
            if field == f"base64.{name}":
                raise UserError(f"--set: {name} is what {option} is for")


def with_rule(request: Request, threshold: str, w: float) -> Request:
    """The same request with another threshold and weight on its base, and those of its options that the rule takes."""
    options = request.stages[0].options
    plain = settings.with_stage(request, 64, threshold=threshold, guidance=w, options={})
    taken = plain.stages[0].allowed_options()
    return settings.with_stage(plain, 64, options={k: v for k, v in options.items() if k in taken})


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError as error:
        raise UserError(f"{name}: must be a number, got {text!r:.60}") from error


def check_output(path: Path, suffix: str, option: str = "--out") -> None:
    """Refuse an output file that could not be written, before any work is done."""
    if path.suffix.lower() != suffix:
        raise UserError(f"{option}: must end in {suffix}, got {path.name!r:.60}")
    try:
        if not path.parent.is_dir():
            raise UserError(f"{option}: the folder {path.parent} does not exist")
        there = path.exists()
        # Opened, not guessed: rights, long names and full disks show up here.
        path.open("ab").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise UserError(f"{option}: {str(path)!r:.80} cannot be written ({error.strerror})") from error


def with_progress(events: Iterable[Any], steps: int) -> Iterator[Any]:
    """Pass events on with a bar on standard error that counts sampling steps."""
    from tqdm import tqdm

    with tqdm(total=steps, unit="step", disable=not sys.stderr.isatty()) as bar:
        for event in events:
            yield event
            first = event[0] if isinstance(event, tuple) else event
            bar.update(isinstance(first, StepRecord))


def numbers(text: str, option: str) -> list[int | float]:
    """A comma-separated list of numbers."""
    return [_number(option, part.strip()) for part in text.split(",")]
