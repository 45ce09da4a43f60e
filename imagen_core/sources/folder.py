"""A folder of pictures: captions in a table, in .txt files beside them, or in the folders' names."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from ..types import UserError
from .source import Entry, Place, Source, decoded, is_picture

# A folder's table of captions; metadata.* are the names of the hub's picture folders.
TABLES = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")
# Columns that are looked for, the first one wins.
PICTURE_COLUMNS = ("file", "file_name", "filename", "image", "path")
CAPTION_COLUMNS = ("caption", "captions", "text", "description")
# A longer field of a table, or a longer .txt file, is refused; captions are cut far below it.
LONGEST = 1_000_000


def open_folder(folder: Path, image_column: str | None, caption_column: str | None) -> Source:
    """The pictures of a folder.

    Raises:
        UserError: it has no pictures or no captions, or its table is damaged; names the line.
    """
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is not None:
        return _open_table(folder, table, (image_column, caption_column))
    if image_column or caption_column:
        raise UserError(f"--image-column: {folder} has no {' and no '.join(TABLES)}, so no columns")
    pictures = beside = named = 0
    for path in _pictures(folder):
        pictures += 1
        beside += path.with_suffix(".txt").is_file()
        named += path.parent != folder
    if not pictures:
        raise UserError(f"data: {folder} has no pictures; they must end in .png, .jpg, .webp, .gif, .bmp or .tif")
    if not beside and not named:
        raise UserError(
            f"data: {folder} has pictures without captions; add captions.csv (columns file, caption), a .txt file "
            "beside each picture, or a folder for each caption"
        )
    kind = "a .txt file beside each picture" if beside else "the name of each picture's folder"
    missing = pictures - (beside or named)
    notes = (f"{missing} pictures have no caption",) if missing else ()

    def entries(start: int) -> Iterator[Entry]:
        for path in islice(_pictures(folder), start, None):
            captions = _beside(path) if beside else _named(path, folder)
            yield Entry(path.relative_to(folder).as_posix(), captions, Place(path))

    return Source(folder.resolve().name, f"pictures of a folder; captions: {kind}", pictures, entries, notes)


def _pictures(folder: Path) -> Iterator[Path]:
    """All pictures below a folder in order of their names; links are not followed."""
    for place, inner, files in os.walk(folder):
        inner.sort()
        for name in sorted(files):
            path = Path(place, name)
            if is_picture(name) and not path.is_symlink():
                yield path


def _beside(path: Path) -> tuple[str, ...]:
    """Each line of the .txt file beside a picture; no caption where it is missing or not UTF-8."""
    text = path.with_suffix(".txt")
    try:
        return tuple(decoded(Place(text).read(LONGEST), str(text)).splitlines())
    except (OSError, UserError):
        return ()


def _named(path: Path, folder: Path) -> tuple[str, ...]:
    return () if path.parent == folder else (path.parent.name.replace("_", " ").replace("-", " "),)


def _open_table(folder: Path, table: Path, columns: tuple[str | None, str | None]) -> Source:
    # Read once to the end before any work, so that a damaged line is found now.
    pictures = missing = 0
    for file, _ in groupby(_checked(folder, table, columns), key=lambda pair: pair[0]):
        found = (folder / file).is_file()
        pictures, missing = pictures + found, missing + (not found)
    if not pictures:
        raise UserError(f"data: {table} names no picture that is in {folder}")
    notes = (f"{missing} pictures of {table.name} are not there",) if missing else ()

    def entries(start: int) -> Iterator[Entry]:
        present = (pair for pair in _checked(folder, table, columns) if (folder / pair[0]).is_file())
        for file, pairs in islice(groupby(present, key=lambda pair: pair[0]), start, None):
            captions = tuple(caption for _, found in pairs for caption in found)
            yield Entry(file, captions, Place(folder / file))

    return Source(folder.resolve().name, f"pictures of a folder; captions: {table.name}", pictures, entries, notes)


def _checked(folder: Path, table: Path, columns: tuple[str | None, str | None]) -> Iterator[tuple[str, list[str]]]:
    """(picture's file, its captions) of each row of a table."""
    root = folder.resolve()
    with closing(_rows(table)) as rows:
        for number, row in rows:
            image, caption = (
                _column(row, asked, usual, option, f"{table}, line {number}")
                for asked, usual, option in zip(
                    columns, (PICTURE_COLUMNS, CAPTION_COLUMNS), ("--image-column", "--caption-column")
                )
            )
            file, texts = row[image], row[caption]
            texts = texts if isinstance(texts, list) else [texts]
            if not isinstance(file, str) or not file or not all(isinstance(text, str) for text in texts):
                raise UserError(f"data: {table}, line {number}: {image} and {caption} must be text")
            if not _within(root, file):
                raise UserError(f"data: {table}, line {number}: {file!r:.80} leads out of {folder}")
            yield file, texts


def _within(root: Path, file: str) -> bool:
    try:
        return (root / file).resolve().is_relative_to(root)
    except (OSError, ValueError, RuntimeError):
        return False


def _rows(table: Path) -> Generator[tuple[int, Mapping[str, Any]], None, None]:
    """The rows of a table with their line numbers."""
    csv.field_size_limit(LONGEST)
    with table.open("rb") as file:
        lines = (decoded(line, f"data: {table}, line {n}") for n, line in enumerate(file, 1))
        if table.suffix == ".csv":
            reader = csv.DictReader(lines)
            try:
                for row in reader:
                    yield reader.line_num, row
            except csv.Error as error:
                raise UserError(f"data: {table}, line {reader.line_num}: {error}") from error
            return
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise UserError(f"data: {table}, line {number}: is not a JSON object")
            yield number, found


def _column(row: Mapping[str, Any], asked: str | None, usual: tuple[str, ...], option: str, where: str) -> str:
    """The name of the column that is asked for, or of the first usual one."""
    name = asked if asked is not None else next((name for name in usual if name in row), None)
    if name is None or name not in row:
        have = ", ".join(str(key) for key in row)
        wanted = repr(asked) if asked is not None else " or ".join(usual)
        raise UserError(f"{option}: {where} has no column {wanted}; it has {have:.200}")
    return name
