"""What the tests share: small cascades, built in a second, with every part of a real one; the page; and a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
import torch
from tiny_deepfloyd import write_if, write_upscaler
from tiny_export import Exported, export
from torch import nn

from imagen_core.files.digests import file_digest
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.models.saving import save_stage, write_cascade
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import UNet, UNetConfig
from imagen_core.records.frames import Frame
from imagen_core.run.generate import generate
from imagen_core.settings import DEFAULT_SIZES, SIDE_BY_SIDE, with_stage
from imagen_core.training.recipes import STAGES, factor_of, spec_of
from imagen_core.worlds.tabletop.tabletop import TableTop

if TYPE_CHECKING:
    from app.page import Tabs
    from app.serving.model import Model
    from app.serving.session import Runs

# The first call of a torch function may take a second; that says nothing about the rule under test.
hypothesis.settings.register_profile("lab", deadline=None)
hypothesis.settings.load_profile("lab")

# Gradio keeps files by their content, and a server that ends takes along those of all others.
GRADIO_FILES = tempfile.TemporaryDirectory(prefix="imagen-lab-gradio-")
os.environ["GRADIO_TEMP_DIR"] = GRADIO_FILES.name
# Side by side with others (`pytest -n 2`) a second thread waits for theirs at every operation.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

TINY = UNetConfig((32, 32), (1, 1), ("none", "self"), embed=32, text=32, positions=True)
CONFIGS = {
    "base": TINY,
    "sr256": replace(TINY, attention=("none", "text"), low_res=True, positions=False, detail=8),
    "sr1024": replace(TINY, attention=("none", "text"), low_res=True, positions=False, detail=8, fold=4),
}


def write_tiny(
    folder: Path, stages: tuple[str, ...] = ("base", "sr256", "sr1024"), sizes: tuple[int, ...] = DEFAULT_SIZES
) -> Path:
    """A cascade of random networks in ``folder``, their zeroed layers filled so that everything matters."""
    for number, stage in enumerate(stages):
        torch.manual_seed(number)
        spec = spec_of(stage, sizes)
        config = replace(CONFIGS[stage], factor=factor_of(spec))
        unet = UNet(config)
        for p in unet.parameters():
            if not p.any():
                nn.init.normal_(p, std=0.2)
        save_stage(folder, spec, config, dict(unet.state_dict()), {"steps": 0})
    write_cascade(folder, "tiny", minilm(), TableTop(), sizes)
    return folder


def edit(path: Path, change: Callable[[dict], None]) -> None:
    """Change a JSON file."""
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def redigest(folder: Path) -> None:
    """What a hostile author would do: make the digests fit the altered files."""
    digests = json.loads((folder / "cascade.json").read_text())["digests"]
    fresh = {file: file_digest(folder / file) for file in digests}
    edit(folder / "cascade.json", lambda d: d.update(digests=fresh))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Cascade:
    return load_cascade(tiny_folder)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A tiny cascade of two stages as files for a browser tab: read only."""
    from imagen_core.export import folder, tracing

    for package in tracing.PACKAGES:
        pytest.importorskip(package, reason="pip install -r requirements-web.txt")
    if not (folder.NODE_MODULES / "onnxruntime-web").is_dir():
        pytest.skip("npm install")
    # Workers share it, since it takes a minute to make.
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    return export(write_tiny(tmp_path_factory.mktemp("model"), ("base", "sr256")), root)


@pytest.fixture(scope="session")
def stage_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepFloyd IF's stage I, tiny, without its safety checker: read only."""
    return write_if(tmp_path_factory.mktemp("if") / "IF-I")


@pytest.fixture(scope="session")
def stage_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_if(tmp_path_factory.mktemp("if") / "IF-II", 2)


@pytest.fixture(scope="session")
def stage_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_upscaler(tmp_path_factory.mktemp("if") / "x4")


@pytest.fixture(scope="session")
def tiny_if(stage_1: Path, stage_2: Path) -> Cascade:
    return load_cascade(f"{stage_1}, {stage_2}")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stages I and II as IF's authors ship them, each with safety checker and watermark: read only."""
    folder = tmp_path_factory.mktemp("published")
    for number, name in ((1, "I"), (2, "II")):
        write_if(folder / name, number, safety=True)
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard of noise for every stage size: training's arithmetic does not care what the pictures show."""
    from imagen_core.training import data

    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for spec in STAGES.values():
        folder = data.Shards(root, TableTop(), spec.size).folder
        folder.mkdir(parents=True)
        side = 64 if spec.size == 64 else data.CROP
        np.save(folder / "images-0000.npy", rng.integers(0, 256, (data.SHARD, 3, side, side), dtype=np.uint8))
        tokens = rng.standard_normal((data.SHARD, data.CAPTIONS, data.PADDED, 384)).astype(np.float16)
        np.save(folder / "tokens-0000.npy", tokens)
        np.save(folder / "lengths-0000.npy", rng.integers(3, 12, (data.SHARD, data.CAPTIONS), dtype=np.uint8))
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own for what is kept of texts."""
    monkeypatch.setenv("IMAGEN_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOCAL = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|file:")
# Milliseconds until a test gives up on something that should appear.
PATIENCE = 25_000
# gradio's client ends its own stream as a page is left. The browser, or gradio, may tell of it before the page is gone.
LEAVING = re.compile(r"AbortError: signal is aborted without reason\n +at \w+ \(.*\n +at \w+\.close \(")


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

    def note(error: str) -> None:
        if not LEAVING.match(error):
            errors.append(error)

    def opened(address: str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1366, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: note(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note(error.stack or str(error)))
        page.on("request", lambda request: None if LOCAL.match(request.url) else foreign.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == [] and foreign == []


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> Model:
    """The model behind the page, over the tiny cascade; each file begins with one that is not loaded yet."""
    from app.serving.model import Model

    return Model(str(tiny_folder))


@pytest.fixture(scope="module")
def tabs(model: Model) -> Tabs:
    """The tabs of the page over that model, for their handlers."""
    import gradio as gr

    from app.page import lay_out

    with gr.Blocks() as demo:
        return lay_out(model, demo)


@pytest.fixture(scope="module")
def url(model: Model) -> Iterator[str]:
    """The address of the page over the tiny cascade, the same server for all tests of a file."""
    from app.page import LAUNCH, build

    demo = build(model)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield url
    demo.close()


@pytest.fixture(scope="session")
def runs(tiny: Cascade) -> Runs:
    """A session of two runs: the first under dynamic, the second with two pictures under static at w = 9."""
    from app_page import SHORT

    from app.serving import session

    second = replace(with_stage(SHORT, 64, threshold="static", guidance=9.0), count=2)
    found: Runs = ()
    for asked in (SHORT, second):
        images, frames = {}, {}
        for rule in SIDE_BY_SIDE:
            base = replace(asked, stages=with_stage(asked, 64, threshold=rule).stages[:1])
            *steps, result = generate(base, tiny)
            images[rule], frames[rule] = result.image, [Frame.of(step) for step in steps]
        base = replace(asked, stages=asked.stages[:1])
        found = session.remember(
            SimpleNamespace(request=base, images=images, onward=images, frames=frames, file=None), found
        )
    return found


@pytest.fixture(scope="session")
def contrast_script() -> str:
    """JavaScript that lists the visible texts of a page whose contrast is below WCAG AA."""
    return (Path(__file__).parent / "contrast.js").read_text()


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """accelerate keeps its first settings for the whole process; tests run in any order."""
    yield
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state()
        state.PartialState._reset_state()
