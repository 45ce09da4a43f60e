"""The page's functions for programs (``gradio_client``, and MCP where it is on): sample, compare, sweep, describe.

Each but describe is a generator. It yields its progress after every step, so that a cancelled call stops there, and at
the end a file and facts. It takes the settings of the page; the same code checks them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_type_hints

import gradio as gr

from imagen_core import settings
from imagen_core.run.experiments import (
    SUGGESTED_LEVELS,
    DrawnCell,
    SweptLevel,
    draw,
    levels_in,
    make_sweep,
    read_grid,
    save_sweep,
    sweep,
)
from imagen_core.run.generate import check, generate
from imagen_core.settings import CHOICES, DEFAULT_SIZES, RANGES, Request
from imagen_core.settings.text import flat, with_more
from imagen_core.types import StageResult, UserError
from imagen_core.worlds.world import unknown_words

from .handlers import files, folder, refusals, refuse
from .parts import grid as grid_parts
from .serving.model import Model

Answer = tuple[gr.FileData | None, dict[str, Any]]


def sample(
    model: Model,
    prompt: str,
    seed: int = 0,
    size: int = 64,
    guidance: float | None = None,
    threshold: str | None = None,
    percentile: float | None = None,
    aug_level: float | None = None,
    more: str = "",
) -> Iterator[Answer]:
    """Draw one picture of a prompt; ends with a PNG that carries its settings, and with the settings as values.

    A setting that is left out has the model's own default; describe lists them all.

    Args:
        prompt: what to draw, 1 to 500 characters.
        seed: a whole number from 0; the same seed and settings draw the same picture.
        size: pixels along each side, for the shipped model 64, 256 or 1024.
        guidance: weight w of the text in the paper's form; 1 is off.
        threshold: the rule for values of x0_hat outside [-1, 1]; describe lists the rules.
        percentile: dynamic thresholding divides by this percentile of |x0_hat|, 50 to 100.
        aug_level: noise on the input of the super-resolution stages, 0 to 1.
        more: any other settings as in a link: "sampler=ddim steps=50 sr256.steps=20".
    """
    with refusals():
        request = _request(
            model, prompt, more, size=size, seed=seed, aug_level=aug_level,
            guidance=guidance, threshold=threshold, percentile=percentile,
        )  # fmt: skip
        cascade = model.get()
        check(request, cascade)
        seconds = {}
        for event in model.in_turn(partial(generate, request), cascade, request):
            if isinstance(event, StageResult):
                image, seconds[event.stage] = event.image, round(event.seconds, 3)
                yield None, {"stage": event.stage, "done": True}
            else:
                yield None, {"stage": event.stage, "step": event.index + 1}
        path = files(image, request, cascade.digest)[0][0]
        yield gr.FileData(path=path), {"settings": flat(request), "weights": cascade.digest, "seconds": seconds}


def compare(
    model: Model,
    prompt: str,
    seed: int = 0,
    rows: str = "guidance",
    row_values: str = grid_parts.SUGGESTED["guidance"],
    columns: str = "threshold",
    column_values: str = grid_parts.SUGGESTED["threshold"],
    more: str = "",
) -> Iterator[Answer]:
    """Vary two settings of the base stage from the same noise; ends with a PNG grid and what each cell measures.

    At most 25 cells.

    Args:
        prompt: what to draw, 1 to 500 characters.
        seed: a whole number from 0, the same for every cell.
        rows: a setting of the base stage, such as guidance, threshold, percentile, sampler or steps.
        row_values: its values, separated by commas.
        columns: another setting of the base stage.
        column_values: its values, separated by commas.
        more: any other settings as in a link: "sampler=ddim steps=50".
    """
    with refusals():
        start = _request(model, prompt, more, seed=seed)
        grid = read_grid(start, rows, row_values, columns, column_values)
        cascade = model.get()
        cells: list[DrawnCell] = []
        for event in draw(grid, cascade, model.in_turn):
            if isinstance(event, DrawnCell):
                cells.append(event)
            else:
                yield None, {"cell": len(cells) + 1, "of": len(grid.cells)}
        path = grid_parts.files(grid, cells, cascade.digest)[0]
        facts = [
            {"label": drawn.cell.label, "settings": flat(drawn.cell.request), **drawn.facts.rounded()}
            for drawn in cells
        ]
        yield gr.FileData(path=path), {"cells": facts, "weights": cascade.digest}


def sweep_augmentation(
    model: Model,
    prompt: str,
    seed: int = 0,
    size: int = 256,
    aug_levels: str = SUGGESTED_LEVELS,
    more: str = "",
) -> Iterator[Answer]:
    """Run one super-resolution stage at several aug_levels from the same noise; ends with a PNG grid and scores.

    Args:
        prompt: what to draw, 1 to 500 characters.
        seed: a whole number from 0, the same for every level.
        size: the stage to sweep, for the shipped model 256 or 1024.
        aug_levels: up to eleven levels from 0 to 1, separated by commas.
        more: any other settings as in a link: "guidance=8 sr256.steps=20".
    """
    with refusals():
        if not (later := model.sizes[1:]):
            raise UserError("size: must be that of a later stage; this model has the base alone, without an aug_level")
        if size not in later:
            raise UserError(f"size: must be {' or '.join(map(str, later))}, got {size!r:.60}")
        levels = levels_in(aug_levels)
        sweep_of_levels = make_sweep(_request(model, prompt, more, seed=seed, size=size), levels)
        cascade = model.get()
        swept: list[SweptLevel] = []
        for event in sweep(sweep_of_levels, cascade, model.in_turn):
            if isinstance(event, SweptLevel):
                swept.append(event)
            else:
                yield None, {"stage": (event[0] if isinstance(event, tuple) else event).stage}
        path = folder() / "sweep.png"
        save_sweep(sweep_of_levels, swept, path, cascade)
        facts = {
            "levels": [level.facts.rounded() for level in swept],
            "settings": flat(sweep_of_levels.start),
            "weights": cascade.digest,
        }
        yield gr.FileData(path=str(path)), facts


def describe(model: Model, prompt: str = "") -> dict[str, Any]:
    """List the words that the model knows, unknown words of a prompt, and each setting's range, choices and default.

    ``known`` and ``unknown`` are empty for a model that does not say which words it was trained on.

    Args:
        prompt: words to look up; may be empty.
    """
    if not isinstance(prompt, str):
        raise refuse(UserError("prompt: must be text"))
    world = model.world
    concepts = {} if world is None else world.concepts
    with refusals():
        defaults = settings.in_full(model.defaults)
    facts = {"name": model.name, "ready": model.ready}
    if model.ready:
        cascade = model.get()
        facts |= {"sizes": list(cascade.sizes), "weights": cascade.digest, "text_encoder": cascade.encode.name}
    return {
        "unknown": list((world and unknown_words(world, prompt[: settings.MAX_PROMPT])) or ()),
        "known": {kind: {name: list(words) for name, words in group.items()} for kind, group in concepts.items()},
        "model": facts,
        "defaults": flat(Request("…", stages=tuple(defaults.values()))),
        "choices": {name: list(choices) for name, choices in CHOICES.items()},
        "about": {
            name: {
                choice: {"title": entry.title, "paper": entry.paper, "help": entry.help}
                for choice, entry in choices.items()
            }
            for name, choices in CHOICES.items()
        },
        "ranges": {name: list(ends) for name, ends in RANGES.items()},
    }


PUBLIC: dict[str, Callable[..., Any]] = {
    "sample": sample,
    "compare": compare,
    "sweep_augmentation": sweep_augmentation,
    "describe": describe,
}


def functions(model: Model) -> dict[str, Callable[..., Any]]:
    """PUBLIC for one model. Gradio reads types, defaults and descriptions from the signatures."""
    return {name: _bound(model, function) for name, function in PUBLIC.items()}


def _bound(model: Model, function: Callable[..., Any]) -> Callable[..., Any]:
    hints = get_type_hints(function)
    signature = inspect.signature(function)
    places = {"size": dict(zip(DEFAULT_SIZES, model.sizes))}
    parameters = [
        p.replace(annotation=hints[p.name], default=places.get(p.name, {}).get(p.default, p.default))
        for p in list(signature.parameters.values())[1:]
    ]
    streams = inspect.isgeneratorfunction(function)
    # Gradio reads the annotation of a generator as the type of what it yields.
    returned = tuple[gr.FileData, dict[str, Any]] if streams else dict[str, Any]
    own = signature.replace(parameters=parameters, return_annotation=returned)

    def with_defaults(*args: Any, **kwargs: Any) -> dict[str, Any]:
        given = own.bind(*args, **kwargs)
        given.apply_defaults()
        return given.arguments

    def stream(*args: Any, **kwargs: Any) -> Any:
        yield from function(model, **with_defaults(*args, **kwargs))

    def answer(*args: Any, **kwargs: Any) -> Any:
        return function(model, **with_defaults(*args, **kwargs))

    bound: Any = stream if streams else answer
    bound.__signature__ = own
    bound.__annotations__ = {p.name: p.annotation for p in parameters}
    bound.__name__, bound.__doc__ = function.__name__, function.__doc__
    return bound


def _request(model: Model, prompt: str, more: str, *, size: int | None = None, **given: Any) -> Request:
    """The request; what is not given is at the model's own defaults. Checked before the model is loaded."""
    base = {name: value for name, value in given.items() if value is not None}
    request = settings.request(prompt, size=size, defaults=model.defaults, **base)
    whole = with_more(request, more, defaults=model.defaults)
    return replace(whole, stages=whole.stages[: len(request.stages)])
