"""A picture of the user's own, from any file, made ready for the super-resolution stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models.cascade import Cascade
from ..settings import DEFAULT_SIZES
from ..sources.pictures import FORMATS, KINDS, LEFT_OUT, MOST_BYTES, squared
from ..types import Image, UserError
from .png import from_bytes


@dataclass(frozen=True, eq=False)
class Own:
    """A picture [1, 3, s, s] in [-1, 1], and what was done to the file's, in words."""

    image: Image
    done: str


def open_own(path: Path, side: int = DEFAULT_SIZES[0]) -> Own:
    """Read a picture of any origin as :func:`..sources.pictures.squared` does, at ``side``: the base's size.

    Raises:
        UserError: there is no such file, it is too large, or it is not a picture that can be read.
    """
    name = f"image: {path.name!r:.80}"
    try:
        # A file of terabytes is not read.
        square = "huge" if path.stat().st_size > MOST_BYTES else squared(path.read_bytes(), side)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{name} is no name of a file") from error
    if isinstance(square, str):
        formats = f" ({', '.join(FORMATS)})" if square == "broken" else ""
        raise UserError(f"{name}: {LEFT_OUT[square]}{formats}")
    done = "; ".join([*(KINDS[kind] for kind in square.kinds), f"{side} × {side} pixels of it are used"])
    return Own(from_bytes(square.pixels)[None].contiguous(), done)


def unlike(cascade: Cascade) -> str:
    """What to expect of a picture that the model has not seen the like of; empty where that is not known.

    No measure decides it: a model that was trained on a drawn world alone has seen no picture from elsewhere.
    """
    if cascade.world is None:
        return ""
    return f"{cascade.name} was trained on pictures of {cascade.world.name} alone, and enlarges others as if they were"
