"""A page that cannot listen says which option is at fault."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import gradio as gr
import pytest

from app import launch
from app.serving.listening import NO_PORT, refusal


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_names_the_option(taken: int, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """What gradio raises, on a page of no parts: its message names parameters of gradio's own."""
    with gr.Blocks() as empty:
        pass
    monkeypatch.setattr(launch, "shipped_page", lambda *_: launch.ShippedPage((launch.Model("tabletop"),), empty))
    # The tests' own handlers stay.
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        launch.main("app.py", ["--port", str(taken)])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        f"app.py: argument --port: {taken} is in use or not allowed; choose another, or leave it out\n"
    )


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        (None, None, "argument --port: no port is free"),
        ("127.0.0.1", 80, "argument --port: 80 is in use"),
        ("192.0.2.1", 7860, "argument --host: '192.0.2.1' is no address of this machine"),
        ("[::gg]", None, "argument --host: '[::gg]' is no address"),
    ],
)
def test_the_option_at_fault_is_named(host: str | None, port: int | None, says: str) -> None:
    assert refusal(OSError(f"{NO_PORT} in range: 1-2. `server_port`"), host, port).startswith(says)


def test_other_errors_are_one_line() -> None:
    assert refusal(OSError("a\nb"), None, None) == "a b" and refusal(OSError(), None, None) == "OSError"
