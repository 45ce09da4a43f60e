"""The engine on the command line: ``python -m imagen_core VERB``. ``--help`` names the verbs and their options."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import settings
from .commands import options as cli
from .files.writing import check_output, check_writable
from .settings import Request
from .types import StageResult, UserError

if TYPE_CHECKING:
    from .models.cascade import Cascade


def _sample(args: Any) -> dict[str, Any]:
    from .models.opening import load_cascade
    from .records import trace
    from .run.generate import check, generate

    request = cli.request_from(args)
    cli.warn(request)
    files = cli.outputs(args.out, request.count)
    if args.trace:
        check_output(args.trace, ".npz", "--trace")
    cascade = load_cascade(args.model, cli.loading(args))
    check(request, cascade)
    cli.warn_of_words(request, cascade)
    recorder = trace.Recorder(request, cascade)
    events = cli.with_progress(generate(request, cascade), sum(stage.steps for stage in request.stages))
    if args.trace:
        events = recorder.watch(events)
    made = _save(events, files, request, cascade)
    if args.trace:
        trace.save(recorder.trace(), args.trace)
    return made


def _save(events: Iterable[Any], files: list[Path], request: Request, cascade: Cascade) -> dict[str, Any]:
    """Drain a run and write its last pictures."""
    from .records import png

    results = [event for event in events if isinstance(event, StageResult)]
    for index, (file, image) in enumerate(zip(files, results[-1].image)):
        png.save(image, file, request, weights=cascade.digest, index=str(index))
    seconds = {result.stage: round(result.seconds, 3) for result in results}
    told = {"files": [str(file) for file in files], "seeds": list(request.seeds), "seconds": seconds}
    return {**told, **_guarded(cascade, results[-1].withheld)}


def _guarded(cascade: Cascade, withheld: Iterable[bool]) -> dict[str, Any]:
    """What a model's safety checker and watermark did, if it has any."""
    return {"guard": cascade.guard, "withheld": list(withheld)} if cascade.guard else {}


def _compare(args: Any) -> dict[str, Any]:
    from .models.opening import load_cascade
    from .run.generate import check, compare

    request = cli.request_from(args)
    cells = cli.cells_of(args, request)
    cli.warn(*(cell.request for cell in cells))
    check_output(args.out, ".png")
    cascade = load_cascade(args.model, cli.loading(args))
    check(request, cascade)
    cli.warn_of_words(request, cascade)
    events = cli.with_progress(compare([cell.request for cell in cells], cascade), sum(s.steps for s in request.stages))
    results = [row for row in events if isinstance(row[0], StageResult)][-1]
    found = _grid(args.out, request, cells, [result.image[0] for result in results], cascade.digest)
    return {**found, **_guarded(cascade, (result.withheld[0] for result in results))}


def _grid(
    out: Path, request: Request, cells: list[cli.Cell], images: list[Any], weights: str, **more: list[Any]
) -> dict[str, Any]:
    """Write cells of rule × weight as a grid, a row a weight; returns what is burnt in each, and ``more`` of each."""
    from .diffusion.saturation import measure
    from .records import png

    labels = [f"w = {cell.w:g}, {cell.rule}" for cell in cells]
    columns = len({cell.rule for cell in cells})
    png.save_grid(images, labels, columns, out, request, weights=weights, cells="; ".join(labels))
    facts = [
        {"guidance": cell.w, "rule": cell.rule, "burnt": round(float(measure(image[None]).burnt), 4)}
        for cell, image in zip(cells, images)
    ]
    for name, values in more.items():
        facts = [{**fact, name: value} for fact, value in zip(facts, values)]
    return {"file": str(out), "cells": facts}


