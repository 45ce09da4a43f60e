"""The end of a preparation: duplicates out, pictures held back, words counted, facts written, and a look at it all."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..files.writing import write_text, written_whole
from ..types import UserError
from ..worlds.world import words
from .captions import telling
from .pictures import KINDS, LEFT_OUT
from .prepare import FEWEST, Kept, Plan, count_parts, read_part, read_squares
from .source import Source

# One picture in so many is held back, but never more than MOST_HELD.
HELD_SHARE, MOST_HELD = 50, 1000
# Words that are kept with their counts, the most frequent first, and captions that show what the data says.
MOST_WORDS, SHOWN = 50_000, 12
# Pictures along each side of the contact sheet, and the side of each.
SHEET, CELL = 8, 128


def finish(source: Source, plan: Plan, folder: Path, licence: str, called: str) -> dict[str, Any]:
    """Write train.npy, held.npy, words.json, data.json, report.md and contact.png; returns the facts of data.json.

    Memory grows by some 300 bytes a picture, mostly the digests that find duplicates.

    Raises:
        UserError: fewer than FEWEST pictures are left.
    """
    counts: Counter[str] = Counter()
    left_out: list[list[str]] = []
    seen: set[int] = set()
    # Arrays, since lists of a million numbers need ten times as much.
    places, digests = array("i"), array("Q")
    whole = hashlib.sha256()
    for number in range(count_parts(folder)):
        facts, kept = read_part(folder, number)
        counts.update(facts["counts"])
        counts["entries"] += facts["entries"]
        left_out += facts["left_out"][: 20 - len(left_out)]
        for picture in kept:
            short = int(picture.digest[:16], 16)
            if short in seen:
                counts["duplicate"] += 1
                continue
            seen.add(short)
            digests.append(short)
            places.extend((picture.part, picture.row))
            whole.update(json.dumps((picture.digest, picture.captions)).encode())
    if len(digests) < FEWEST:
        why = ", ".join(f"{n} {name}" for name, n in counts.items() if name in LEFT_OUT) or "nothing was found"
        raise UserError(f"data: must have at least {FEWEST} usable pictures, got {len(digests)} ({why})")
    index = np.array(places, np.int32).reshape(-1, 2)
    held = _write_index(folder, index, np.array(digests, np.uint64))
    facts = {
        "format": plan.format,
        "name": called or source.name,
        "source": plan.source,
        "about": source.about,
        "licence": licence,
        "side": plan.side,
        "pictures": len(index) - len(held),
        "held_back": len(held),
        "digest": whole.hexdigest(),
        "counts": dict(sorted(counts.items())),
        "notes": list(source.notes),
        "left_out": left_out,
    }
    known = _known(folder, {(int(part), int(row)) for part, row in held})
    for name, value in (("words.json", known), ("data.json", facts)):
        write_text(folder / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    _draw_sheet(folder, plan.side, index)
    write_text(folder / "report.md", "\n".join(_report(facts, known)))
    return facts


def _write_index(folder: Path, places: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Divide the pictures by their digests, so that more data holds the same ones back; returns those held back."""
    count = min(MOST_HELD, max(1, len(places) // HELD_SHARE))
    held = np.zeros(len(places), bool)
    held[np.argsort(digests, kind="stable")[:count]] = True
    for name, chosen in (("train.npy", places[~held]), ("held.npy", places[held])):
        with written_whole(folder / name) as aside, aside.open("wb") as file:
            np.save(file, chosen)
    return places[held]


def _known(folder: Path, held: set[tuple[int, int]]) -> dict[str, Any]:
    """Words of the captions to learn from with their counts, and some captions that were held back."""
    counts: Counter[str] = Counter()
    shown: list[str] = []
    captions = 0
    # Pictures that are duplicates count too: their captions say the same.
    for number in range(count_parts(folder)):
        for picture in read_part(folder, number)[1]:
            if (picture.part, picture.row) in held:
                shown += picture.captions[:1] if len(shown) < SHOWN else ()
                continue
            captions += len(picture.captions)
            # Not a set: its order changes from process to process, and decides between words that are as frequent.
            counts.update(dict.fromkeys(word for caption in picture.captions for word in words(caption)).keys())
    return {"captions": captions, "words": dict(counts.most_common(MOST_WORDS)), "examples": shown}


def _draw_sheet(folder: Path, side: int, places: np.ndarray) -> None:
    """Pictures from the whole of the data at equal distances, each with its first caption."""
    chosen = places[np.linspace(0, len(places) - 1, min(len(places), SHEET**2)).astype(int)].tolist()
    rows = -(-len(chosen) // SHEET)
    sheet = Image.new("RGB", (SHEET * CELL, rows * (CELL + 14)), "white")
    draw = ImageDraw.Draw(sheet)
    parts: dict[int, list[Kept]] = {}
    for i, (part, row) in enumerate(chosen):
        parts.setdefault(part, read_part(folder, part)[1])
        square = read_squares(folder, part)[row].transpose(1, 2, 0)
        left, top = i % SHEET * CELL, i // SHEET * (CELL + 14)
        resample = Image.Resampling.NEAREST if side < CELL else Image.Resampling.BICUBIC
        sheet.paste(Image.fromarray(np.ascontiguousarray(square)).resize((CELL, CELL), resample), (left, top))
        # The built-in font has western letters only.
        label = parts[part][row].captions[0][:20].encode("latin-1", "replace").decode("latin-1")
        draw.text((left + 2, top + CELL + 1), label, fill="black")
    with written_whole(folder / "contact.png") as aside:
        sheet.save(aside, format="PNG")


def _report(facts: dict[str, Any], known: dict[str, Any]) -> list[str]:
    counts = facts["counts"]

    def table(names: dict[str, str]) -> list[str]:
        return [f"| {counts[name]} | {name} | {about} |" for name, about in names.items() if counts.get(name)]

    frequent = ", ".join(f"{word} ({n})" for word, n in telling(known["words"], 40))
    return [
        f"# {facts['name']}", "", f"{facts['about']}. Licence: {facts['licence'] or 'not stated'}.", "",
        f"{facts['pictures']} pictures of {facts['side']} × {facts['side']} to learn from, "
        f"{facts['held_back']} held back, of {counts['entries']} looked at.", "", *facts["notes"], "",
        "| pictures | kept, but | how |", "|---|---|---|",
        *table({**KINDS, "long caption": "cut at 300 characters, or to 16 captions"}), "",
        "| pictures | left out | why |", "|---|---|---|", *table(LEFT_OUT), "",
        *(f"- `{key}`: {why}" for key, why in facts["left_out"]), "",
        f"{known['captions']} captions. Frequent words, with the number of pictures: {frequent}.", "",
        "![Pictures from the whole of the data](contact.png)", "",
    ]  # fmt: skip
