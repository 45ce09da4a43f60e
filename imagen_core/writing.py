"""Writing to disk: whole or not at all, and refused before any work where it cannot be done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from .types import UserError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write a file to; it takes the name ``path`` at the end, and is gone if that fails."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def check_writable(path: Path, option: str = "--out") -> None:
    """Refuse a folder that could not be made or written to, before any work is done; nothing is left behind."""
    try:
        place = next((place for place in (path, *path.parents) if place.exists() or place.is_symlink()), path)
        # Opened, not guessed: rights and dangling links show up here.
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UserError(f"{option}: {str(path)!r:.80} cannot be made or written to ({error.strerror})") from error


def check_output(path: Path, suffix: str, option: str = "--out") -> None:
    """Refuse an output file that could not be written, before any work is done."""
    if path.suffix.lower() != suffix:
        raise UserError(f"{option}: must end in {suffix}, got {path.name!r:.60}")
    try:
        if not path.parent.is_dir():
            raise UserError(f"{option}: the folder {path.parent} does not exist")
        there = path.exists()
        # Opened, not guessed: rights and long names show up here.
        path.open("ab").close()
        if not there:
            # A link to what was not there stays one.
            path.resolve().unlink()
    except OSError as error:
        raise UserError(f"{option}: {str(path)!r:.80} cannot be written ({error.strerror})") from error
