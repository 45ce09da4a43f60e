"""The prompt builder: pick-lists of the words that a world knows, and the prompt they make."""

from __future__ import annotations

import gradio as gr

from imagen_core.worlds.world import Pick, World

from ..handlers import QUIET

# Letters that fit into a narrow list.
NARROW = 12


def build(world: World, prompt: gr.Textbox) -> None:
    """The world's pick-lists, row by row; what is picked becomes the prompt."""
    lists = []
    for row in world.picks:
        with gr.Row():
            lists += [_dropdown(pick) for pick in row]
    names = [pick.name for row in world.picks for pick in row]

    def compose(*words: str) -> str:
        return world.compose(dict(zip(names, words)))

    gr.on([item.change for item in lists], compose, lists, prompt, **QUIET)


def _dropdown(pick: Pick) -> gr.Dropdown:
    choices = [("—", "")] * pick.optional + [(phrase, phrase) for phrase in pick.phrases]
    width = 110 if max(map(len, pick.phrases)) <= NARROW else 200
    return gr.Dropdown(choices, value=pick.first, label=pick.label, interactive=True, min_width=width)
