"""How to repeat a run: as a command line, and as a few lines of Python."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields

from imagen_core.models.opening import FIRST_MODEL
from imagen_core.settings import CHOICES, Request, StageConfig
from imagen_core.settings.text import RUN_FIELDS, changed, write

# Settings of the base stage that have their own command-line option.
BARE = {"guidance", "percentile", "steps", *CHOICES}


def command_line(
    request: Request, model: str, defaults: Mapping[int, StageConfig] | None = None, out: str = "imagen.png"
) -> str:
    """The command that draws the run's pictures, without the settings that are at ``defaults``, the model's own."""
    options = ["--seed", str(request.seed), "--size", str(request.stages[-1].size)]
    if request.count > 1:
        options += ["--count", str(request.count)]
    for key, value in changed(request, defaults).items():
        text = ",".join(map(repr, value)) if isinstance(value, tuple) else write(value)
        if key in BARE:
            options += [f"--{key.replace('_', '-')}", text]
        else:
            options += ["--set", f"{key if '.' in key else f'{request.stages[0].name}.{key}'}={text}"]
    if model != FIRST_MODEL:
        options += ["--model", model]
    words = [*options, "--out", out]
    # After "--" a prompt that begins with a dash is not read as an option.
    words = [*words, "--", request.prompt] if request.prompt.startswith("-") else [request.prompt, *words]
    return "python -m imagen_core sample " + " ".join(_quote(word) for word in words)


def snippet(request: Request, model: str, out: str = "imagen-{seed}.png") -> str:
    """Python code that draws the run's pictures with the engine; settings at StageConfig's defaults are left out."""
    stages = "".join(f"        {_code(stage)},\n" for stage in request.stages)
    fields = "".join(f"    {name}={getattr(request, name)!r},\n" for name in RUN_FIELDS)
    return (
        "from imagen_core.models.opening import load_cascade\n"
        "from imagen_core.records import png\n"
        "from imagen_core.run.generate import generate\n"
        "from imagen_core.settings import Request, StageConfig\n"
        "from imagen_core.types import StageResult\n\n"
        f"request = Request(\n{fields}    stages=(\n{stages}    ),\n)\n"
        f"cascade = load_cascade({model!r})\n"
        "results = [event for event in generate(request, cascade) if isinstance(event, StageResult)]\n"
        "for index, (seed, image) in enumerate(zip(request.seeds, results[-1].image)):\n"
        f"    png.save(image, f{out!r}, request, index, weights=cascade.digest)\n"
    )


def _code(stage: StageConfig) -> str:
    values = {f.name: (getattr(stage, f.name), f.default, f.default_factory) for f in fields(stage)}
    own = {name: v for name, (v, plain, make) in values.items() if v != plain and not (make is dict and not v)}
    return f"StageConfig({', '.join(f'{name}={value!r}' for name, value in own.items())})"


def _quote(word: str) -> str:
    # cmd.exe knows only double quotes; with none of these characters inside, they work in every shell.
    plain = word.isprintable() and not set(word) & set("\"\\$`!%^&|<>'")
    return f'"{word}"' if plain and " " in word else shlex.quote(word)
