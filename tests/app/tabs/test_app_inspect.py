"""The tab Inspect without a browser: numbers and files of a run, what repeats it, and the pictures visitors drop."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import gradio as gr
import pytest
import torch
from app_page import LONG, MARKUP, SHORT, Watched, at_inspect, files_of, last, sent, stop_and_go_on
from PIL import Image, PngImagePlugin

from app.page import Tabs
from app.parts import exports, take_away
from app.serving import session
from app.serving.model import Model
from app.tabs import inspect as inspect_tab
from imagen_core.records import png, trace
from imagen_core.records.frames import Frame, to_trace
from imagen_core.run.generate import generate
from imagen_core.settings import Request, to_json, with_stage
from imagen_core.types import StageResult


def test_look_gives_numbers_and_files_that_agree_with_the_engine(tabs: Tabs, runs) -> None:
    tab = tabs.inspect
    end = last(tab.look(at_inspect(tabs, runs=runs, run="2.1")))
    table, shown, kept = end[tab.table], end[tab.figures], end[tab.files]
    files = {path.name: path for path in files_of(kept)}
    assert set(files) == {
        "film-strip.png", "film-strip.svg", "saturation.png", "saturation.svg", "trajectory.webp", "trajectory.gif",
        "steps.csv", "run.npz",
    }  # fmt: skip
    recorded = trace.load(files["run.npz"])
    base = recorded.request.stages[0]
    assert (recorded.request.seed, base.guidance, base.threshold) == (8, 9, "static")
    rows = list(csv.DictReader(files["steps.csv"].open()))
    assert len(rows) == 3 * 3
    outside = (recorded.stages["base64"].arrays["x0_raw"][2, 0].abs() > 1).float().mean()
    found = next(row for row in rows if row["step"] == "3" and row["rule"] == "static")
    assert float(found["outside"]) == pytest.approx(float(outside), abs=2e-3)
    for name in ("trajectory.webp", "trajectory.gif"):
        with Image.open(files[name]) as moving:
            assert moving.n_frames == 3 and moving.info.get("loop", 0) == 0 and moving.size == (3 * 256 + 16, 256 + 22)
    for name in ("film-strip", "saturation"):
        assert Image.open(files[f"{name}.png"]).size[0] > 400
        assert ElementTree.parse(files[f"{name}.svg"]).getroot().tag.endswith("svg")
    assert shown.count("<img") == 2 and "<script" not in shown and table.count("<tr>") == 10


def test_the_newest_run_is_looked_at_without_drawing_it_again(model: Model, tabs: Tabs, runs, monkeypatch) -> None:
    """The steps that were kept give the numbers and the trace that the repeated run gives; older runs' are let go."""
    assert (
        session.steps(runs, "1.0") is None and session.steps(runs, "2.1") is None and session.steps(runs, "now") is None
    )
    request, frames = session.picture(runs, "2.0").request, session.steps(runs, "2.0")
    recorder = trace.Recorder(request, model.get())
    again = [Frame.of(e) for e in recorder.watch(generate(request, model.get())) if not isinstance(e, StageResult)]
    for kept, drawn in zip(exports.rows({"static": frames["static"]}), exports.rows({"static": again})):
        assert kept.pop("rule") == drawn.pop("rule") and kept == pytest.approx(drawn, rel=1e-3, abs=2e-3)
    stored = to_trace(request, model.get(), frames["static"]).stages["base64"]
    expected = recorder.trace().stages["base64"]
    assert stored.levels == expected.levels and stored.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        torch.testing.assert_close(stored.arrays[name].float(), array, rtol=1e-3, atol=5e-3, equal_nan=True)
    monkeypatch.setattr(inspect_tab, "compare", None)
    tab, newest, older = tabs.inspect, *(at_inspect(tabs, runs=runs, run=key) for key in ("2.0", "1.0"))
    end = last(tab.look(newest))
    table, kept = end[tab.table], end[tab.files]
    assert table.count("<tr>") == 10
    saved = {path.name: path for path in files_of(kept)}["run.npz"]
    torch.testing.assert_close(trace.load(saved).stages["base64"].arrays["z"], stored.arrays["z"])
    assert "kept" in tab.cost(newest) and "repeated" in tab.cost(older)


