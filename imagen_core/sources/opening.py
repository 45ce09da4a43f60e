"""Opens what ``data`` names: a folder, tar shards, a saved data set, or a hub's data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..files.hub import is_hub_id
from ..types import UserError
from . import tables
from .folder import open_folder
from .source import Source
from .tars import open_tars

# Files by which `datasets` marks what it saved.
SAVED = ("dataset_info.json", "dataset_dict.json")


@dataclass(frozen=True)
class Options:
    """How a source is read; None takes the usual column."""

    split: str = "train"
    image_column: str | None = None
    caption_column: str | None = None


def open_source(name: str, options: Options) -> Source:
    """The pictures that ``name`` stands for; what is there on disk comes before a hub's name.

    Raises:
        UserError: there is nothing, or nothing that can be read.
    """
    place = Path(name)
    columns = (options.image_column, options.caption_column)
    if place.is_file():
        if place.suffix != ".tar":
            raise UserError(f"data: {name!r:.120} must be a folder, a .tar file or a hub's data set")
        return open_tars([place], options.caption_column)
    if place.is_dir():
        if any((place / file).is_file() for file in SAVED):
            return tables.open_saved(place, options.split, *columns)
        if tars := sorted(file for file in place.glob("*.tar") if file.is_file()):
            return open_tars(tars, options.caption_column)
        return open_folder(place, *columns)
    if not is_hub_id(name):
        raise UserError(f"data: {name!r:.120} is neither there nor a hub's data set (owner/name)")
    return tables.open_streamed(name, options.split, *columns)
