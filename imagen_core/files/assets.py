"""The shipped files: weights, recorded runs, detector and prompts."""

from __future__ import annotations

from pathlib import Path

from ..types import UserError

_PACKAGE = Path(__file__).parents[1]
# A wheel holds the files inside the package; a checkout holds them beside it.
ASSETS = _PACKAGE / "assets" if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent / "assets"


def shipped(path: Path) -> Path:
    """A file or folder below ASSETS.

    Raises:
        UserError: this installation does not have it.
    """
    if not path.exists():
        raise UserError(f"assets: {path} is missing from this installation; install imagen-lab again with its assets")
    return path