def _sweep(args: Any) -> dict[str, Any]:
    from .diffusion.saturation import consistency, sharpness
    from .models.opening import load_cascade
    from .records import png
    from .run.generate import at_levels, generate, sweep

    aug_levels = cli.numbers(args.aug_levels, "--aug-levels")
    request = cli.request_from(args)
    if len(request.stages) < 2:
        raise UserError("--size: must be 256 or 1024; the base stage has no aug_level to sweep")
    if len(aug_levels) > cli.MOST_CELLS or len(set(aug_levels)) < len(aug_levels):
        raise UserError(f"--aug-levels: must be different, and at most {cli.MOST_CELLS}")
    last = request.stages[-1]
    cli.refuse_set(args.set, {f"{last.name}.aug_level": "--aug-levels"})
    # Refused before the model is loaded.
    for level in aug_levels:
        replace(last, aug_level=level)
    cli.warn(request)
    check_output(args.out, ".png")
    cascade = load_cascade(args.model, cli.loading(args))
    at_levels(request, cascade, aug_levels)
    cli.warn_of_words(request, cascade)
    first = replace(request, stages=request.stages[:-1])
    before = [e for e in generate(first, cascade) if isinstance(e, StageResult)][-1]
    events = cli.with_progress(sweep(request, cascade, aug_levels, image=before.unmarked), last.steps)
    results = [row for row in events if isinstance(row[0], StageResult)][-1]
    images = [result.image for result in results]
    stage = cascade.stage(last.size)
    labels = [f"aug_level {level:g}, σ = {stage.aug_sigma(level):.3f}" for level in aug_levels]
    facts = {"weights": cascade.digest, "cells": "; ".join(labels)}
    png.save_grid([image[0] for image in images], labels, len(labels), args.out, request, **facts)
    cells = [
        {
            "aug_level": level,
            "sigma": round(stage.aug_sigma(level), 4),
            "psnr": round(float(consistency(image, before.unmarked)[0]), 2),
            "sharpness": round(float(sharpness(image)[0]), 4),
        }
        for level, image in zip(aug_levels, images)
    ]
    black = (before.withheld[0] or result.withheld[0] for result in results)
    return {"file": str(args.out), "stage": last.name, "cells": cells, **_guarded(cascade, black)}


def _reapply(args: Any) -> dict[str, Any]:
    from .records import trace
    from .run.branch import reapply

    run = trace.load(args.trace)
    recorded = replace(run.request, stages=run.request.stages[:1])
    request = cli.changed_by(args, recorded)
    cli.check_same_step(request.stages[0], recorded.stages[0])
    cells = cli.cells_of(args, request)
    cli.warn(*(cell.request for cell in cells), before=recorded)
    check_output(args.out, ".png")
    found = [reapply(run, args.step - 1, cell.request.stages[0]) for cell in cells]
    s = [round(float(out.s[0]), 4) for out in found]
    outside = [round(float((out.x0_raw[0].abs() > 1).float().mean()), 4) for out in found]
    return _grid(args.out, request, cells, [out.x0_hat[0] for out in found], run.weights, s=s, outside=outside)


def _branch(args: Any) -> dict[str, Any]:
    from .models.opening import load_cascade
    from .records import trace
    from .run.branch import branch

    run = trace.load(args.trace)
    request = cli.changed_by(args, run.request)
    cli.warn(request, before=run.request)
    files = cli.outputs(args.out, request.count)
    cascade = load_cascade(args.model, cli.loading(args))
    events = branch(run, args.step - 1, request, cascade)
    cli.warn_of_words(request, cascade)
    return _save(
        cli.with_progress(events, sum(s.steps for s in request.stages) - args.step + 1), files, request, cascade
    )


def _record(args: Any) -> dict[str, Any]:
    from .commands.record import record_shipped
    from .models.opening import load_cascade

    check_writable(args.out)
    cascade = load_cascade(args.model, cli.loading(args))
    args.out.mkdir(parents=True, exist_ok=True)
    return {"files": [str(path) for path in record_shipped(cascade, args.out)]}


