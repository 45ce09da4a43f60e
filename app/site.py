"""``imagen-lab tab``: the page that computes in a browser's tab, as a folder for any static host.

The folder is an export of a cascade (imagen_core/commands/export.py) with the page around it: player, recorded runs and
lessons as in a pack, and the controls of static/tab.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagen_core.commands.export import add_arguments
from imagen_core.commands.export import run as export
from imagen_core.commands.options import Parser
from imagen_core.models.opening import world_of
from imagen_core.records.shipped import SHIPPED, STILLS, brief_runs
from imagen_core.settings import (
    CHOICES,
    FORMAT,
    KEPT_OPTIONS,
    MAX_PROMPT,
    RULES,
    SIDE_BY_SIDE,
    STAGE_FIELDS,
    Request,
    hyper_parameters,
    to_json,
)
from imagen_core.settings.text import MAX_QUERY, option_names
from imagen_core.types import UserError, in_words
from imagen_core.worlds.world import World

from . import pack
from .lessons.shelf import shelf
from .parts import examples, learning, links, player
from .parts.bundle import script

FOLDER = Path(__file__).parent / "static" / "tab"
# Scripts are the page's own files, and so is all that it fetches; the sampler is WebAssembly. The player writes style
# attributes.
POLICY = (
    "default-src 'none'; script-src 'self' file: 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self' file: 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<title>Imagen Lab in this tab</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="lab.css">
<link rel="stylesheet" href="tab.css">
</head>
<body>
<main>
<header class="tab-head"><h1>Imagen Lab</h1><p>{lead}</p></header>
<div class="tab-tabs" role="tablist">
<button type="button" role="tab" data-tab="see" aria-selected="true" aria-controls="see">See it</button>
<button type="button" role="tab" data-tab="learn" aria-selected="false" aria-controls="learn">Learn</button>
</div>
<noscript>This page computes with JavaScript, which is switched off here.</noscript>
<section id="see" role="tabpanel">{why}<div id="ask"></div><div id="player"></div><div id="side"></div></section>
<section id="learn" role="tabpanel" hidden><div id="lessons-place"></div></section>
<footer><div>{footer}</div></footer>
</main>
<script type="application/json" id="lessons">{lessons}</script>
<script src="lab.js"></script>
<script src="tab.js"></script>
</body>
</html>
"""
LEAD = "Computed in this browser tab. Nothing you write leaves it."


def main(prog: str, arguments: list[str]) -> None:
    """Parse the arguments, export the model and write the page; exit 2 with one line where that cannot be."""
    parser = Parser(prog=prog, description="A page that samples in a browser's tab, for any static host.")
    add_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        facts = export(args)
        files = list(write(args.to, world_of(args.model)))
    except (UserError, OSError) as error:
        parser.exit(2, f"{prog}: {in_words(error)}\n")
    page = sum(path.stat().st_size for path in files)
    print(f"Weights and sampler {facts['bytes'] / 1e6:.1f} MB, page and recorded runs {page / 1e6:.1f} MB.")
    print(f"Put {args.to} on any static host, or run: python -m http.server --directory {args.to}")


def write(folder: Path, world: World | None) -> Iterator[Path]:
    """Write the page into a folder that holds an export of a cascade of this world; yields each file once it is there.

    Raises:
        UserError: the folder holds no export, a lesson is damaged, or a run cannot be read.
    """
    manifest = read_manifest(folder)
    yield from pack.shared(folder, {name: _recorded(name) for name in (*SHIPPED, *STILLS, *brief_runs())})
    yield pack.save(folder / "tab.js", script(FOLDER / "main.js", "ImagenTab", given(manifest, world)))
    for name in ("tab.css", "service.js"):
        yield pack.save(folder / name, (FOLDER / name).read_text(encoding="utf-8"))
    page = PAGE.format(
        policy=POLICY, lead=html.escape(LEAD), why=player.WHY, lessons=learning.lessons(), footer=pack.sheets()
    )
    yield pack.save(folder / "index.html", page)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an export says of itself.

    Raises:
        UserError: there is none.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / "weights" / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"tab: {folder} holds no export; make one by imagen-lab tab --to {folder}") from error
    return manifest


def given(manifest: dict[str, Any], world: World | None) -> dict[str, Any]:
    """What the page's script is told: see static/tab/ask.js and static/tab/app.js."""
    sizes = [stage["size"] for stage in manifest["stages"]]
    return {
        "manifest": manifest,
        "format": FORMAT,
        "sizes": sizes,
        "fields": STAGE_FIELDS,
        "defaults": manifest["defaults"],
        "ranges": manifest["ranges"],
        "most_prompt": MAX_PROMPT,
        "choices": {name: _choices(name, offered) for name, offered in manifest["offers"].items()},
        "kept": KEPT_OPTIONS,
        "options": sorted({*option_names(), *KEPT_OPTIONS}),
        "rules": SIDE_BY_SIDE,
        "link": {"most": MAX_QUERY, "shown": links.NAMES},
        "opening": _request(replace(examples.OPENING, prompt=examples.first_prompt(world)), sizes),
        "label": examples.label(world),
        "runs": {
            name: {"title": f"{title}, w = {request.stages[0].guidance:g}", "request": _request(request, sizes)}
            for name, (title, request) in SHIPPED.items()
        },
        "attempts": {
            book.number: [_request(step.request, sizes) for step in book.steps] for book in next(iter(shelf().values()))
        },
        "words": _words(world),
    }


def _recorded(name: str) -> str:
    """The player's value of a recorded run, whose others at other weights go by their names; or stills."""
    if name in STILLS:
        return learning.recorded(name)
    return examples.view_of(name, others=examples.others_of(name)) if name in SHIPPED else examples.weighed(name)


def _request(request: Request, sizes: list[int]) -> dict[str, Any]:
    """A request as the script takes it, without stages that the model lacks."""
    data: dict[str, Any] = json.loads(to_json(request))
    return {**data, "stages": [stage for stage in data["stages"] if stage["size"] in sizes]}


def _choices(name: str, offered: list[str]) -> dict[str, Any]:
    """Title, help and options of the entries of a setting that the tab offers."""
    entries = {entry: CHOICES[name][entry] for entry in offered}
    return {
        key: {
            "title": entry.title,
            "help": entry.help,
            "options": {k: v for k, v in hyper_parameters(entry).items() if v < 1e9} if name in RULES else {},
        }
        for key, entry in entries.items()
    }


def _words(world: World | None) -> dict[str, Any]:
    if world is None or world.words is None:
        return {"known": None, "concepts": "", "scope": ""}
    concepts = " · ".join(", ".join(words[0] for words in kinds.values()) for kinds in world.concepts.values())
    return {"known": sorted(world.words), "concepts": concepts, "scope": world.scope}
