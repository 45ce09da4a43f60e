"""The model card of a cascade of people's own pictures: data, licence, recipe, and what it was never shown."""

from __future__ import annotations

import json
from pathlib import Path

from ..files.writing import write_text
from ..sources.captions import telling
from ..worlds.collected.collected import Collected

# Recipe fields that a card names.
FIELDS = ("images", "steps", "batch", "lr", "network", "optimizer", "encoder", "precision")


def write_card(folder: Path, world: Collected) -> None:
    """Write README.md from the stages that lie in a cascade's ``folder``; one that a person wrote stays as it is."""
    file = folder / "README.md"
    mark = "<!-- written by imagen-lab -->"
    if file.is_file() and mark not in file.read_text(encoding="utf-8", errors="replace"):
        return
    facts = world.facts
    stages = {
        path.parent.name: json.loads(path.read_bytes())["training"] for path in sorted(folder.glob("*/config.json"))
    }
    rows = [f"| {name} | {' | '.join(str(t.get(field, '')) for field in FIELDS)} |" for name, t in stages.items()]
    words = ", ".join(f"{word} ({n})" for word, n in telling(world.counts, 40))
    lines = (
        "---", "pipeline_tag: text-to-image", "library_name: imagen-lab", "tags: [imagen, diffusion]", "---", mark,
        f"# {folder.resolve().name}", "",
        f"Trained on {facts['pictures']} pictures of {world.name}: {facts.get('about', '')}. "
        f"Licence of the pictures: {facts.get('licence') or 'not stated'}. sha256 of pictures and captions: "
        f"`{world.digest}`.", "",
        f"| stage | {' | '.join(FIELDS)} |", f"|---{'|---' * len(FIELDS)}|", *rows, "",
        f"{facts.get('held_back', 0)} pictures were held back. Words that no caption uses are unknown here. "
        f"Frequent words, with the number of pictures: {words}.", "",
        "Captions that training never showed:", "", *(f"- {prompt}" for prompt in world.prompts), "",
        "Nobody has measured these weights yet.", "",
    )  # fmt: skip
    write_text(file, "\n".join(lines))
