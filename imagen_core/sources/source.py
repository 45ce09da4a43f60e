"""What a source is: pictures with captions, in an order that stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..types import UserError

# Names of picture files that are looked at.
SUFFIXES = frozenset(("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"))


@dataclass(frozen=True)
class Place:
    """Bytes inside a file: from ``offset`` on, ``size`` of them or all."""

    file: Path
    offset: int = 0
    size: int | None = None

    def read(self, most: int) -> bytes:
        """The bytes, at most ``most + 1`` of them."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(most + 1 if self.size is None else min(self.size, most + 1))


@dataclass(frozen=True)
class Entry:
    """One picture of a source, not yet read, and its captions. ``key`` names it in the report."""

    key: str
    captions: tuple[str, ...]
    data: Place | bytes


@dataclass(frozen=True)
class Source:
    """Where pictures come from. ``count`` is their number, None where that is not known before the end.

    ``entries(start)`` goes through them from number ``start`` on, always in the same order. ``notes`` are what was
    found on opening, for the report.
    """

    name: str
    about: str
    count: int | None
    entries: Callable[[int], Iterator[Entry]]
    notes: tuple[str, ...] = ()


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's does."""
    return name.rpartition(".")[2].lower() in SUFFIXES


def decoded(data: bytes, what: str) -> str:
    """Text in UTF-8, with or without its mark.

    Raises:
        UserError: it is in another encoding; names ``what``.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{what}: must be UTF-8, byte {error.start} is not; save it as UTF-8") from error
