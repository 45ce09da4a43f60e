"""``evaluate``: measure a model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ..files.writing import check_output, check_writable
from ..processes import started
from ..settings import CHOICES, DEFAULTS, RANGES, StageConfig, base_of, with_rule
from ..types import UserError
from .options import add_model_argument, check_shipped_sizes, loading

EACH, MOST_EACH = 2, 100
OUT, DATA, CACHE, RUNS = Path("docs/results"), Path("runs/data"), Path("runs/evaluation"), Path("runs/encoders")


class Option(NamedTuple):
    """An option of some measurements. ``kind`` converts its text, or maps the names that it may be."""

    name: str
    kind: Any
    help: str
    used_by: tuple[str, ...]
    metavar: str | None = None


def _of_the_base(name: str) -> Option:
    """An option that replaces a setting of the base stage."""
    own = "(default: the model's own)"
    if name in CHOICES:
        return Option(name, CHOICES[name], f"of the base stage {own}", BENCH)
    low, high = RANGES[name]
    return Option(name, type(getattr(DEFAULTS[64], name)), f"of the base stage, {low:g} to {high:g} {own}", BENCH)


# What measures cascades of 64, 256 and 1024 alone: the detector reads 64 × 64.
OF_64 = ("tabletopbench", "captions", "sr", "figures", "samplers", "settings", "percentiles")
# What several processes can share: each draws a part of every cell.
SHARED = ("tabletopbench", "sr", "figures", "samplers", "settings", "percentiles", "neighbours")
BENCH, JUDGED = ("tabletopbench",), ("tabletopbench", "figures")
OF_THE_BASE = ("guidance", "steps", "threshold", "sampler")
OPTIONS = (
    Option("each", int, f"pictures a prompt, 1 to {MOST_EACH} (default {EACH})", (*BENCH, "settings")),
    Option("half", str, "half of the prompts, choose (default) or report", ("settings", "percentiles")),
    Option("cells", str, "grid (default), short: 23 of them, or opening: the page's opening run", ("settings",)),
    Option("seed", int, "of the first picture (default 0)", BENCH),
    *map(_of_the_base, OF_THE_BASE),
    Option(
        "sheet", Path, "also write 64 pictures to this PNG, with their verdicts or beside the nearest training picture",
        (*BENCH, "neighbours"),
    ),
    Option(
        "clip", str, "for a model of photographs, CLIP score by this CLIP folder or hub name, FID and KID", JUDGED,
        "SOURCE",
    ),
    Option("prompts", Path, "with --clip, a prompt a line", JUDGED, "FILE"),
    Option("reference", Path, "with --clip, real pictures to compare with", JUDGED, "FOLDER"),
    Option(
        "dinov2", str, "with --clip, also the Fréchet distance in the features of this DINOv2 folder or hub name",
        JUDGED, "SOURCE",
    ),
    Option(
        "cache", Path, f"folder that caches true renders and finished pictures (default {CACHE})",
        ("tabletopbench", "sr", "figures", "samplers", "settings", "percentiles", "neighbours", "encoders"),
    ),
    Option(
        "out", Path, f"folder of CSV and PNG (default {OUT})",
        ("figures", "samplers", "settings", "percentiles", "encoders"),
    ),
    Option("train", Path, "train it in this folder, then write it to the assets", ("detector", "outlines"), "RUN"),
    Option("data", Path, f"folder of training pictures (default {DATA})", ("detector", "neighbours", "encoders")),
    Option("runs", Path, f"folder where its bases are trained, or resumed (default {RUNS})", ("encoders",)),
)  # fmt: skip
# With --quick the bench draws every second prompt once.
QUICK_STRIDE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is measured, of which model, how thoroughly, and where results go."""
    parser.add_argument(
        "what",
        choices=VERBS,
        help="tabletopbench: how often pictures show what their prompt names; captions: how much exchanging words of a "
        "caption raises the base's loss; sr: super-resolution against true renders; "
        "figures: the paper's figures on this model; samplers: quality against steps; "
        "settings: which settings draw the best pictures; "
        "neighbours: whether a model of own pictures draws what it is asked for, and whether it copies; "
        "percentiles: what dynamic thresholding's percentile does; "
        "encoders: what a deeper text encoder and a larger network are worth (trains eight bases, an hour or two); "
        "outlines: the network that judges outlines; "
        "detector: the detector itself on fresh renders",
    )
    add_model_argument(parser)
    parser.add_argument("--quick", action="store_true", help="fewer pictures: minutes instead of hours, but less exact")
    for option in OPTIONS:
        about = f"{', '.join(option.used_by)}: {option.help}"
        if callable(option.kind):
            parser.add_argument(f"--{option.name}", type=option.kind, metavar=option.metavar, help=about)
        else:
            parser.add_argument(f"--{option.name}", choices=option.kind, help=about)


