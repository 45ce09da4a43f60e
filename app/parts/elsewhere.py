"""Where a run is computed: on this server, or in the visitor's own tab, once a page for that lies beside (--tab)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from imagen_core.settings import Request
from imagen_core.settings.text import to_query
from imagen_core.types import UserError

from ..handlers import WAKING, warn

HERE, THERE = "this server", "this tab"
# What follows a # stays in the browser. Back on this page, the switch stands at this server again.
GO = f"(query) => {{ if (query) location.assign('tab/#' + query); return ['{HERE}']; }}"
# static/page/offer.js shows it where more than two people wait.
OFFER = (
    '<p class="lab-words" id="offer" hidden>Many people wait here. Your own browser can compute the same picture '
    'at once. <button type="button">Compute in this tab</button></p>'
)


@dataclass(frozen=True)
class Elsewhere:
    """The switch, and the query of the link with which the tab's page opens."""

    place: gr.Radio
    query: gr.Textbox


def lay_out() -> Elsewhere:
    """Place the switch and the offer."""
    place = gr.Radio(
        [HERE, THERE], value=HERE, label="Compute on", elem_id="place",
        info="this tab: nothing of your run reaches the server", interactive=True,
    )  # fmt: skip
    gr.HTML(OFFER, padding=False)
    return Elsewhere(place, gr.Textbox(visible="hidden", elem_id="elsewhere"))


def wire(elsewhere: Elsewhere, needed: set[Any], read: Callable[[Any], Request]) -> None:
    """Open the tab's page with the settings of the controls when the visitor chooses it."""

    def query(values: Any) -> str:
        if values[elsewhere.place] != THERE:
            return ""
        try:
            return to_query(read(values))[1:]
        except UserError as error:
            warn(str(error), "Please change this")
            return ""

    chosen = elsewhere.place.input(query, {*needed, elsewhere.place}, elsewhere.query, **WAKING)
    chosen.then(None, elsewhere.query, elsewhere.place, js=GO, api_visibility="private")
