"""The tab Learn: lessons that ask, show and let the visitor try."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from imagen_core.types import UserError

from ..controls import Page, Updates, Values
from ..handlers import QUIET, refusals, refuse
from ..parts import learning, views


@dataclass(frozen=True)
class Learn:
    """The tab's parts, and its handlers."""

    page: Page
    lessons: gr.HTML

    def attempt(self, values: Values, event: gr.EventData) -> Updates:
        """Set the controls to what a step asks to try, and open See it; the event names lesson and step."""
        asked = event._data if isinstance(event._data, dict) else {}
        step = learning.step_at(asked.get("lesson"), asked.get("step"))
        if step is None:
            raise refuse(UserError("lesson: there is no such step"))
        with refusals():
            return self.page.show(step.request, values[self.page.controls.more])


def lay_out(page: Page) -> Learn:
    """Place the tab."""
    with gr.Tab("Learn", id="learn"):
        try:
            return Learn(page, learning.component(elem_id="learn"))
        except UserError as error:
            # Runs that were recorded anew may contradict a lesson; the rest of the page works.
            return Learn(page, gr.HTML(views.note(str(error), wrong=True)))


def wire(learn: Learn) -> None:
    """Connect "try it" with the controls."""
    page = learn.page
    learn.lessons.submit(learn.attempt, {page.controls.more}, [*page.controls.settable, page.tabs], **QUIET)
