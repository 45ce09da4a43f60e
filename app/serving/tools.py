"""What a program gets that calls the page through MCP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any


def show(server: Any) -> Any:
    """Make gradio's MCP server send each output by itself, so that a picture comes as a picture.

    Without a progress token gradio 6 hands all outputs on as one, and sends that one as text.
    """
    server.postprocess_output_data = partial(_each, server.postprocess_output_data)
    return server


def _each(send: Callable[[list[Any], str], Any], outputs: Iterable[Any], root_url: str) -> Any:
    return send(
        [one for output in outputs for one in (output if isinstance(output, list | tuple) else [output])], root_url
    )