def _info(args: Any) -> dict[str, Any]:
    from .models.checkpoints import unet_of
    from .models.opening import load_cascade, memory_plan
    from .networks.unet import gflop

    if plan := memory_plan(args.model, cli.loading(args)):
        return plan
    cascade = load_cascade(args.model, cli.loading(args))
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
    from .commands.bench import bench, bench_guidance
    from .models.opening import is_deepfloyd, load_cascade, locate

    request = cli.request_from(args)
    if args.peer:
        if not is_deepfloyd(args.model):
            raise UserError("--peer: compares with diffusers' pipelines, which only DeepFloyd IF has")
        steps = request.stages[0].steps
        if request != settings.request(args.prompt, size=args.size, steps=steps, defaults=cli.defaults_of(args.model)):
            raise UserError("--peer: both sides sample as diffusers does; of a run's settings give only --steps")
        from .commands.peer import peer

        return peer(locate(args.model), cli.loading(args), request.prompt, steps)
    cli.warn(request)
    cascade = load_cascade(args.model, cli.loading(args))
    return bench_guidance(request, cascade) if args.guidance_rules else bench(request, cascade)


def _train(args: Any) -> dict[str, Any]:
    from .commands import train as training

    return training.run(args)


def _evaluate(args: Any) -> dict[str, Any]:
    from .commands import evaluate as evaluation

    return evaluation.run(args)


def _render(args: Any) -> dict[str, Any]:
    from .commands import render as tabletop

    return tabletop.run(args)


def _parser(prog: str) -> cli.Parser:
    from .commands.evaluate import add_arguments as add_evaluate_arguments
    from .commands.render import add_arguments as add_render_arguments
    from .commands.train import add_arguments as add_train_arguments
    from .records.shipped import FOLDER as RECORDINGS

    parser = cli.Parser(prog=prog, description=__doc__)
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
    cli.add_cell_arguments(compare)
    sweep = verb("sweep", _sweep, "the last super-resolution stage at several aug_levels, from the same noise")
    cli.add_run_arguments(sweep, without=("aug_level", "count"))
    sweep.set_defaults(size=256)
    sweep.add_argument("--aug-levels", default="0,0.1,0.2,0.3", help="one picture each (default %(default)s)")
    sweep.add_argument("--out", type=Path, required=True, help="PNG to write")
    reapply = verb("reapply", _reapply, "other rules on one stored step of a run, without asking the network")
    cli.add_trace_arguments(reapply)
    cli.add_run_arguments(reapply, without=(*cli.OF_THE_RUN, *cli.OF_THE_NETWORKS, "guidance", "threshold"))
    cli.add_cell_arguments(reapply)
    branch = verb("branch", _branch, "continue a stored run from one of its steps with other settings")
    cli.add_trace_arguments(branch)
    cli.add_run_arguments(branch, without=cli.OF_THE_RUN)
    branch.add_argument("--prompt", help="another prompt from there on")
    branch.add_argument("--out", type=Path, required=True, help="PNG to write; of several, x-1.png, x-2.png, …")
    record = verb("record", _record, "make the recorded runs that the page opens with again, after the weights changed")
    record.add_argument("--out", type=Path, default=RECORDINGS, help="folder to write to (default %(default)s)")
    cli.add_model_argument(record)
    add_train_arguments(verb("train", _train, "train or resume one of the three models"))
    add_render_arguments(verb("render", _render, "render captioned scenes to a folder"))
    add_evaluate_arguments(
        verb("evaluate", _evaluate, "measure a model: what is right, how real, how sharp, how burnt")
    )
    cli.add_model_argument(verb("info", _info, "what a model is made of"))
    bench = verb("bench", _bench, "what a run costs on this machine")
    cli.add_run_arguments(bench)
    bench.set_defaults(size=1024)
    what = bench.add_mutually_exclusive_group()
    what.add_argument("--guidance-rules", action="store_true", help="seconds a step of the base under each of them")
    what.add_argument("--peer", action="store_true", help="DeepFloyd IF: a step of ours beside a step of diffusers'")
    return parser


def main(arguments: list[str] | None = None, prog: str = "imagen_core") -> int:
    """Run one verb; 0 when it worked, 2 for bad input (one line on standard error), 130 when interrupted."""
    args = _parser(prog).parse_args(arguments)
    try:
        result = args.handler(args)
        print(json.dumps(result) if args.json else "\n".join(_lines(result)), flush=True)
    except (UserError, OSError) as error:
        # str() of an OSError begins with a number that says nothing to people.
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"{prog} {args.verb}: {' '.join(said.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog} {args.verb}: interrupted", file=sys.stderr)
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
