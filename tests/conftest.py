"""What the tests share: a cascade small enough to build in a second, with every part of a real one; and a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from torch import nn

from imagen_core.checkpoints import Cascade, load_cascade, save_stage, write_cascade
from imagen_core.text import minilm
from imagen_core.training.loop import STAGES
from imagen_core.unet import UNet, UNetConfig

# The first call of a torch function may take a second; that says nothing about the rule under test.
hypothesis.settings.register_profile("lab", deadline=None)
hypothesis.settings.load_profile("lab")

TINY = UNetConfig((32, 32), (1, 1), ("none", "self"), embed=32, text=32, positions=True)
CONFIGS = {
    "base": TINY,
    "sr256": replace(TINY, attention=("none", "text"), low_res=True, positions=False, detail=8),
    "sr1024": replace(TINY, attention=("none", "text"), low_res=True, positions=False, detail=8, fold=4),
}


def write_tiny(folder: Path, stages: tuple[str, ...] = ("base", "sr256", "sr1024")) -> Path:
    """A cascade of random networks in ``folder``, their zeroed layers filled so that everything matters."""
    for number, stage in enumerate(stages):
        torch.manual_seed(number)
        unet = UNet(CONFIGS[stage])
        for p in unet.parameters():
            if not p.any():
                nn.init.normal_(p, std=0.2)
        save_stage(folder, STAGES[stage], CONFIGS[stage], dict(unet.state_dict()), {"steps": 0})
    write_cascade(folder, "tiny", minilm(), world_version=1)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Cascade:
    return load_cascade(tiny_folder)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOCAL = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|file:")
# Milliseconds until a test gives up on something that should appear.
PATIENCE = 25_000


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser; tests that need one are skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Any]]:
    """``visit(address, **context)`` opens a page for a fresh visitor.

    Afterwards: no console error, and nothing asked of another machine.
    """
    contexts, errors, foreign = [], [], []

    def opened(address: str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1366, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: None if LOCAL.match(request.url) else foreign.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == [] and foreign == []


@pytest.fixture(scope="module")
def url(tiny_folder: Path) -> Iterator[str]:
    """The address of the page over the tiny cascade, the same server for all tests of a file."""
    from app.layout import LAUNCH, build
    from app.models import Model

    demo = build(Model(str(tiny_folder)))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield url
    demo.close()


@pytest.fixture(scope="session")
def contrast_script() -> str:
    """JavaScript that lists the visible texts of a page whose contrast is below WCAG AA."""
    return (Path(__file__).parent / "contrast.js").read_text()
