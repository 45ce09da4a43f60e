"""The command line of the page: which models it has, and which option is at fault where it cannot listen."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from app import launch
from app.serving.listening import NO_PORT, refusal
from imagen_core.commands import options
from imagen_core.models import opening


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
    ("asked", "root", "others"),
    [([], "first", {"second"}), (["--model", "second"], "second", {"first"})],
)
def test_every_shipped_model_has_a_page(
    asked: list[str], root: str, others: set[str], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = shutil.copytree(tiny_folder, tmp_path / "second")
    for module in (launch, opening):
        monkeypatch.setattr(module, "MODELS", {"first": tiny_folder, "second": second})
        monkeypatch.setattr(module, "FIRST_MODEL", "first")
    monkeypatch.setattr(options, "FIRST_MODEL", "first")
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    served: list[gr.Blocks] = []
    monkeypatch.setattr(launch.Gate, "launch", lambda page, **_: served.append(page))
    launch.shipped_page.cache_clear()
    try:
        launch.main("app.py", asked)
    finally:
        launch.shipped_page.cache_clear()
    assert {slug for slug, *_ in served[0].pages if slug} == others
    assert {bar.main_page_name for bar in served[0].blocks.values() if isinstance(bar, gr.Navbar)} == {root}


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
