"""What evaluation keeps on disk, written whole or not at all: pictures in 8 bits a value, and the weights of judges."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..files.arrays import open_array
from ..files.digests import sha256
from ..files.writing import write_text, written_whole
from ..records.png import from_bytes, to_bytes
from ..types import Image


def write_once(file: Path, shape: tuple[int, ...], make: Callable[[], Image]) -> None:
    """Write the pictures that ``make`` returns, of this ``shape``, to ``file`` (.npy), unless it is there undamaged."""
    if is_whole(file, shape):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # Opened before the work, so that a folder that cannot be written to fails at once.
    with written_whole(file) as aside, aside.open("wb") as out:
        np.save(out, to_bytes(make()))


def kept_in(file: Path, shape: tuple[int, ...], make: Callable[[], Image]) -> Image:
    """The pictures of this ``shape`` in ``file``, in [-1, 1], 8 bits; ``make`` fills in a missing or damaged file."""
    write_once(file, shape, make)
    return from_bytes(np.load(file))


def save_judge(folder: Path, file: str, network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a network that judges, in float16, as ``file`` (.safetensors), and beside it its sha256 and ``facts``."""
    from safetensors.torch import save

    half = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    data = save({name: value.contiguous() for name, value in half.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / file) as aside:
        aside.write_bytes(data)
    described = {"digests": {file: sha256(data)}, **facts}
    write_text((folder / file).with_suffix(".json"), json.dumps(described, indent=1) + "\n")


def is_whole(file: Path, shape: tuple[int, ...]) -> bool:
    """Whether ``file`` is there, undamaged, with pictures of this ``shape``."""
    try:
        values = open_array(file)
    except (OSError, ValueError):
        return False
    return values.dtype == np.uint8 and values.shape == shape
