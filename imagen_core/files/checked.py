"""Files under their sha256: read only if they lie inside their folder and have the recorded digest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..types import UserError
from . import hub
from .digests import agrees


def read_tensors(folder: Path, files: Sequence[str], digests: dict[str, str]) -> dict[str, Tensor]:
    """The tensors of safetensors files inside ``folder``, as float32, each file checked against its sha256.

    Raises:
        UserError: a file is missing, altered, truncated or outside the folder; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= {key: value.float() for key, value in load(read_checked(folder, file, digests)).items()}
        except SafetensorError as error:
            raise UserError(f"model: {folder / file} is not a whole safetensors file") from error
    return weights


def read_checked(folder: Path, file: str, digests: dict[str, str]) -> bytes:
    """The bytes of a file that lies inside the folder and has the recorded digest.

    Raises:
        UserError: it is missing, outside the folder, or has another digest.
    """
    path = hub.inside(folder, file)
    data = path.read_bytes()
    if not agrees(file, data, digests.get(file)):
        raise UserError(f"model: {path} was altered (its sha256 is not the one on record)")
    return data
