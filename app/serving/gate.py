"""Blocks that check raw input before the handlers, and let runs wait as waiting.py says."""

from __future__ import annotations

from copy import copy
from typing import Any

import gradio as gr

from imagen_core.types import UserError

from ..handlers import no_room, refuse
from .memory import Sessions
from .tools import show
from .waiting import Waiting


class Gate(gr.Blocks):
    """Blocks that answer in one line where gradio would print a traceback, and whose runs wait one a visitor.

    Numbers out of range pass: the engine's message names setting and range. While 99.5 is typed, a slider sends 9.
    """

    @property
    def waiting(self) -> Waiting:
        """The runs that wait."""
        assert isinstance(self._queue, Waiting)
        return self._queue

    def queue(self, *args: Any, **kwargs: Any) -> Gate:
        """As ``Blocks.queue``, with :class:`Waiting`; programs cannot pass it by."""
        super().queue(*args, **{**kwargs, "api_open": False})
        self._queue = Waiting(True, self.max_threads, 1, None, self)
        return self

    @property
    def state_holder(self) -> Any:
        """The visitors, as :class:`Sessions`; gradio makes them when it launches."""
        return self._sessions

    @state_holder.setter
    def state_holder(self, sessions: Any) -> None:
        # Gradio offers no place to say which kind it makes.
        sessions.__class__ = Sessions
        self._sessions = sessions

    @property
    def mcp_server_obj(self) -> Any:
        """Gradio's MCP server, where it is on; gradio sets it when it launches."""
        return self._tools

    @mcp_server_obj.setter
    def mcp_server_obj(self, server: Any) -> None:
        self._tools = server and show(server)

    def launch(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Blocks.launch``, which writes into ``app_kwargs``: each server gets a copy."""
        return super().launch(*args, **{**kwargs, "app_kwargs": {**(kwargs.get("app_kwargs") or {})}})

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As ``Blocks.postprocess_data``.

        Raises:
            gr.Error: a file cannot be kept; without a traceback.
        """
        try:
            return await super().postprocess_data(block_fn, predictions, state)
        except Exception as error:
            # Gradio passes some errors on within one of its own.
            for reason in (error, error.__cause__):
                if isinstance(reason, OSError):
                    raise refuse(no_room(reason)) from None
            raise

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """The values as the handlers take them.

        Raises:
            gr.Error: one is missing, or its control cannot have it; without a traceback.
        """
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except Exception:
            if len(inputs) < len(block_fn.inputs):
                first = block_fn.inputs[len(inputs)]
                raise refuse(UserError(f"{first.label}: is missing, all {len(block_fn.inputs)} are needed")) from None
        values = []
        for block, value in zip(block_fn.inputs, inputs):
            alone = copy(block_fn)
            alone.inputs = [block]
            try:
                values += await super().preprocess_data(alone, [value], state, explicit_call)
            except Exception:
                known = state[block._id] if state is not None and block._id in state else block
                if not isinstance(known, gr.Slider | gr.Number):
                    raise refuse(UserError(f"{known.label}: must be {allowed(known)}")) from None
                values.append(value)
        return values


def allowed(control: Any) -> str:
    """What a control's value may be, in a few words."""
    if isinstance(control, gr.Radio | gr.Dropdown):
        return "one of " + (", ".join(f"{value}" or "nothing" for _, value in control.choices) or "nothing yet")
    return "a PNG that was dropped here" if isinstance(control, gr.File) else "text"
