"""Writing to disk: files are written whole or not at all, and bad places are refused before any work."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import get_native_id

from ..types import UserError

# Ends the names of what is being written; they begin with a dot.
UNFINISHED = ".part"
# No writer pauses for as long as this.
STALE_SECONDS = 3600.0


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` to write to; it replaces ``path`` at the end, and is deleted on an error.

    Where ``path`` is a link, the file it leads to is written.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    target = path.resolve()
    # Short, since a name may have at most 255 bytes; and unique to this thread.
    aside = target.with_name(f".{os.getpid()}-{get_native_id()}{UNFINISHED}")
    _clear(target.parent)
    try:
        yield aside
        aside.replace(target)
    except (OSError, RuntimeError) as error:
        # torch raises an error of its own while it closes a file that could not be written.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        # numpy does not say why a file is short.
        raise OSError(cause.errno or EIO, cause.strerror or f"cannot be written whole ({cause})", str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Delete what writers left that were killed: temporary files that nobody has written to for STALE_SECONDS."""
    for left in folder.glob(f".[0-9]*-[0-9]*{UNFINISHED}"):
        # Another program may delete it at the same time, or own it.
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()


def holds_files(folder: Path) -> bool:
    """Whether a folder is there and holds more than what writers left that were killed."""
    return folder.is_dir() and any(not (x.name.startswith(".") and x.suffix == UNFINISHED) for x in folder.iterdir())


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all, in UTF-8 with line feeds on every system.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def copy(source: Path, target: Path) -> None:
    """Copy a file whole or not at all; makes the folders of ``target``.

    Raises:
        OSError: it cannot be written; names ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as aside:
        aside.write_bytes(source.read_bytes())


def check_writable(path: Path, option: str = "--out") -> None:
    """Refuse a folder that cannot be made or written to; nothing is left behind.

    Raises:
        UserError: it cannot; the message names ``option``.
    """
    try:
        place = next((place for place in (path, *path.parents) if place.exists() or place.is_symlink()), path)
        # Opening a file shows missing rights and dangling links.
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UserError(f"{option}: {str(path)!r:.80} cannot be made or written to ({error.strerror})") from error


def check_output(path: Path, suffix: str, option: str = "--out") -> None:
    """Refuse an output file that cannot be written or has another suffix; nothing is left behind.

    Raises:
        UserError: it cannot; the message names ``option``.
    """
    if path.suffix.lower() != suffix:
        raise UserError(f"{option}: must end in {suffix}, got {path.name!r:.60}")
    try:
        if not path.parent.is_dir():
            raise UserError(f"{option}: the folder {path.parent} does not exist")
        # A temporary file is written beside it first.
        with TemporaryFile(dir=path.resolve().parent):
            pass
        there = path.exists()
        # Opening it shows missing rights and too long names.
        path.open("ab").close()
        if not there:
            # A dangling link stays one.
            path.resolve().unlink()
    except OSError as error:
        raise UserError(f"{option}: {str(path)!r:.80} cannot be written ({error.strerror})") from error
