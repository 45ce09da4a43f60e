"""``python -m imagen_core VERB``: sample, compare, record, train, render, info, bench. ``VERB --help`` says more."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import cli
from .settings import SIDE_BY_SIDE
from .types import UserError

# More than this is a long wait for pictures too small to see.
MOST_CELLS = 25


def _sample(args: Any) -> dict[str, Any]:
    from . import png, trace
    from .cascade import StageResult, check, generate
    from .checkpoints import load_cascade

    request = cli.request_from(args)
    files = [args.out]
    if request.count > 1:
        files = [args.out.with_stem(f"{args.out.stem}-{i + 1}") for i in range(request.count)]
    for file in files:
        cli.check_output(file, ".png")
    if args.trace:
        cli.check_output(args.trace, ".npz", "--trace")
    cascade = load_cascade(args.model)
    check(request, cascade)
    recorder = trace.Recorder(request, cascade.digest)
    events = cli.with_progress(generate(request, cascade), sum(stage.steps for stage in request.stages))
    if args.trace:
        events = recorder.watch(events)
    results = [event for event in events if isinstance(event, StageResult)]
    for index, (file, image) in enumerate(zip(files, results[-1].image)):
        png.save(image, file, request, weights=cascade.digest, index=str(index))
    if args.trace:
        trace.save(recorder.trace(), args.trace)
    seconds = {result.stage: round(result.seconds, 3) for result in results}
    return {"files": [str(file) for file in files], "seeds": list(request.seeds), "seconds": seconds}


def _compare(args: Any) -> dict[str, Any]:
    from . import png
    from .cascade import StageResult, check, compare
    from .checkpoints import load_cascade
    from .saturation import measure
    from .settings import CONVENTIONS

    cli.refuse_set(args.set, {"guidance": "--guidances", "threshold": "--rules"})
    request = cli.request_from(args)
    cli.check_output(args.out, ".png")
    rules = [rule.strip() for rule in args.rules.split(",")]
    weights = cli.numbers(args.guidances, "--guidances")
    if len(rules) * len(weights) > MOST_CELLS or len(set(rules)) < len(rules) or len(set(weights)) < len(weights):
        raise UserError(f"--rules and --guidances: must be different, and make at most {MOST_CELLS} cells")
    convention = CONVENTIONS[args.guidance_convention]
    cells = [(w, rule, cli.with_rule(request, rule, convention(w))) for w in weights for rule in rules]
    cascade = load_cascade(args.model)
    check(request, cascade)
    events = cli.with_progress(compare([cell for _, _, cell in cells], cascade), sum(s.steps for s in request.stages))
    images = [result.image[0] for result in [row for row in events if isinstance(row[0], StageResult)][-1]]
    labels = [f"w = {w:g}, {rule}" for w, rule, _ in cells]
    png.save_grid(images, labels, len(rules), args.out, request, cells="; ".join(labels))
    burnt = [round(float(measure(image[None]).clipped), 4) for image in images]
    found = [{"guidance": w, "rule": rule, "clipped": share} for (w, rule, _), share in zip(cells, burnt)]
    return {"file": str(args.out), "cells": found}


def _record(args: Any) -> dict[str, Any]:
    from . import recording
    from .checkpoints import load_cascade

    cascade = load_cascade(args.model)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {str(args.out)!r:.80} cannot be made ({error.strerror})") from error
    return {"files": [str(path) for path in recording.record_shipped(cascade, args.out)]}


def _info(args: Any) -> dict[str, Any]:
    from .checkpoints import load_cascade, unet_of
    from .unet import gflop

    cascade = load_cascade(args.model)
    stages = {
        stage.spec.name: {
            "size": stage.spec.size,
            "schedule": stage.spec.schedule,
            "prediction": stage.spec.prediction,
            "parameters": sum(p.numel() for p in unet_of(stage).parameters()),
            "gflop_per_evaluation": round(gflop(unet_of(stage).config, stage.spec.size), 2),
            "training": stage.training,
        }
        for stage in cascade.stages
    }
    encoder = {"name": cascade.encode.name, "digest": cascade.encode.digest, "width": cascade.encode.width}
    return {"name": cascade.name, "weights": cascade.digest, "text_encoder": encoder, "stages": stages}


def _bench(args: Any) -> dict[str, Any]:
    from .bench import bench
    from .checkpoints import load_cascade

    request, cascade = cli.request_from(args), load_cascade(args.model)
    return bench(request, cascade)


def _train(args: Any) -> dict[str, Any]:
    from .training import cli as training

    return training.run(args)


def _render(args: Any) -> dict[str, Any]:
    from .tabletop import cli as tabletop

    return tabletop.run(args)


def _parser() -> cli.Parser:
    from .recording import FOLDER as RECORDINGS
    from .tabletop.cli import add_arguments as add_render_arguments
    from .training.cli import add_arguments as add_train_arguments

    parser = cli.Parser(prog="imagen_core", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=cli.Parser, metavar="VERB")

    def verb(name: str, run: Callable[[Any], dict[str, Any]], what: str) -> cli.Parser:
        made: cli.Parser = verbs.add_parser(name, help=what, description=what)
        made.set_defaults(handler=run)
        cli.add_json_argument(made)
        return made

    sample = verb("sample", _sample, "draw pictures of a prompt")
    cli.add_run_arguments(sample)
    sample.add_argument("--out", type=Path, required=True, help="PNG to write; of several, x-1.png, x-2.png, …")
    sample.add_argument("--trace", type=Path, help="also write every step up to 256 × 256 to this .npz")
    compare = verb("compare", _compare, "one prompt and seed under several rules and weights, as a grid")
    cli.add_run_arguments(compare, without=("guidance", "threshold", "count"))
    compare.add_argument("--rules", default=",".join(SIDE_BY_SIDE), help="columns (default %(default)s)")
    compare.add_argument(
        "--guidances", default="1,5,10", help="rows, each read like --guidance of sample (default %(default)s)"
    )
    compare.add_argument("--out", type=Path, required=True, help="PNG to write")
    record = verb("record", _record, "make the recorded runs that the page opens with again, after the weights changed")
    record.add_argument("--out", type=Path, default=RECORDINGS, help="folder to write to (default %(default)s)")
    cli.add_model_argument(record)
    add_train_arguments(verb("train", _train, "train or resume one of the three models"))
    add_render_arguments(verb("render", _render, "render captioned scenes to a folder"))
    cli.add_model_argument(verb("info", _info, "what a model is made of"))
    bench = verb("bench", _bench, "what a run costs on this machine")
    cli.add_run_arguments(bench)
    bench.set_defaults(size=1024)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; 0 when it worked, 2 for bad input (one line on standard error), 130 when interrupted."""
    args = _parser().parse_args(arguments)
    try:
        result = args.handler(args)
        print(json.dumps(result) if args.json else "\n".join(_lines(result)), flush=True)
    except UserError as error:
        print(f"imagen_core {args.verb}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"imagen_core {args.verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"imagen_core {args.verb}: interrupted", file=sys.stderr)
        return 130
    return 0


def _lines(value: Any, indent: str = "") -> list[str]:
    """A result for people: one fact a line, nested ones indented."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    lines = []
    for key, item in pairs:
        if isinstance(item, dict | list) and item:
            lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {item}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
