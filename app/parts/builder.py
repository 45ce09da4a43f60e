"""The prompt builder: pick-lists of what the shipped model knows, and the sentence they make."""

from __future__ import annotations

import gradio as gr

from imagen_core.worlds.tabletop import vocabulary
from imagen_core.worlds.tabletop.vocabulary import with_article


def compose(size: str, material: str, colour: str, shape: str, relation: str, colour2: str, shape2: str, floor: str,
            light: str) -> str:  # fmt: skip
    """A prompt from the builder's pick-lists; an empty second shape leaves it out."""
    parts = [with_article(" ".join(word for word in (size, material, colour, shape) if word))]
    if shape2:
        parts += [relation, with_article(" ".join(word for word in (colour2, shape2) if word))]
    return " ".join([*parts, *(phrase for phrase in (floor, light) if phrase)])


def pick_lists() -> list[gr.Dropdown]:
    """First words of every concept, with "nothing" where a part may be left out."""

    def pick(
        label: str, concepts: vocabulary.Concepts, value: str, *, optional: bool = True, width: int = 110
    ) -> gr.Dropdown:
        phrases = [phrases[0] for phrases in concepts.values()]
        choices = [("—", "")] * optional + [(phrase, phrase) for phrase in phrases]
        return gr.Dropdown(choices, value=value, label=label, interactive=True, min_width=width)

    v = vocabulary
    with gr.Row():
        first = [
            pick("Size", v.SIZES, "large"),
            pick("Material", v.MATERIALS, ""),
            pick("Colour", v.COLOURS, "red"),
            pick("Shape", v.SHAPES, "sphere", optional=False),
        ]
    with gr.Row():
        second = [
            pick("Relation", v.RELATIONS, "to the left of", optional=False, width=200),
            pick("Second colour", v.COLOURS, "blue"),
            pick("Second shape", v.SHAPES, "cube"),
        ]
    with gr.Row():
        place = [pick("Floor", v.FLOORS, "on grass", width=200), pick("Light", v.LIGHTS, "at sunset")]
    return [*first, *second, *place]
