"""From a source to a folder of squares: in parallel, in parts that are written whole, resumable at any part.

```
plan.json                what was asked; a folder of another plan is refused
parts/0000.npy           uint8 [n, 3, side, side]: the pictures that were kept of PART entries
parts/0000.jsonl         one line of counts, then one a picture: key, captions, sha256 of its pixels
train.npy, held.npy      int32 [n, 2]: part and row of each picture to learn from, and of each held back
words.json               how often the captions to learn from use each word
data.json                the facts, written last; what `train --data` opens
```
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
from tqdm import tqdm

from ..files.arrays import open_array
from ..files.writing import holds_files, write_text, written_whole
from ..processes import pool
from ..types import UserError
from .captions import cleaned
from .pictures import MOST_BYTES, squared
from .source import Entry, Place, Source

FORMAT = 1
# Entries of a source that one process works through at a time.
PART = 500
# Fewer pictures cannot be divided into some to learn from and some to hold back.
FEWEST = 2


@dataclass(frozen=True)
class Plan:
    """What is asked of a preparation: the ``source`` as it was typed, the side of the squares, and at most how many.

    ``most`` 0 takes all.
    """

    source: str
    split: str
    side: int
    most: int = 0
    format: int = FORMAT


@dataclass(frozen=True)
class Kept:
    """One picture that was kept: where it lies, and its line."""

    part: int
    row: int
    key: str
    captions: tuple[str, ...]
    digest: str


def prepare(source: Source, plan: Plan, folder: Path, workers: int) -> None:
    """Fill ``folder/parts``; what is there already of the same plan is kept.

    Raises:
        UserError: the folder holds another plan, or the disk has too little room.
        OSError: the disk became full; the parts so far stay, and the same command goes on.
    """
    _check_plan(plan, folder)
    total = None if source.count is None else min(source.count, plan.most or source.count)
    parts = folder / "parts"
    done = sum(1 for _ in parts.glob("*.jsonl")) if parts.is_dir() else 0
    # Parts are begun in order but may end in another; the first gap is where to go on.
    done = next((n for n in range(done) if not (parts / f"{n:04d}.jsonl").exists()), done)
    if total is not None:
        _check_room(folder, (total - done * PART) * 3 * plan.side**2)
    parts.mkdir(parents=True, exist_ok=True)
    entries = islice(source.entries(done * PART), None if not plan.most else max(0, plan.most - done * PART))
    numbers = iter(range(done, 1_000_000))
    with (
        pool(workers) as processes,
        tqdm(total=total, initial=min(done * PART, total or 0), desc="preparing", unit="picture") as bar,
    ):
        waiting: deque[Future[int]] = deque()
        for part in _parts(entries):
            number = next(numbers)
            if not (parts / f"{number:04d}.jsonl").exists():
                waiting.append(processes.submit(_write_part, parts, number, part, plan.side))
            if len(waiting) > 2 * workers:
                bar.update(waiting.popleft().result())
        for future in waiting:
            bar.update(future.result())


def _check_plan(plan: Plan, folder: Path) -> None:
    file = folder / "plan.json"
    if not file.exists():
        if holds_files(folder):
            raise UserError(f"--to: {folder} holds other files; name a new or empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(asdict(plan), indent=1) + "\n")
        return
    try:
        before = dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"--to: {file} is damaged; name a new folder") from error
    for name, value in asdict(plan).items():
        if before.get(name) != value:
            raise UserError(
                f"--to: {folder} was begun with {name} {before.get(name)!r:.120}, not {value!r:.120}; name a new folder"
            )


def _check_room(folder: Path, needed: int) -> None:
    free = disk_usage(next(place for place in (folder, *folder.resolve().parents) if place.exists())).free
    if needed > free:
        raise UserError(
            f"--to: needs {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free; use --most or --side"
        )


def _parts(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while part := list(islice(entries, PART)):
        yield part


def _write_part(parts: Path, number: int, entries: list[Entry], side: int) -> int:
    """Decode, check and write one part; returns how many entries it had."""
    counts: Counter[str] = Counter()
    left_out, lines, pixels = [], [], []
    for entry in entries:
        captions, cut = cleaned(entry.captions)
        found = squared(_read(entry.data), side) if captions else "no caption"
        if isinstance(found, str):
            counts[found] += 1
            left_out.append((entry.key[:200], found))
            continue
        counts.update((*found.kinds, *(("long caption",) if cut else ())))
        digest = hashlib.sha256(found.pixels.tobytes()).hexdigest()
        lines.append(json.dumps({"key": entry.key, "captions": captions, "digest": digest}, ensure_ascii=False))
        pixels.append(found.pixels)
    squares = np.stack(pixels) if pixels else np.zeros((0, 3, side, side), np.uint8)
    with written_whole(parts / f"{number:04d}.npy") as aside, aside.open("wb") as file:
        np.save(file, squares)
    facts = {"entries": len(entries), "counts": counts, "left_out": left_out[:20]}
    write_text(parts / f"{number:04d}.jsonl", "\n".join((json.dumps(facts), *lines, "")))
    return len(entries)


def _read(data: Place | bytes) -> bytes:
    try:
        return data if isinstance(data, bytes) else data.read(MOST_BYTES)
    except OSError:
        # Counted as broken.
        return b""


def read_part(folder: Path, number: int) -> tuple[dict[str, Any], list[Kept]]:
    """The counts of a part, and its pictures.

    Raises:
        UserError: it is damaged.
    """
    file = folder / "parts" / f"{number:04d}.jsonl"
    try:
        first, *rest = file.read_bytes().splitlines()
        rows = [json.loads(line) for line in rest]
        kept = [
            Kept(number, i, str(row["key"]), tuple(map(str, row["captions"])), str(row["digest"]))
            for i, row in enumerate(rows)
        ]
        return dict(json.loads(first)), kept
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"--data: {file} is missing or damaged; delete it and run data again") from error


def read_squares(folder: Path, number: int) -> np.ndarray:
    """The pictures of a part, uint8 [n, 3, side, side], as a memory map.

    Raises:
        UserError: they are missing or damaged.
    """
    file = folder / "parts" / f"{number:04d}.npy"
    try:
        return open_array(file)
    except (OSError, ValueError) as error:
        again = "delete it and its .jsonl, and run data again"
        raise UserError(f"--data: {file} is missing or damaged; {again}") from error


def count_parts(folder: Path) -> int:
    """How many parts a folder has, from the first on."""
    return next(n for n in range(1_000_001) if not (folder / "parts" / f"{n:04d}.jsonl").exists())
