"""Data sets of the package ``datasets``: saved to disk, or streamed from a hub by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files.hub import reason
from ..types import UserError
from .folder import CAPTION_COLUMNS
from .source import Entry, Source

IMAGE_COLUMNS = ("image", "img", "picture", "jpg", "png")


def open_saved(folder: Path, split: str, image_column: str | None, caption_column: str | None) -> Source:
    """A data set that ``save_to_disk`` wrote.

    Raises:
        UserError: ``datasets`` is missing, or the folder cannot be read or has not these columns.
    """
    datasets = _datasets()
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise UserError(f"data: {folder} cannot be read as a data set ({reason(error, str(folder))})") from error
    if isinstance(found, Mapping):
        if split not in found:
            raise UserError(f"--split: {folder} has {', '.join(found)}, got {split!r:.60}")
        found = found[split]
    return _source(folder.resolve().name, f"data set on disk, {split}", found, (image_column, caption_column))


def open_streamed(name: str, split: str, image_column: str | None, caption_column: str | None) -> Source:
    """A hub's data set, streamed: nothing but what is kept stays on this disk. ``name`` may end in @revision.

    Raises:
        UserError: ``datasets`` is missing, or the hub refuses or has not these columns.
    """
    datasets = _datasets()
    repository, _, revision = name.partition("@")
    try:
        # Code of a repository never runs: datasets refuses it since version 4.
        found = datasets.load_dataset(repository, split=split, streaming=True, revision=revision or None)
    except Exception as error:
        raise UserError(f"data: {name} cannot be streamed ({reason(error, repository)})") from error
    return _source(
        repository.rpartition("/")[2], f"hub's data set {name}, {split}", found, (image_column, caption_column)
    )


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError("data: a data set needs a package that is missing: pip install datasets") from error
    datasets.disable_progress_bars()
    return datasets


def _source(name: str, about: str, found: Any, columns: tuple[str | None, str | None]) -> Source:
    datasets, names = _datasets(), list(found.column_names or ())
    image = _column(columns[0], IMAGE_COLUMNS, names, "--image-column")
    caption = _column(columns[1], CAPTION_COLUMNS, names, "--caption-column")
    # The picture's file as it is: decoding and its dangers are the workers'.
    found = found.select_columns([image, caption]).cast_column(image, datasets.Image(decode=False))
    count = len(found) if isinstance(found, datasets.Dataset) else None

    def entries(start: int) -> Iterator[Entry]:
        for number, row in enumerate(found.skip(start), start):
            texts, value = row[caption], row[image] or {}
            texts = texts if isinstance(texts, list) else [texts]
            # A path in a data set names a file of its author's machine; only bytes that came along are read.
            yield Entry(f"{number}", tuple(t for t in texts if isinstance(t, str)), value.get("bytes") or b"")

    return Source(name, about, count, entries)


def _column(asked: str | None, usual: tuple[str, ...], names: list[str], option: str) -> str:
    wanted = (asked,) if asked is not None else usual
    name = next((name for name in wanted if name in names), None)
    if name is None:
        raise UserError(f"{option}: must be one of {', '.join(names):.200}, got {' or '.join(wanted)}")
    return name