def run(args: argparse.Namespace) -> dict[str, Any] | None:
    """Measure; returns the numbers and what they were measured with. UserError for options that do not fit.

    Of several processes the first alone returns them.
    """
    from ..evaluation.judges import MOST_PROMPTS
    from ..evaluation.spread import is_first

    foreign = [option for option in OPTIONS if args.what not in option.used_by]
    for option in foreign:
        if getattr(args, option.name) is not None:
            raise UserError(f"--{option.name}: belongs to {' or '.join(option.used_by)}, not to {args.what}")
    if args.quick and args.each is not None:
        raise UserError("--each: --quick draws one picture a prompt; leave out one of them")
    args.each = EACH if args.each is None else args.each
    args.seed = 0 if args.seed is None else args.seed
    args.out, args.data, args.cache = args.out or OUT, args.data or DATA, args.cache or CACHE
    args.runs = args.runs or RUNS
    for option in OPTIONS:
        if option.name in ("out", "cache", "runs") and option not in foreign:
            check_writable(getattr(args, option.name), f"--{option.name}")
    if not 1 <= args.each <= MOST_EACH:
        raise UserError(f"--each: must be between 1 and {MOST_EACH}, got {args.each}")
    low, high = RANGES["seed"]
    # Every picture of a bench has a seed of its own, from this one on.
    high -= MOST_EACH * MOST_PROMPTS
    if not low <= args.seed <= high:
        raise UserError(f"--seed: must be between {low} and {high}, got {args.seed}")
    photographic = [args.clip, args.prompts, args.reference]
    if any(option is not None for option in photographic) and not (args.clip and args.prompts and args.reference):
        raise UserError("--clip, --prompts and --reference: go together")
    if args.dinov2 is not None and not args.clip:
        raise UserError("--dinov2: goes with --clip, --prompts and --reference")
    if started() > 1 and args.what not in SHARED:
        raise UserError(f"evaluate: {args.what} takes a single process; start it without torchrun or accelerate launch")
    if args.clip and args.sheet:
        raise UserError("--sheet: shows the detector's verdicts, so not with --clip")
    if args.what in OF_64 and not args.clip:
        check_shipped_sizes(args.model, args.what)
    if is_first():
        return VERBS[args.what](args)
    # The others draw with the first, whose files are the ones to keep.
    with TemporaryDirectory() as aside:
        args.out, args.sheet = Path(aside), None
        VERBS[args.what](args)
    return None


