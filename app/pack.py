"""``imagen-lab pack``: lessons, player and recorded runs as static files, which open from disk and on any host."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from imagen_core.commands.options import Parser
from imagen_core.files.writing import check_writable, holds_files, written_whole
from imagen_core.records.shipped import SHIPPED, STILLS
from imagen_core.types import UserError, in_words

from .lessons.lesson import Lesson
from .lessons.shelf import LANGUAGES, shelf
from .parts import learning, player
from .parts.bundle import script

SCRIPT = script(Path(__file__).parent / "static" / "pack" / "main.js", "ImagenPack")
# Nothing but the pack's own files: a page cannot ask the network for anything.
POLICY = (
    "default-src 'none'; script-src 'self' file: 'unsafe-inline'; style-src 'self' file: 'unsafe-inline'; "
    "img-src data: blob:"
)
PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<link rel="stylesheet" href="lab.css">
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
STYLE = """
body { margin: 0; background: var(--lab-paper); color: var(--lab-ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 1.2rem 1.2rem 3rem; }
main > h1 { font-size: 1.5rem; letter-spacing: -.02em; margin: 0 0 .8rem; }
main a { color: var(--lab-accent); }
footer { margin-top: 2.5rem; font-size: .88rem; color: var(--lab-soft); display: grid; gap: .4rem; }
pre { background: var(--lab-wash); border-radius: 8px; padding: .8rem 1rem; white-space: pre-wrap; }
.sheet li { break-inside: avoid; margin-bottom: 1rem; }
.sheet li li { margin-bottom: .2rem; }
.sheet ul { list-style: "☐  "; }
.sheet section { break-before: page; }
@media print { .screen { display: none; } main { padding: 0; max-width: none; } }
"""
LEARN = """
ImagenLearn.mount(
  document.getElementById("learn"),
  document.getElementById("lessons").textContent,
  { kit: ImagenPlayer, load: ImagenPack.load, attempt: null },
);
"""
PLAY = """
const asked = new URLSearchParams(location.search);
const runs = [...document.querySelectorAll("[data-run]")].map((link) => link.dataset.run);
const run = runs.includes(asked.get("run")) ? asked.get("run") : runs[0];
ImagenPack.opened(run, asked).then((text) => {
  ImagenPlayer.mount(document.getElementById("player"), () => text, () => {});
});
"""
EMBED = '<iframe src="{address}" width="100%" height="720" style="border:0" title="Imagen Lab"></iframe>'


def main(prog: str, arguments: list[str]) -> None:
    """Parse the arguments and write the pack; exit 2 with one line where that cannot be."""
    parser = Parser(prog=prog, description="Lessons, player and recorded runs as static files for a class.")
    parser.add_argument("--to", type=Path, required=True, help="folder to write to; a new one, or an earlier pack")
    args = parser.parse_args(arguments)
    try:
        files = list(write(args.to))
    except (UserError, OSError) as error:
        parser.exit(2, f"{prog}: {in_words(error)}\n")
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files, {size / 1e6:.1f} MB. Open {args.to / 'index.html'}")


def write(folder: Path) -> Iterator[Path]:
    """Write the pack's files into a folder; yields each once it is there.

    Raises:
        UserError: the folder holds something else, a lesson is damaged, or a run cannot be read.
    """
    if holds_something_else(folder, "lab.js"):
        raise UserError(f"--to: {folder} holds something else; name a new folder")
    shelf()
    check_writable(folder, "--to")
    yield from shared(folder, {name: learning.recorded(name) for name in (*SHIPPED, *STILLS)})
    yield save(folder / "index.html", _page("Imagen Lab", _lessons(), LEARN))
    yield save(folder / "play.html", _page("Imagen Lab: recorded runs", _player(), PLAY))


def holds_something_else(folder: Path, own: str) -> bool:
    """Whether files could be overwritten that are not ours: the place is taken, and ``own`` is not in it."""
    taken = holds_files(folder) and not (folder / own).is_file()
    return taken or (folder.exists() and not folder.is_dir())


def shared(folder: Path, runs: Mapping[str, str]) -> Iterator[Path]:
    """Write what all static pages are made of: recorded runs, player, lessons, colours and printed questions.

    ``runs`` has the player's value of each recorded run.

    Raises:
        UserError: a lesson is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # First, because it marks the folder as ours: writing goes on here if it is killed.
    yield save(folder / "lab.js", player.SCRIPT + learning.SCRIPT + SCRIPT)
    (folder / "runs").mkdir(exist_ok=True)
    for name, value in runs.items():
        # JSON twice: the first is what the player reads, the second a string of JavaScript.
        text = f"window.ImagenRuns[{json.dumps(name)}] = {json.dumps(value)};\n"
        yield save(folder / "runs" / f"{name}.js", text)
    styles = (player.STYLE, learning.STYLE)
    yield save(folder / "lab.css", player.COLOURS + "".join(path.read_text("utf-8") for path in styles) + STYLE)
    for language, lessons in shelf().items():
        yield save(
            folder / f"sheet-{language}.html", _page(SHEETS[language][0], _sheet(lessons, language), "", language)
        )


def save(path: Path, text: str) -> Path:
    """Write a text file whole or not at all; returns its path."""
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
    return path


def _page(title: str, body: str, script: str, language: str = "en") -> str:
    scripts = f'<script src="lab.js"></script>\n<script>{script}</script>' if script else ""
    return PAGE.format(language=language, policy=POLICY, title=title, body=f"{body}\n{scripts}")


def _lessons() -> str:
    embed = html.escape(EMBED.format(address="https://YOUR.HOST/FOLDER/index.html?lesson=3&step=2"))
    return f"""<h1>Imagen Lab</h1>
<div id="learn"></div>
<noscript>These lessons need JavaScript, which is switched off here.</noscript>
<footer><div><a href="play.html">All recorded runs</a> · {sheets()}</div>
<details><summary>Put a lesson into another page</summary><pre>{embed}</pre></details></footer>
<script type="application/json" id="lessons">{learning.lessons()}</script>"""


def sheets() -> str:
    """Links to the printed questions in each language."""
    return " · ".join(f'<a href="sheet-{code}.html">{SHEETS[code][0]} ({name})</a>' for code, name in LANGUAGES.items())


def _player() -> str:
    links = " · ".join(
        f'<a href="?run={name}" data-run="{name}">{html.escape(title)}</a>' for name, (title, _) in SHIPPED.items()
    )
    ways = f'<p><a href="index.html">Lessons</a> · {links}</p>'
    return f'<h1>Recorded runs</h1>\n{player.WHY}\n{ways}\n<div id="player"></div>'


# The title of the sheet, and that of its answers.
SHEETS = {"en": ("Questions", "Answers"), "de": ("Fragen", "Antworten")}


def _sheet(lessons: Iterable[Lesson], language: str) -> str:
    """The questions of all lessons, and on a page of their own the answers."""
    title, answers = SHEETS[language]
    asked, told = [], []
    for lesson in lessons:
        head = f"<h2>{lesson.number}. {html.escape(lesson.title)}</h2>"
        questions = "".join(
            f"<li>{_text([*step.predict, step.show.formula])}<ul>{_items(step.answers)}</ul></li>"
            for step in lesson.steps
        )
        solutions = "".join(
            f"<li><b>{_text([step.answers[step.right]])}</b><br>{_text(step.reveal)}</li>" for step in lesson.steps
        )
        asked.append(f"{head}<ol>{questions}</ol>")
        told.append(f"{head}<ol>{solutions}</ol>")
    return (
        f'<div class="sheet"><h1>Imagen Lab: {title}</h1>{"".join(asked)}'
        f"<section><h1>{answers}</h1>{''.join(told)}</section></div>"
    )


def _items(texts: Iterable[str]) -> str:
    return "".join(f"<li>{_text([text])}</li>" for text in texts)


def _text(paragraphs: Iterable[str]) -> str:
    """Paragraphs as escaped HTML, without marks of emphasis."""
    return "<br>".join(html.escape(text).replace("*", "") for text in paragraphs if text)
