"""The stand-alone report: one HTML file with the player and a recording inside, which opens from disk, offline."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path

from imagen_core.records import recording
from imagen_core.records.recording import Recording
from imagen_core.settings import DEFAULTS, StageConfig

from . import player, reproduce

# Forbids everything but what is inside the file: a report cannot ask the network for anything.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
STYLE = """
body { margin: 0; background: var(--lab-paper); color: var(--lab-ink); font-family: system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 1.2rem 1.2rem 3rem; }
h1 { font-size: 1.35rem; letter-spacing: -.01em; margin: 0 0 .6rem; }
.pl { margin-top: .9rem; }
h2 { font-size: 1rem; margin: 2rem 0 .4rem; }
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
<noscript>This report plays a recorded run with JavaScript, which is switched off here.</noscript>
<div id="player"></div>
<h2>The same pictures again</h2>
<pre>{commands}</pre>
<pre>weights {weights}
settings under {first}, from which those of the other rules differ in the rule alone:
{settings}</pre>
</main>
<script type="application/json" id="recording">{recording}</script>
<script>{script}</script>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();
const text = document.getElementById("recording").textContent;
ImagenPlayer.mount(document.getElementById("player"), () => text, () => {{}});
</script>
</body>
</html>
"""


def save(run: Recording, folder: Path, model: str = "tabletop", defaults: Mapping[int, StageConfig] = DEFAULTS) -> Path:
    """:func:`page` as a file in ``folder``, under the name it is downloaded by."""
    path = folder / "imagen-lab-report.html"
    path.write_text(page(run, model, defaults), encoding="utf-8")
    return path


def page(run: Recording, model: str = "tabletop", defaults: Mapping[int, StageConfig] = DEFAULTS) -> str:
    """A recording as one self-contained HTML document; everything a person typed is escaped.

    ``defaults`` are the model's own, which its command line need not name.
    """
    requests = recording.requests(run)
    request = next(iter(requests.values()))
    commands = [reproduce.command_line(one, model, defaults, f"{label}.png") for label, one in requests.items()]
    return PAGE.format(
        policy=POLICY,
        title=f"Imagen Lab: {html.escape(request.prompt)}",
        style=player.COLOURS + player.STYLE.read_text(encoding="utf-8") + STYLE,
        why=player.WHY,
        commands=html.escape("\n".join(commands)),
        weights=html.escape(run.header["weights"]),
        first=html.escape(next(iter(requests))),
        settings=html.escape(json.dumps(run.header["request"], indent=1, ensure_ascii=False)),
        recording=player.recorded(run),
        script=player.SCRIPT,
    )
