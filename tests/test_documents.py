"""The documents: links that lead somewhere, a README of one sitting, and its commands as they can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from imagen_core.__main__ import build_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "assets")
    for path in folder.rglob("*.md")
    if not {".venv", "venv", "node_modules"} & set(path.parts)
]
COMMAND = re.compile(r"^(?:python -m imagen_core|imagen-lab) (.*?)(?:  +#.*)?$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted(set(DOCUMENTS)), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        place = path.parent / file if file else path
        assert place.exists(), target
        assert not anchor or anchor in anchors(place.read_text()), target


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_log_has_lines_that_fit_a_screen_and_an_index_of_all_entries() -> None:
    text = (ROOT / "docs" / "LOG.md").read_text()
    assert max(map(len, text.splitlines())) <= 120
    entries = re.findall(r"^## (.*)$", text, re.MULTILINE)
    index = re.findall(r"^- \[(.*)\]\(#", text, re.MULTILINE)
    assert entries == index


@pytest.mark.parametrize("name", ["README.md", "docs/DEEPFLOYD.md", "docs/TRAINING.md"])
def test_the_commands_of_a_document_are_understood(name: str) -> None:
    """Their verbs, options, choices and ranges; nothing is run."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    commands = [command for block in blocks for command in COMMAND.findall(block.replace("\\\n", " "))]
    assert commands
    for command in commands:
        build_parser("imagen_core").parse_args(shlex.split(command, comments=True))


@pytest.mark.parametrize("name", ["README.md", "docs/ARCHITECTURE.md"])
def test_the_python_of_a_document_is_whole(name: str) -> None:
    """Blocks that begin at the margin compile; the others are lines of a dict."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    for block in blocks:
        if not block.startswith(" "):
            compile(block, name, "exec")


def test_the_floors_name_every_folder_and_no_file_that_is_gone() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    floors = text[text.index("## Floors") : text.index("## Formats")]
    for package, block in zip(("imagen_core", "app"), re.findall(r"```\n(.*?)```", floors, re.DOTALL)):
        folders: list[str] = []
        for line in block.splitlines():
            depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
            folders = [*folders[:depth], name.rstrip("/")] if name.endswith("/") else folders[:depth]
            place = ROOT.joinpath(package, *folders, "" if name.endswith("/") else name)
            assert place.exists(), place
        rooms = {path.parent.name for path in (ROOT / package).rglob("*.py")} - {package}
        assert all(f"{room}/" in block for room in rooms), rooms
