"""The prompt builder: pick-lists of the words that a world knows, and the prompt they make."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

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

    picks = [pick for row in world.picks for pick in row]

    def follow(text: str) -> dict[gr.Dropdown, str]:
        """As a dict: with a single list, gradio would take a sequence as the value of that list."""
        return dict(zip(lists, spoken(picks, text)))

    # On a visitor's choice only: the lists follow the prompt, which must not then be written anew.
    gr.on([item.input for item in lists], compose, lists, prompt, **QUIET)
    prompt.change(follow, prompt, lists, trigger_mode="always_last", **QUIET)


def spoken(picks: Sequence[Pick], prompt: str) -> list[str]:
    """What each list must show to say as much of a prompt as the lists can, in their order; "" where it says nothing.

    Lists that must show something keep their first phrase.
    """
    text = f" {' '.join(str(prompt).lower().split())} "

    @cache
    def best(number: int, start: int) -> tuple[int, tuple[str, ...]]:
        """The most phrases that the lists from ``number`` on can say of the text from ``start`` on, and these."""
        if number == len(picks):
            return 0, ()
        found = []
        for phrase in picks[number].phrases:
            if (at := text.find(f" {phrase} ", start)) >= 0:
                said, rest = best(number + 1, at + len(phrase) + 1)
                found.append((said + 1, (phrase, *rest)))
        # Last, because the first of equals wins: an early list rather than a later one.
        said, rest = best(number + 1, start)
        return max([*found, (said, ("", *rest))], key=lambda choice: choice[0])

    _, words = best(0, 0)
    return [word or ("" if pick.optional else pick.first) for pick, word in zip(picks, words)]


def _dropdown(pick: Pick) -> gr.Dropdown:
    choices = [("—", "")] * pick.optional + [(phrase, phrase) for phrase in pick.phrases]
    width = 110 if max(map(len, pick.phrases)) <= NARROW else 200
    return gr.Dropdown(choices, value=pick.first, label=pick.label, interactive=True, min_width=width)
