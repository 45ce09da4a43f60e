"""The page's functions through MCP: a picture comes as a picture, and mistakes in one line."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from app_page import call_tool
from PIL import Image

from app.page import LAUNCH, build
from app.serving.model import Model


@pytest.fixture(scope="module")
def tools(model: Model) -> Iterator[str]:
    """The address of the page's MCP server."""
    demo = build(model)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, mcp_server=True, **LAUNCH)
    yield f"{url}gradio_api/mcp/"
    demo.close()


def sizes(answer: Any) -> list[tuple[int, int]]:
    """The pictures of an answer, by their width and height."""
    data = [base64.b64decode(part.data) for part in answer.content if part.type == "image"]
    return [Image.open(io.BytesIO(one)).size for one in data]


@pytest.mark.parametrize("watched", [False, True])
def test_sample_returns_the_picture_its_address_and_its_settings(tools: str, watched: bool) -> None:
    answer = call_tool(tools, "sample", watched, prompt="a red ball", seed=3, more="steps=2")
    assert not answer.isError and sizes(answer) == [(64, 64)]
    address, facts = (part.text for part in answer.content if part.type == "text")
    assert address.startswith("Image URL: http") and address.endswith(".png")
    assert "'seed': 3" in facts and "'steps': 2" in facts


def test_a_grid_is_a_picture_too(tools: str) -> None:
    given = {"rows": "guidance", "row_values": "1, 5", "columns": "threshold", "column_values": "none"}
    answer = call_tool(tools, "compare", prompt="a red ball", more="steps=1", **given)
    assert len(sizes(answer)) == 1 and "'burnt'" in answer.content[-1].text


def test_describe_is_told_as_text(tools: str) -> None:
    (told,) = call_tool(tools, "describe", prompt="a dog").content
    assert "'unknown': ['dog']" in told.text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": " "}, "prompt: "), ({"prompt": "a ball", "guidance": 99}, "guidance: "),
        ({"prompt": "a ball", "size": 4096}, "size: "), ({"prompt": "a ball", "seed": -1}, "seed: "),
        ({"prompt": "x" * 501}, "prompt: "), ({"prompt": "a ball", "more": "guidance=99"}, "guidance: "),
        ({"prompt": "a ball", "more": "steps=9999"}, "steps: "),
    ],
)  # fmt: skip
def test_the_limits_are_those_of_the_page(tools: str, given: dict[str, Any], says: str) -> None:
    answer = call_tool(tools, "sample", **given)
    assert answer.isError and sizes(answer) == []
    (line,) = (part.text for part in answer.content)
    assert line.startswith(says) and "\n" not in line and "Traceback" not in line
