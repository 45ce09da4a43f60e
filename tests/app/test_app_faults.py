"""The page on a machine with faults: one line is said, and the next run works."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import gradio as gr
import httpx
import pytest
from app_page import SHORT, at_cascade, at_inspect, last, run_apart, values_of
from conftest import GRADIO_FILES
from full_disk import full_disk

from app import handlers
from app.page import build
from app.parts import report
from app.serving.model import Model
from app.serving.visitor import API, Layout, Visitor, layout


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


@contextmanager
def read_only_cache(folder: Path) -> Iterator[None]:
    """The place where gradio keeps what a page shows cannot be written to; a file stands where the folder was."""
    aside = folder.with_name(folder.name + "-aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


FAULTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "full": lambda: full_disk(100),
    "read-only": lambda: read_only_cache(Path(GRADIO_FILES.name)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_takes_nothing_is_said_by_the_whole_page_and_by_the_api(url: str, fault: str) -> None:
    """Each run that writes a file ends with one line that names no file. Afterwards all work."""

    async def answers(http: httpx.AsyncClient, page: Layout) -> dict[str, str | None]:
        visitor = Visitor(http, page)
        visitor.set("steps", 2)
        visitor.set("grid-rows-values", "1, 8")
        visitor.set("grid-columns-values", "static")
        called = {name: page.named(name) for name in ("sample", "compare")}
        visitor.values |= dict(zip(called["sample"]["inputs"], ("a ball", 1, 64, None, None, None, None, "steps=1")))
        visitor.values |= dict(
            zip(called["compare"]["inputs"], ("a ball", 1, "guidance", "1", "threshold", "none", "steps=1"))
        )
        found = {part: (await visitor.press(part)).error for part in ("generate", "grid-go")}
        return found | {name: (await visitor.fire(event)).error for name, event in called.items()}

    async def visit() -> tuple[dict[str, str | None], dict[str, str | None], int, int]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            page, form = await layout(http), {"files": ("x.png", b"x" * 1000, "image/png")}
            with FAULTS[fault]():
                during = await answers(http, page)
                refused = (await http.post(f"{API}/upload", files=form)).status_code
            return (
                during,
                await answers(http, page),
                refused,
                (await http.post(f"{API}/upload", files=form)).status_code,
            )

    during, after, refused, taken = run_apart(asyncio.wait_for(visit(), 120))
    assert all(said and said.startswith("disk: the server cannot keep this run's files (") for said in during.values())
    assert not any("/" in str(said) for said in during.values())
    assert set(after.values()) == {None} and (refused, taken) == (507, 200)
