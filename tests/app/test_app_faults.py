"""The page on a machine with faults: one line is said, and the next run works."""

from __future__ import annotations

import shutil
from pathlib import Path

import gradio as gr
import pytest
from app_page import SHORT, at_cascade, at_inspect, last, values_of

from app import handlers
from app.page import build
from app.parts import report
from app.serving.model import Model


def test_a_full_disk_is_said_in_one_line_without_a_path(tabs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "/tmp/secret")

    with monkeypatch.context() as patch:
        patch.setattr(report, "save", full)
        with pytest.raises(gr.Error, match="No space left on device") as caught:
            list(tabs.see.generate(values_of(tabs, SHORT)))
    assert not caught.value.print_exception and "secret" not in caught.value.message
    assert last(tabs.see.generate(values_of(tabs, SHORT)))[tabs.see.gallery]


def test_a_models_folder_may_go_once_it_is_loaded(tiny_folder: Path, tmp_path: Path) -> None:
    """Every tab goes on: all that a run needs is in memory."""
    from app.page import lay_out

    folder = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    model = Model(str(folder))
    model.get()
    with gr.Blocks() as demo:
        tabs = lay_out(model, demo)
    shutil.rmtree(folder)
    assert last(tabs.see.generate(values_of(tabs, SHORT)))[tabs.see.gallery]
    assert last(tabs.cascade.upscale(256, at_cascade(tabs, SHORT)))[tabs.cascade.tiles]
    assert last(tabs.inspect.look(at_inspect(tabs, SHORT)))[tabs.inspect.files]
    assert tabs.inspect.recipe(at_inspect(tabs, SHORT))[tabs.inspect.link].startswith("?")


def test_a_models_folder_that_went_before_is_said_in_one_line(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    model = Model(str(folder))
    demo = build(model)
    shutil.rmtree(folder)
    with pytest.raises(handlers.UserError, match="^model: "):
        model.get()
    assert demo.fns
