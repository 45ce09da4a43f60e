"""Views: values of the engine → HTML and PNG. Nothing here knows gradio, and all user text is escaped."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from imagen_core.models.cascade import Cascade
from imagen_core.records.png import to_pil
from imagen_core.run.experiments import level_label
from imagen_core.settings import Request, StageConfig, check_number
from imagen_core.types import UserError
from imagen_core.worlds.world import unknown_words

from ..serving.model import Model

MOST_LINES = 3


def data_uri(images) -> str:
    """One to four pictures [b, 3, h, w] as one lossless PNG in a data link, two beside each other."""
    from PIL import Image

    side, columns = images.shape[-1], min(2, len(images))
    sheet = Image.new("RGB", (columns * side, -(-len(images) // columns) * side))
    for i, image in enumerate(images):
        sheet.paste(to_pil(image), (i % columns * side, i // columns * side))
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def words_note(model: Model, prompt: Any) -> str:
    """The words of a prompt that the model never saw in training, and the words it knows.

    Empty where it knows them all, or where its world cannot say.
    """
    world = model.world
    if world is None or not isinstance(prompt, str):
        return ""
    unknown = unknown_words(world, prompt)
    if not unknown:
        return ""
    words = ", ".join(f"<b>{html.escape(word)}</b>" for word in unknown[:8])
    known = " · ".join(
        ", ".join(html.escape(phrases[0]) for phrases in concepts.values()) for concepts in world.concepts.values()
    )
    scope = f", {html.escape(world.scope)}" if world.scope else ""
    knows = f"<details><summary>What it knows</summary>It knows{scope}: {known}.</details>" if known else ""
    return f'<div class="lab-words">Never seen in training: {words}.{knows}</div>'


def message(text: str) -> str:
    """A line of plain text for the viewer."""
    return f'<p class="lab-message" role="status">{html.escape(text)}</p>'


def preview(images, caption: str) -> str:
    """The estimate of a super-resolution stage at work."""
    alt = html.escape(caption)
    return (
        f'<figure class="lab-preview"><img src="{data_uri(images)}" alt="{alt}"><figcaption>{alt}</figcaption></figure>'
    )


def note(text: str, *, wrong: bool = False) -> str:
    """A quiet line of plain text; a wrong one says what to change."""
    kind = "lab-note lab-wrong" if wrong else "lab-note"
    return f'<p class="{kind}" role="status">{html.escape(text)}</p>'


BASE_ALONE = note("This model has a base alone: it enlarges no picture.")


def counted(n: int, noun: str) -> str:
    """1 cell, 2 cells."""
    return f"{n} {noun}{'s' * (n != 1)}"


def few(lines: Sequence[str]) -> list[str]:
    """The first MOST_LINES lines and a count of the rest; an untrusted link or file may cause thousands."""
    return [*lines[:MOST_LINES], *([f"and {len(lines) - MOST_LINES} more like these"] * (len(lines) > MOST_LINES))]


def level_facts(config: StageConfig, cascade: Cascade | None = None) -> str:
    """What a super-resolution stage's aug_level does: σ and SNR of its noise, which differ from model to model."""
    level = config.aug_level or 0.0
    if cascade is None or config.size not in cascade.sizes:
        return f"aug_level {level:g}"
    return level_label(cascade.stage(config.size), level)


def aug_note(model: Model, stage: StageConfig, level: Any) -> str:
    """The same of the value of a stage's slider, or what is wrong with it."""
    try:
        check_number("aug_level", level)
    except UserError as error:
        return note(str(error), wrong=True)
    return note(level_facts(replace(stage, aug_level=level), model.get() if model.ready else None))


def elsewhere(request: Request, sizes: Sequence[int]) -> tuple[str, ...]:
    """What to say of a run whose stages have other sizes than a page's, if it is one."""
    if request.sizes == tuple(sizes)[: len(request.sizes)]:
        return ()
    made, here = (", ".join(map(str, own)) for own in (request.sizes, sizes))
    return (f"sizes: it was made at {made}; its settings are taken over for {here}",)
