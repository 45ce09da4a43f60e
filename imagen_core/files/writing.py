"""Writing to disk: whole or not at all, and refused before any work where it cannot be done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import get_native_id

from ..types import UserError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write a file to; it takes the name ``path`` at the end, and is gone if that fails.

    A link stays one: what it leads to is written.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    target = path.resolve()
    # Short, since a name may have but 255 bytes, and one of this thread alone.
    aside = target.with_name(f".{os.getpid()}-{get_native_id()}.part")
    try:
        yield aside
        aside.replace(target)
    except OSError as error:
        raise OSError(error.errno or EIO, error.strerror or str(error), str(path)) from error
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
        # Files are written aside first.
        with TemporaryFile(dir=path.resolve().parent):
            pass
        there = path.exists()
        # Opened, not guessed: rights and long names show up here.
        path.open("ab").close()
        if not there:
            # A link to what was not there stays one.
            path.resolve().unlink()
    except OSError as error:
        raise UserError(f"{option}: {str(path)!r:.80} cannot be written ({error.strerror})") from error
