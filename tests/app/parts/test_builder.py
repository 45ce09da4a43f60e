"""The prompt builder's lists say what a prompt says, as far as they can."""

from __future__ import annotations

import gradio as gr
import pytest

from app.parts.builder import build, spoken
from imagen_core.models.opening import world_of
from imagen_core.worlds.tabletop.tabletop import TableTop


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a large red sphere to the left of a small blue cube on grass at sunset",
         "large||red|sphere|to the left of|blue|cube|on grass|at sunset"),
        ("A big shiny purple sphere on marble at night", "|shiny|purple|sphere|to the left of||||at night"),
        ("a cone behind a green cube", "|||cone|behind|green|cube||"),
        ("", "|||sphere|to the left of||||"),
        ("<b>a dog</b>", "|||sphere|to the left of||||"),
    ],
)  # fmt: skip
def test_the_lists_follow_a_prompt(prompt: str, words: str) -> None:
    picks = [pick for row in TableTop().picks for pick in row]
    assert spoken(picks, prompt) == words.split("|")


def test_the_lists_follow_what_they_made() -> None:
    world = TableTop()
    picks = [pick for row in world.picks for pick in row]
    words = {pick.name: pick.phrases[-1] for pick in picks}
    assert spoken(picks, world.compose(words)) == list(words.values())


def test_the_only_list_of_a_world_gets_a_phrase_not_a_list_of_phrases() -> None:
    world = world_of("emoji")
    assert world is not None
    caption = world.picks[0][0].phrases[1]
    with gr.Blocks() as demo:
        prompt = gr.Textbox()
        build(world, prompt)
    followed = next(fn for fn in demo.fns.values() if fn.inputs == [prompt])
    (only,) = followed.outputs
    assert followed.fn(caption) == {only: caption} and followed.fn("a dog") == {only: ""}
