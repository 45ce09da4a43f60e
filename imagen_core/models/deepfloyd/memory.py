"""What a model will take, before anything of it is loaded or fetched: parameters, bytes, and what will sit where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files import hub
from ..cascade import Loading
from . import folder as layout
from . import safety
from .load import SMALL, check_packages, dtype_of

# Which parts are loaded, and how long they stay.
STAYS = {
    "text_encoder": "while it reads a prompt",
    "unet": "from its stage's first run on",
    "vae": "while it decodes",
    "safety_checker": "from the first finished picture on",
}


def plan(sources: Sequence[str], loading: Loading) -> dict[str, Any]:
    """The memory plan of DeepFloyd IF's stages, from their descriptions and the headers of their weights.

    Sizes are of the weights; what a network computes with comes on top.

    Raises:
        UserError: a package is missing, a source is no pipeline, damaged or out of reach.
    """
    check_packages(loading)
    dtype, room = dtype_of(loading), _room(loading)
    left, parts = dict(room), {}
    resident = visitor = 0
    held: list[frozenset[str]] = [] if loading.safety else [frozenset({"safety_checker"})]
    for source in sources:
        folder = hub.fetch(source, SMALL)
        kind, index = layout.kind_of(folder, source)
        found = layout.parts_of(index, source)
        own = layout.own_parts(found, kind, frozenset().union(*held))
        held.append(found)
        for part, stays in STAYS.items():
            if part not in own:
                continue
            parameters, stored = _weights(source, folder, part, half=dtype.itemsize == 2)
            width = 4 if part in ("vae", "safety_checker") else dtype.itemsize
            size = parameters * (1 if part == "text_encoder" and loading.eight_bit else width)
            where, after = _place(size, left)
            if stays.startswith("from"):
                left, resident = after, resident + size
            else:
                visitor = max(visitor, size)
            facts = {
                "parameters": parameters,
                "stored": _gb(stored),
                "loaded": _gb(size),
                "where": where,
                "stays": stays,
            }
            parts[f"{source}: {part}"] = facts
    return {
        "name": " + ".join(sources),
        "dtype": str(dtype).removeprefix("torch."),
        "room": {place: _gb(size) for place, size in room.items()},
        # A later prompt brings the text encoder back beside the networks that have stayed.
        "most_at_once": _gb(resident + visitor),
        "parts": parts,
        "guard": safety.sentence(held, loading),
    }


def _weights(source: str, folder: Path, part: str, *, half: bool) -> tuple[int, int]:
    """Parameters and stored bytes of a part, whose weights need not have been fetched."""
    if Path(source).is_dir():
        found = hub.weights(folder, part, layout.STEMS[part], half=half)
        return found.parameters, found.bytes
    return hub.remote_weights(source, part, layout.STEMS[part], half=half)


def _room(loading: Loading) -> dict[str, int]:
    """Free bytes of each place that may be used, in the order in which they are."""
    from accelerate.utils import get_max_memory

    # Cards have numbers; a Mac has "mps", and then no "cpu", since they share the memory.
    found = {f"cuda:{place}" if isinstance(place, int) else place: size for place, size in get_max_memory().items()}
    if loading.device == "auto":
        return found
    device = "cuda:0" if loading.device == "cuda" else loading.device
    return {device: found.get(device, next(reversed(found.values())))}


def _place(size: int, left: Mapping[str, int]) -> tuple[str, dict[str, int]]:
    """Fill one place after the other, as accelerate does; what fits nowhere waits on the disk."""
    after, said = dict(left), []
    for place, free in left.items():
        taken = min(size, free)
        if taken:
            said.append((place, taken))
            after[place] -= taken
            size -= taken
    if size:
        said.append(("disk", size))
    return ", ".join(place if len(said) == 1 else f"{place} {_gb(taken)}" for place, taken in said), after


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
