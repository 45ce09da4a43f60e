"""The console: what is printed suits any encoding, and a reader may stop early."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

# As a shell counts a command that ends with SIGPIPE: 128 + 13.
READER_GONE = 141
P = ParamSpec("P")
T = TypeVar("T")


def for_any_console(command: Callable[P, T]) -> Callable[P, T | int]:
    """A command whose printing never fails.

    A character that the encoding lacks is printed as its code, such as ``\\u7ea2``. Where the reader has gone,
    as ``head`` has after some lines, the command ends in silence with READER_GONE.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T | int:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            try:
                return command(*args, **kwargs)
            finally:
                # Here, since an error while the interpreter goes could not be caught.
                _flush()
        except BrokenPipeError:
            _close()
            return READER_GONE

    return run


def _flush() -> None:
    # A program without a console has no streams.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _close() -> None:
    """Send what is still to be printed nowhere: the interpreter flushes once more when it goes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
