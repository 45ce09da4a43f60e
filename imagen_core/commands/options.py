"""Options that verbs share. Choices, ranges, defaults and their descriptions come from the settings' entries."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from .. import settings
from ..diffusion.thresholding import PRESETS
from ..models.cascade import DTYPES, Loading
from ..models.opening import FIRST_MODEL, MODELS, defaults_of, falls_back
from ..run.branch import OF_THE_LEVELS
from ..run.experiments import MOST_CELLS, Grid, make_grid, values_in
from ..settings import CHOICES, CONVENTIONS, DEFAULT_SIZES, DEFAULTS, RANGES, RULES, Request
from ..settings.text import with_words
from ..types import UserError

# Settings that a stored run has fixed, so that they cannot be given with --from.
OF_THE_RUN = ("prompt", "seed", "count", *OF_THE_LEVELS)
# Settings without effect on one stored step of a base: no network and no sampler runs after it.
OF_THE_NETWORKS = ("model", "size", "aug_level", "sampler")
# Settings that a grid of rules and weights takes by options of its own, instead of --set.
ELSEWHERE = {"guidance": "--guidances", "threshold": "--rules"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line on standard error, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split()):.300}\n")


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """--model, and how a large one is loaded."""
    parser.add_argument(
        "--model",
        default=FIRST_MODEL,
        help=f"{', '.join(MODELS)}, a folder or a hub id (owner/name@revision): a cascade of this project, or the "
        "stages of DeepFloyd IF joined by commas (default %(default)s)",
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help="what the networks compute in; auto: float32, and for DeepFloyd IF on a card float16. bfloat16 is faster "
        "where the processor has it, float16 is for DeepFloyd IF",
    )
    large = parser.add_argument_group("a large model", "how DeepFloyd IF is loaded; the shipped model ignores these")
    large.add_argument(
        "--device", default="auto", help="auto spreads it over cards, memory and disk; or cpu, cuda, cuda:N, mps"
    )
    large.add_argument("--eight-bit", action="store_true", help="text encoder in 8 bits (NVIDIA card, bitsandbytes)")
    large.add_argument("--no-safety", action="store_true", help="without its authors' safety checker and watermark")


def loading(args: argparse.Namespace) -> Loading:
    """The options of :func:`add_model_argument` as a value; a dtype that this machine lacks is said in one line."""
    wanted = Loading(dtype=args.dtype, device=args.device, eight_bit=args.eight_bit, safety=not args.no_safety)
    if why := falls_back(args.model, wanted):
        print(f"imagen_core: {why}", file=sys.stderr)
    return wanted


def check_shipped_sizes(model: str, what: str) -> None:
    """Refuse a cascade of other sizes than the shipped one's, for ``what`` knows no others."""
    if not settings.are_shipped_sizes(sizes := tuple(defaults_of(model))):
        shipped, own = (", ".join(map(str, some)) for some in (DEFAULT_SIZES, sizes))
        raise UserError(f"--model: {what} is for cascades of {shipped}; {model} is one of {own}")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """--json, an option of every verb."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def add_run_arguments(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """All settings of a Request, except those in ``without``.

    Plain options set the base stage; --aug-level sets every later stage. An option that is not given stays None, and
    :func:`request_from` and :func:`changed_by` fill it in. The help shows the defaults of the shipped model.
    """
    base, later = DEFAULTS[64], DEFAULTS[256]
    if "prompt" not in without:
        parser.add_argument("prompt", help=f"what to draw, 1 to {settings.MAX_PROMPT} characters")
    for name, kind, default, what in (
        ("seed", int, 0, "of the first picture"),
        ("count", int, 1, "how many pictures"),
        ("size", int, f"{base.size}; of sweep {later.size}, of bench the largest", "of the finished picture"),
        ("steps", int, base.steps, "of the base stage"),
        ("guidance", float, base.guidance, "weight w of the text, 1 is off"),
        ("percentile", float, base.percentile, "of dynamic thresholding"),
        ("aug_level", float, later.aug_level, "noise on what the super-resolution stages are given"),
    ):
        if name not in without:
            flags = ["-n"] * (name == "count") + ["--" + name.replace("_", "-")]
            wanted = f"{'a whole number' if kind is int else 'a number'}, {_range(name)}"
            parser.add_argument(*flags, type=_typed(kind, wanted), help=f"{what}; {_range(name)} (default {default})")
    for name, choices in CHOICES.items():
        if name not in without:
            flag = "--" + name.replace("_", "-")
            parser.add_argument(flag, choices=choices, help=f"{_about(choices)} (default {getattr(base, name)})")
    if "steps" not in without:
        parser.add_argument(
            "--times",
            type=_typed(_times, "numbers with commas between them, falling from at most 1 to above 0"),
            metavar="T,T,…",
            help="the time t of each step of the base, falling from at most 1 (noise) to above 0; instead of --spacing",
        )
    if "threshold" not in without:
        parser.add_argument(
            "--preset",
            choices=PRESETS,
            help="thresholding as another project sets it; not together with --threshold and --percentile",
        )
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
        metavar="NAME=VALUE",
        help=f"any setting of any stage, such as sr256.steps=20, or an option of one of its rules: {_rule_options()}; "
        "may be repeated",
    )
    if "model" not in without:
        add_model_argument(parser)


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """A grid of threshold rules and guidance weights, and where to write it."""
    rules = ",".join(settings.SIDE_BY_SIDE)
    parser.add_argument("--rules", default=rules, help="columns (default %(default)s)")
    parser.add_argument(
        "--guidances",
        default="1,5,10",
        help=f"rows, each read like --guidance of sample; at most {MOST_CELLS} cells in all (default %(default)s)",
    )
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")


def add_trace_arguments(parser: argparse.ArgumentParser) -> None:
    """A stored run, and one of its steps."""
    parser.add_argument(
        "--from", dest="trace", type=Path, required=True, help="a run's .npz, written by sample --trace"
    )
    step = _typed(int, "a whole number, 1 or more")
    parser.add_argument(
        "--step", type=step, required=True, help="the step to go back to, counted from 1 as on the page"
    )


def grid_from(args: argparse.Namespace, request: Request) -> Grid:
    """The grid of :func:`add_cell_arguments`, a row for each weight; UserError for too many, or the same twice."""
    rules, numbers = values_in("threshold", args.rules), values_in("guidance", args.guidances)
    rule = request.stages[0].guidance_rule
    weights = [settings.weight(number, args.guidance_convention, rule) for number in numbers]
    return make_grid(request, "guidance", weights, "threshold", rules)


def cell_settings(request: Request) -> dict[str, Any]:
    """What a cell of such a grid differs in: the paper's w, and the rule."""
    return {"guidance": request.stages[0].guidance, "rule": request.stages[0].threshold}