def _bench(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.scoring import score
    from ..evaluation.tabletopbench import prompts
    from ..models.opening import defaults_of, load_cascade

    given = {name: getattr(args, name) for name in OF_THE_BASE}
    changes = {name: value for name, value in given.items() if value is not None}
    config = with_rule(base_of(defaults_of(args.model)), **changes)
    chosen, each = (prompts()[::QUICK_STRIDE], 1) if args.quick else (prompts(), args.each)
    if args.sheet:
        check_output(args.sheet, ".png", "--sheet")
    if args.clip:
        return {**_photographic(args, config), "indicative": args.quick}
    facts = score(load_cascade(args.model, loading(args)), config, chosen, each, args.seed, args.cache, args.sheet)
    return {**facts, "indicative": args.quick}


def _photographic(args: argparse.Namespace, config: StageConfig) -> dict[str, Any]:
    from ..evaluation.judges import photographic_judge, read_pictures, score_by
    from ..models.opening import load_cascade

    stride = QUICK_STRIDE if args.quick else 1
    truth = read_pictures(args.reference, config.size)
    judge = photographic_judge(args.clip, args.prompts, truth, stride, args.dinov2)
    return score_by(
        judge, load_cascade(args.model, loading(args)), config, 1 if args.quick else args.each, args.seed, args.cache
    )


def _captions(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.caption_use import QUICK_SCENES, SCENES, measure
    from ..models.opening import load_cascade

    return {
        **measure(load_cascade(args.model, loading(args)), QUICK_SCENES if args.quick else SCENES),
        "indicative": args.quick,
    }


def _sr(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.super_resolution import QUICK_SCENES, SCENES, evaluate
    from ..models.opening import load_cascade

    facts = evaluate(load_cascade(args.model, loading(args)), args.cache, QUICK_SCENES if args.quick else SCENES)
    return {**facts, "indicative": args.quick}


def _figures(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.judges import photographic_judge, read_pictures, tabletop_judge
    from ..evaluation.paper_figures import FULL, QUICK, draw_figures
    from ..models.opening import defaults_of, load_cascade

    extent = QUICK if args.quick else FULL
    if args.clip:
        truth = read_pictures(args.reference, base_of(defaults_of(args.model)).size)
        # All of a user's prompts are drawn, but of the bench's only every ``stride``-th.
        judge = photographic_judge(args.clip, args.prompts, truth, extent.stride if args.quick else 1, args.dinov2)
        cascade = load_cascade(args.model, loading(args))
    else:
        cascade = load_cascade(args.model, loading(args))
        judge = tabletop_judge(extent.stride, args.cache)
    note = f"weights {cascade.digest[:12]}" + (", few samples: indicative only" if args.quick else "")
    facts = draw_figures(cascade, judge, extent, args.cache, args.out, note, world=not args.clip)
    return {**facts, "indicative": args.quick}


def _samplers(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.sampler_study import FULL, QUICK, measure_samplers
    from ..models.opening import load_cascade

    cascade = load_cascade(args.model, loading(args))
    args.out.mkdir(parents=True, exist_ok=True)
    facts = measure_samplers(cascade, QUICK if args.quick else FULL, args.cache, args.out)
    return {**facts, "indicative": args.quick}


def _detector(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.detector import load_detector
    from ..evaluation.detector_training import FRESH, QUICK_FRESH, accuracy, train_and_ship

    if args.train:
        train_and_ship(args.data, args.train)
    detector, digest = load_detector()
    facts = accuracy(detector, QUICK_FRESH if args.quick else FRESH)
    return {**facts, "detector": digest, "indicative": args.quick}


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.settings_study import CELLS, study
    from ..models.opening import load_cascade

    half, cells = args.half or "choose", args.cells or "grid"
    if cells not in CELLS:
        raise UserError(f"--cells: must be one of {', '.join(CELLS)}, got {cells!r:.40}")
    each, stride = (1, QUICK_STRIDE) if args.quick else (args.each, 1)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"settings-{half}-{cells}.csv"
    facts = study(load_cascade(args.model, loading(args)), half, stride, CELLS[cells](), each, args.cache, file)
    return {**facts, "indicative": args.quick}


def _percentiles(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.percentiles import measure_percentiles
    from ..models.opening import load_cascade

    args.out.mkdir(parents=True, exist_ok=True)
    half, stride = args.half or "report", QUICK_STRIDE if args.quick else 1
    facts = measure_percentiles(load_cascade(args.model, loading(args)), half, stride, args.cache, args.out)
    return {**facts, "indicative": args.quick}


def _neighbours(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.neighbours import measure_neighbours
    from ..models.opening import load_cascade
    from ..worlds.collected.collected import open_collected

    if args.sheet:
        check_output(args.sheet, ".png", "--sheet")
    world = open_collected(args.data)
    facts = measure_neighbours(load_cascade(args.model, loading(args)), world, args.cache, args.sheet)
    return {**facts, "indicative": args.quick}


def _outlines(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.outline_training import measured, train_and_ship

    if args.train:
        train_and_ship(args.train)
    return {**measured(), "indicative": args.quick}


def _encoders(args: argparse.Namespace) -> dict[str, Any]:
    from ..evaluation.encoder_study import FULL, QUICK, study

    check_writable(args.data, "--data")
    facts = study(QUICK if args.quick else FULL, args.data, args.runs, args.cache, args.out, loading(args))
    return {**facts, "indicative": args.quick}


VERBS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "tabletopbench": _bench,
    "captions": _captions,
    "sr": _sr,
    "figures": _figures,
    "samplers": _samplers,
    "settings": _settings,
    "percentiles": _percentiles,
    "neighbours": _neighbours,
    "detector": _detector,
    "outlines": _outlines,
    "encoders": _encoders,
}
