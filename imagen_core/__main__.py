"""The engine on the command line: ``python -m imagen_core VERB``. ``--help`` names the verbs and their options."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .commands import (
    bench,
    branch,
    compare,
    data,
    evaluate,
    export,
    info,
    reapply,
    record,
    render,
    sample,
    space,
    sweep,
    train,
)
from .commands.console import for_any_console
from .commands.options import Parser, add_json_argument
from .types import UserError, in_words


@dataclass(frozen=True)
class Verb:
    """What a verb does, in a line; its options; and the function that runs it, whose facts are printed, if any."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any] | None]


VERBS = {
    "sample": Verb("draw pictures of a prompt", sample.add_arguments, sample.run),
    "compare": Verb(
        "one prompt and seed under several rules and weights, as a grid", compare.add_arguments, compare.run
    ),
    "sweep": Verb(
        "the last super-resolution stage at several aug_levels, from the same noise", sweep.add_arguments, sweep.run
    ),
    "reapply": Verb(
        "other rules on one stored step of a run, without asking the network", reapply.add_arguments, reapply.run
    ),
    "branch": Verb("continue a stored run from one of its steps with other settings", branch.add_arguments, branch.run),
    "record": Verb(
        "make the recorded runs that the page opens with again, after the weights changed",
        record.add_arguments,
        record.run,
    ),
    "data": Verb("prepare pictures and captions of your own for training", data.add_arguments, data.run),
    "train": Verb("train or resume one of the three models", train.add_arguments, train.run),
    "render": Verb("render captioned scenes to a folder", render.add_arguments, render.run),
    "evaluate": Verb(
        "measure a model: what is right, how real, how sharp, how burnt", evaluate.add_arguments, evaluate.run
    ),
    "info": Verb("what a model is made of", info.add_arguments, info.run),
    "export": Verb("write a model as files that a browser tab samples with", export.add_arguments, export.run),
    "space": Verb("write a folder that is ready to be a Space, and check it", space.add_arguments, space.run),
    "bench": Verb("what a run costs on this machine", bench.add_arguments, bench.run),
}


@for_any_console
def main(arguments: list[str] | None = None, prog: str = "imagen_core") -> int:
    """Run one verb; 0 when it worked, 2 for bad input (one line on standard error), 130 when interrupted.

    141 when whoever read its output went away.
    """
    args = build_parser(prog).parse_args(arguments)
    try:
        facts = VERBS[args.verb].run(args)
        if facts is not None:
            print(json.dumps(facts) if args.json else "\n".join(_lines(facts)), flush=True)
    except BrokenPipeError:
        raise
    except (UserError, OSError) as error:
        print(f"{prog} {args.verb}: {in_words(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog} {args.verb}: interrupted", file=sys.stderr)
        return 130
    return 0


def build_parser(prog: str) -> Parser:
    """The parser of all verbs, for a command that is called ``prog``."""
    parser = Parser(prog=prog, description="Imagen on the command line. VERB --help names the options of a verb.")
    parsers = parser.add_subparsers(dest="verb", required=True, parser_class=Parser, metavar="VERB")
    for name, verb in VERBS.items():
        own = parsers.add_parser(name, help=verb.help, description=verb.help)
        add_json_argument(own)
        verb.add_arguments(own)
    return parser


def _lines(facts: Any, indent: str = "") -> list[str]:
    """Facts for people: one a line, nested ones indented."""
    pairs = facts.items() if isinstance(facts, dict) else enumerate(facts)
    lines = []
    for key, item in pairs:
        if isinstance(item, dict | list) and item:
            lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {item}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
