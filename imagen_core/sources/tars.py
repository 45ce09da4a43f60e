"""WebDataset: tar shards in which files of one stem belong together, ``000.jpg`` and ``000.txt``."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from ..types import UserError
from .source import Entry, Place, Source, decoded, is_picture

# Texts beside pictures are read up to this many bytes.
LONGEST = 1_000_000
TEXTS = ("txt", "caption", "json")


def open_tars(files: Sequence[Path], caption_column: str | None) -> Source:
    """The pictures of tar shards.

    Raises:
        UserError: a file is not a whole tar, is compressed, or none holds a picture with a caption.
    """
    # Headers alone are read to the end before any work, so that a damaged tar is found now.
    pictures, others = 0, 0
    for file in files:
        for members in _groups(file):
            pictures += any(is_picture(m.name) for m in members)
            others += sum(not m.isreg() for m in members)
    if not pictures:
        raise UserError(f"data: {files[0]} and its {len(files) - 1} neighbours hold no picture")
    notes = (f"{others} links or devices in the tars were left out",) if others else ()

    def entries(start: int) -> Iterator[Entry]:
        found = ((file, members) for file in files for members in _groups(file))
        held = ((file, members) for file, members in found if any(is_picture(m.name) for m in members))
        for file, members in islice(held, start, None):
            yield _entry(file, members, caption_column)

    return Source(files[0].stem, f"WebDataset of {len(files)} tars", pictures, entries, notes)


def _groups(file: Path) -> Iterator[list[tarfile.TarInfo]]:
    """The members of a tar that belong together; a link or device stands alone, without a picture's name."""
    try:
        with tarfile.open(file, "r:") as tar:
            for _, members in groupby(_members(tar), key=lambda member: _stem(member.name)):
                yield list(members)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"data: {file} is not a whole, uncompressed tar ({error or type(error).__name__})") from error


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        # TarFile keeps all members that it has met; a long tar would fill the memory.
        tar.members = []  # type: ignore[attr-defined]
        if member.isdir():
            continue
        if not member.isreg():
            member.name = "link"
        yield member


def _stem(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.split('.')[0]}"


def _entry(file: Path, members: Sequence[tarfile.TarInfo], caption_column: str | None) -> Entry:
    picture = next(m for m in members if is_picture(m.name))
    by_suffix = {m.name.rpartition(".")[2].lower(): m for m in reversed(members) if m.isreg()}
    captions: tuple[str, ...] = ()
    for suffix in ("json", *TEXTS) if caption_column else TEXTS:
        if not captions and suffix in by_suffix:
            captions = _captions(_place(file, by_suffix[suffix]), suffix, caption_column)
    return Entry(f"{file.name}:{picture.name}", captions, _place(file, picture))


def _place(file: Path, member: tarfile.TarInfo) -> Place:
    return Place(file, member.offset_data, member.size)


def _captions(place: Place, suffix: str, column: str | None) -> tuple[str, ...]:
    """Each line of a text, or a JSON object's caption; none where it cannot be read."""
    try:
        text = decoded(place.read(LONGEST), str(place.file))
        if suffix != "json":
            return tuple(text.splitlines())
        facts = json.loads(text)
        found = next(
            facts[name] for name in ((column,) if column else ("caption", "captions", "text")) if name in facts
        )
    except (UserError, ValueError, TypeError, RecursionError, StopIteration):
        return ()
    found = found if isinstance(found, list) else [found]
    return tuple(text for text in found if isinstance(text, str))