def test_recipe_follows_the_choice(model: Model, tabs: Tabs, runs) -> None:
    tab = tabs.inspect
    asked = with_stage(with_stage(SHORT, 256, aug_level=0.4), 1024, aug_level=0.2)

    def recipe(run: str, size: int, **changes: object) -> tuple[str, str, str]:
        updates = tab.recipe(at_inspect(tabs, asked, runs=runs, run=run, size=size, **changes))
        return updates[tab.link], updates[tab.command], updates[tab.python]

    query, command, code = recipe("2.0", 64)
    assert "guidance=9" in query and "sr256.aug_level=0.4" in query and "sr1024.aug_level=0.2" in query
    assert "--guidance 9" in command and "--threshold static" in command and "--size 64" in command
    assert "guidance=9" in code and str(model.name) in command
    query, command, _ = recipe("now", 256)
    assert "guidance=5" in query and "sr1024.aug_level=0.2" in query
    assert "--size 256" in command and "sr256.aug_level=0.4" in command and "sr1024" not in command
    assert recipe("now", 64, seed=MARKUP)[0].startswith("seed: ")
    assert recipe("now", 65)[0].startswith("size: ")


def test_a_stopped_look_leaves_the_engine_to_others(model: Model, tabs: Tabs, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Watched(inspect_tab.compare)
    monkeypatch.setattr(inspect_tab, "compare", engine)
    monkeypatch.setattr(take_away, "save", lambda *_: [])
    stop_and_go_on(model, engine, *(tabs.inspect.look(at_inspect(tabs, asked)) for asked in (LONG, SHORT)))


def picture(text: str | None, size: tuple[int, int] = (4, 4)) -> bytes:
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_itxt(png.CHUNK, text, zip=len(text) > 10_000)
    file = io.BytesIO()
    Image.new("RGB", size).save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def huge() -> bytes:
    """A PNG that says it is 100,000 pixels wide."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def dropped(tabs: Tabs, file: Path) -> tuple[str, Request | None, bool]:
    """What a dropped file gives: its settings as HTML and as a request, and whether they can be applied."""
    tab = tabs.inspect
    update = tab.read_picture(str(file))
    return update[tab.inside], update[tab.dropped], sent(update[tab.apply], "interactive")


def test_a_dropped_picture_gives_its_settings(model: Model, tabs: Tabs, tmp_path: Path) -> None:
    model.get()
    file = tmp_path / "made.png"
    asked = Request(MARKUP, stages=SHORT.stages)
    png.save(torch.zeros(3, 8, 8), file, asked, weights="other")
    shown, found, applies = dropped(tabs, file)
    assert found == asked and applies and "made with other weights" in shown
    assert "<img" not in shown and "&lt;img" in shown
    page = tabs.inspect.page
    restored = tabs.inspect.restore({tabs.inspect.dropped: found, page.controls.more: ""})
    assert restored[page.controls.prompt] == asked.prompt and sent(restored[page.tabs], "selected") == "see"
    # A picture that names no weights may be of these.
    for facts in ({"weights": model.get().digest}, {}):
        png.save(torch.zeros(3, 8, 8), file, asked, **facts)
        assert "other weights" not in dropped(tabs, file)[0]


def test_a_branch_is_told_apart(tabs: Tabs, tmp_path: Path) -> None:
    file = tmp_path / "made.png"
    png.save(torch.zeros(3, 8, 8), file, SHORT, origin="branch")
    shown, found, applies = dropped(tabs, file)
    assert found == SHORT and applies and "a branch of another run" in shown


def test_a_thousand_unknown_settings_in_a_picture_are_told_in_a_few_lines(tabs: Tabs, tmp_path: Path) -> None:
    unknown = {f"k{i}": 1 for i in range(500)}
    file = tmp_path / "x.png"
    file.write_bytes(picture(json.dumps(json.loads(to_json(SHORT)) | unknown)))
    shown, found, _ = dropped(tabs, file)
    assert found == SHORT and shown.count("unknown setting") == 3 and "and 497 more" in shown


HOSTILE = {
    "empty": b"",
    "foreign": b"GIF89a",
    "not made here": picture(None),
    "script": picture("<script>alert(1)</script>"),
    "markup": picture("{" + MARKUP),
    "no stages": picture('{"format": 1}'),
    "another format": picture('{"format": 9}'),
    "deep": picture("[" * 20_000),
    "long": picture("x" * 100_000),
    "pixels": huge(),
    "truncated": picture(None)[:40],
    "damaged": b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    "megabytes": b"\0" * (inspect_tab.MAX_PNG + 1),
}


# Outside a page gradio's toasts are Python warnings.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pictures_are_refused_kindly(tabs: Tabs, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(data)
    shown, found, applies = dropped(tabs, file)
    assert found is None and not applies
    assert "lab-wrong" in shown and "<script" not in shown and "<img" not in shown
    with pytest.raises(gr.Error, match="drop a PNG"):
        tabs.inspect.restore({tabs.inspect.dropped: None, tabs.see.page.controls.more: ""})
