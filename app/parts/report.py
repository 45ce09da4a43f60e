"""The stand-alone report: one HTML file with players and their recordings inside, which opens from disk, offline."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagen_core.models.opening import FIRST_MODEL
from imagen_core.records import recording
from imagen_core.records.recording import Recording
from imagen_core.settings import DEFAULTS, Request, StageConfig

from . import player, reproduce

# Forbids everything but what is inside the file: a report cannot ask the network for anything.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
STYLE = """
body { margin: 0; background: var(--lab-paper); color: var(--lab-ink); font-family: system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 1.2rem 1.2rem 3rem; }
h1 { font-size: 1.35rem; letter-spacing: -.01em; margin: 0 0 .6rem; }
.pl { margin-top: .9rem; }
section + section { margin-top: 3.5rem; border-top: 1px solid var(--lab-line); }
section > h2 { font-size: 1.15rem; margin: 1.2rem 0 .4rem; }
h3.again { font-size: 1rem; margin: 2rem 0 .4rem; }
pre { background: var(--lab-wash); border-radius: 8px; padding: .8rem 1rem; font-size: .82rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{why}
<noscript>This report plays recorded runs with JavaScript, which is switched off here.</noscript>
{sections}
</main>
<script>{script}</script>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();
for (const section of document.querySelectorAll("section")) {{
  const text = section.querySelector("[type='application/json']").textContent;
  ImagenPlayer.mount(section.querySelector(".player"), () => text, () => {{}});
}}
</script>
</body>
</html>
"""
SECTION = """<section>
<h2>{heading}</h2>
<div class="player"></div>
<h3 class="again">The same pictures again</h3>
<pre>{commands}</pre>
<pre>weights {weights}
settings under {first}, from which those of the other rules differ in the rule alone:
{settings}</pre>
<script type="application/json">{recording}</script>
</section>"""
# How much of a prompt stands in the name of its report.
NAME_LETTERS = 32


def name_of(run: Recording) -> str:
    """The name that a report of the run is downloaded by: its prompt, w and seed, and a mark of all its settings."""
    request = _request_of(run)
    words = re.findall(r"[a-z0-9]+", request.prompt.lower())
    prompt = "-".join(words)[:NAME_LETTERS].strip("-") or "run"
    mark = hashlib.sha256(json.dumps(run.header["request"], sort_keys=True).encode()).hexdigest()[:6]
    return f"imagen-lab-{prompt}-w{request.stages[0].guidance:g}-seed{request.seed}-{mark}.html"


def save(
    run: Recording, folder: Path, model: str = FIRST_MODEL, defaults: Mapping[int, StageConfig] = DEFAULTS
) -> Path:
    """:func:`page` of one run as a file in ``folder``, under its :func:`name_of`."""
    path = folder / name_of(run)
    path.write_text(page([run], model, defaults), encoding="utf-8")
    return path


def page(runs: Sequence[Recording], model: str = FIRST_MODEL, defaults: Mapping[int, StageConfig] = DEFAULTS) -> str:
    """Recordings as one self-contained HTML document; everything a person typed is escaped.

    ``defaults`` are the model's own, which its command line need not name.
    """
    what = _request_of(runs[0]).prompt if len(runs) == 1 else f"{len(runs)} runs"
    return PAGE.format(
        policy=POLICY,
        title=f"Imagen Lab: {html.escape(what)}",
        style=player.COLOURS + player.STYLE.read_text(encoding="utf-8") + STYLE,
        why=player.WHY,
        sections="\n".join(_section(run, model, defaults) for run in runs),
        script=player.SCRIPT,
    )


def _section(run: Recording, model: str, defaults: Mapping[int, StageConfig]) -> str:
    requests = recording.requests(run)
    first = _request_of(run)
    commands = [reproduce.command_line(one, model, defaults, f"{label}.png") for label, one in requests.items()]
    return SECTION.format(
        heading=html.escape(f"{first.prompt}, w = {first.stages[0].guidance:g}, seed {first.seed}"),
        commands=html.escape("\n".join(commands)),
        weights=html.escape(run.header["weights"]),
        first=html.escape(next(iter(requests))),
        settings=html.escape(json.dumps(run.header["request"], indent=1, ensure_ascii=False)),
        recording=player.recorded(run),
    )


def _request_of(run: Recording) -> Request:
    return next(iter(recording.requests(run).values()))