def _range(name: str) -> str:
    if name == "size":
        return f"one of {', '.join(map(str, DEFAULT_SIZES))} or of the model's own"
    low, high = RANGES[name]
    return f"{low:g} to {high:.10g}"


def _about(choices: Mapping[str, Any]) -> str:
    """One line about each choice, for argparse, to which a single % is special."""
    return " ".join(f"{name}: {entry.help}" for name, entry in choices.items()).replace("%", "%%")


def _rule_options() -> str:
    """The options of rules that --set takes: "gamma of ancestral (0 to 1, default 0.3), …"."""
    described = {
        f"{name} of {rule} ({_range(name)}, default {'none' if math.isinf(default) else f'{default:g}'})": None
        for functions in RULES.values()
        for rule, function in functions.items()
        for name, default in settings.hyper_parameters(function).items()
    }
    return ", ".join(described)


def request_from(args: argparse.Namespace, *, elsewhere: Mapping[str, str] | None = None) -> Request:
    """The request of parsed arguments; ``elsewhere`` as for text.with_words.

    Raises:
        UserError: a value is out of range, or --set names no stage or field.
    """
    defaults = defaults_of(args.model)
    request = settings.request(args.prompt, convention=args.guidance_convention, defaults=defaults, **_given(args))
    return _finish(request, args, elsewhere)


def changed_by(args: argparse.Namespace, request: Request, *, elsewhere: Mapping[str, str] | None = None) -> Request:
    """``request`` with the given options applied to its base, and with the stages up to --size if that is given.

    Raises:
        UserError: as for :func:`request_from`.
    """
    given, later = _given(args), request.stages[1:]
    size, aug_level = given.pop("size", None), given.pop("aug_level", None)
    if size is not None or aug_level is not None:
        size = request.stages[-1].size if size is None else size
        later = settings.later_stages(size, aug_level, instead=later, defaults=defaults_of(args.model))
    if "guidance" in given:
        rule = given.get("guidance_rule", request.stages[0].guidance_rule)
        given["guidance"] = settings.weight(given["guidance"], args.guidance_convention, rule)
    base = settings.with_rule(request.stages[0], **given)
    prompt = getattr(args, "prompt", None)
    request = replace(request, prompt=request.prompt if prompt is None else prompt, stages=(base, *later))
    return _finish(request, args, elsewhere)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    names = ("size", "seed", "count", "guidance", "percentile", "aug_level", "steps", "times", *CHOICES)
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def _finish(request: Request, args: argparse.Namespace, elsewhere: Mapping[str, str] | None) -> Request:
    """Apply --preset and --set, and check that the convention of the weight fits the guidance rule."""
    if getattr(args, "preset", None):
        if args.threshold or args.percentile is not None:
            raise UserError("--preset: sets threshold and percentile itself; leave those options out")
        base = settings.with_preset(request.stages[0], args.preset)
        request = replace(request, stages=(base, *request.stages[1:]))
    request = with_words(request, args.set, source="--set", elsewhere=elsewhere)
    settings.check_convention(args.guidance_convention, request.stages[0].guidance_rule)
    return request


def _times(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _typed(kind: Callable[[str], Any], wanted: str) -> Callable[[str], Any]:
    """A type for argparse whose refusal says what is wanted; argparse's own would name a Python function."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r:.60}") from None

    return read
