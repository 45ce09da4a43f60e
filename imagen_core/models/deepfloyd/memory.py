"""The memory that a model needs, before anything is loaded or fetched: parameters, bytes and places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files import hub
from ..cascade import Loading
from . import folder as layout
from . import safety
from .load import SMALL, check_packages, dtype_of

# The parts that are loaded, and how long they stay in memory.
STAYS = {
    "text_encoder": "while it reads a prompt",
    "unet": "from its stage's first run on",
    "vae": "while it decodes",
    "safety_checker": "from the first finished picture on",
}


def plan(sources: Sequence[str], loading: Loading) -> dict[str, Any]:
    """The memory plan of DeepFloyd IF's stages, from their descriptions and the headers of their weights.

    Sizes are those of the weights; activations need more.

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
        listed = layout.parts_of(index, source)
        own = layout.own_parts(listed, kind, frozenset().union(*held))
        held.append(listed)
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
        # A later prompt loads the text encoder again, beside the networks that stay.
        "most_at_once": _gb(resident + visitor),
        "parts": parts,
        "guard": safety.sentence(held, loading),
    }


def _weights(source: str, folder: Path, part: str, *, half: bool) -> tuple[int, int]:
    """Parameters and stored bytes of a part, fetched or not."""
    if Path(source).is_dir():
        weights = hub.weights(folder, part, layout.STEMS[part], half=half)
        return weights.parameters, weights.bytes
    return hub.remote_weights(source, part, layout.STEMS[part], half=half)


def _room(loading: Loading) -> dict[str, int]:
    """Free bytes of each place that may be used, in order of use."""
    from accelerate.utils import get_max_memory

    # GPUs have numbers. A Mac has "mps" and no "cpu", since they share the memory.
    free = {f"cuda:{place}" if isinstance(place, int) else place: size for place, size in get_max_memory().items()}
    if loading.device == "auto":
        return free
    device = "cuda:0" if loading.device == "cuda" else loading.device
    return {device: free.get(device, next(reversed(free.values())))}


def _place(size: int, left: Mapping[str, int]) -> tuple[str, dict[str, int]]:
    """Fill one place after the other, as accelerate does; the rest stays on the disk."""
    after, used = dict(left), []
    for place, free in left.items():
        taken = min(size, free)
        if taken:
            used.append((place, taken))
            after[place] -= taken
            size -= taken
    if size:
        used.append(("disk", size))
    return ", ".join(place if len(used) == 1 else f"{place} {_gb(taken)}" for place, taken in used), after


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
