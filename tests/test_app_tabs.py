"""The tabs Cascade, Compare and Inspect without a browser: handlers, files, and what a visitor gets wrong."""

from __future__ import annotations

import csv
import inspect
import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from app import (
    cascade_tab,
    compare_tab,
    exports,
    figures,
    grid,
    inspect_tab,
    layout,
    link,
    pace,
    see,
    session,
    tiles,
    views,
)
from app.models import Model
from imagen_core import png, recording, trace
from imagen_core.cascade import StageResult, generate
from imagen_core.settings import SIDE_BY_SIDE, Request, request, to_json, with_stage
from imagen_core.types import UserError

# Outside a page gradio's toasts are Python warnings.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
NAMES = list(inspect.signature(see.build_whole).parameters)
SHORT = with_stage(with_stage(request("a red ball", seed=7, size=1024, steps=3), 256, steps=2), 1024, steps=1)
CONTROLS = see.controls_of(SHORT, NAMES)
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> Model:
    return Model(str(tiny_folder))


@pytest.fixture(scope="module")
def runs(model: Model) -> session.Runs:
    """A session of two runs: the first under dynamic, the second with two pictures under static at w = 9."""
    second = replace(with_stage(SHORT, 64, threshold="static", guidance=9.0), count=2)
    found: session.Runs = ()
    for asked in (SHORT, second):
        images, frames = {}, {}
        for rule in SIDE_BY_SIDE:
            base = replace(asked, stages=with_stage(asked, 64, threshold=rule).stages[:1])
            *steps, result = generate(base, model.get())
            images[rule], frames[rule] = result.image, [recording.frame(step) for step in steps]
        base = replace(asked, stages=asked.stages[:1])
        found = session.remember(SimpleNamespace(request=base, images=images, onward=images, frames=frames), found)
    return found


def last(updates) -> tuple:
    return list(updates)[-1]


def sent(update: gr.components.Component, name: str) -> object:
    """A property that an update sets."""
    return update.constructor_args[name]


def files_of(update: gr.File) -> list[Path]:
    return [Path(path) for path in sent(update, "value")]


# Controls, links and pictures say the same thing.


def test_controls_restore_every_setting() -> None:
    asked = with_stage(
        with_stage(
            request("a 'ball'", seed=4, count=2, size=1024, guidance=7.5, threshold="squash", steps=9, sampler="ddim",
                    options={"knee": 0.5, "eta": 0.3}),
            256, steps=3, aug_level=0.4,
        ),
        1024, threshold="none", aug_level=0.2,
    )  # fmt: skip
    back = see.build_whole(*see.controls_of(asked, NAMES))
    levels = (0.4, 0.2)
    stages = (back.stages[0], *(replace(s, aug_level=a) for s, a in zip(back.stages[1:], levels)))
    assert replace(back, stages=stages) == asked
    assert layout._values(NAMES, asked)[-4:] == [0.4, 0.2, 0.4, 0.2]


def test_a_link_sets_the_controls_and_a_bad_one_changes_nothing() -> None:
    query = {"guidance": "12", "sampler": "ddim", "eta": "0.5", "sr256.aug_level": "0.3"}
    found = layout._from_link(NAMES, [*query.items(), ("size", "256")])
    values = dict(zip(NAMES, found))
    assert values["w"] == 12 and values["sampler"] == "ddim" and values["more"] == "eta=0.5" and found[-2] == 0.3
    for bad in ({"guidance": "1e9"}, {"seed": MARKUP}, {"prompt": ""}, {"size": "0"}):
        assert all(value == gr.skip() for value in layout._from_link(NAMES, bad.items()))
    assert all(value == gr.skip() for value in layout._from_link(NAMES, [("__theme", "dark")]))


def test_a_thousand_unknown_settings_are_told_in_a_few_lines(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("app.handlers.warn", lambda text, title: told.append(text))
    many = {f"k{i}": "1" for i in range(1000)}
    assert layout._from_link(NAMES, [("seed", "4"), *many.items()])[NAMES.index("seed")] == 4
    assert told[-1] == "and 997 more like these" and len(told) == 4
    file = tmp_path / "x.png"
    file.write_bytes(picture(json.dumps(json.loads(to_json(SHORT)) | dict.fromkeys(list(many)[:500], 1))))
    shown, found, _ = inspect_tab.dropped(model, str(file))
    assert found == SHORT and shown.count("unknown setting") == 3 and "and 497 more" in shown


@pytest.mark.parametrize(
    "more",
    ["steps", "stepz=1", "steps=0", "sr512.steps=3", "seed=3", "size=64", MARKUP, "gamma=0.1", "=", None, 3],
)
def test_more_settings_are_checked(more: object) -> None:
    with pytest.raises(UserError):
        see.build_whole(*[more if name == "more" else value for name, value in zip(NAMES, CONTROLS)])


# Cascade.


@pytest.mark.parametrize("key", ["now", "1.0", "2.1"])
def test_upscale_shows_what_each_stage_receives_and_equals_the_engine(model: Model, runs, key: str) -> None:
    _, shown, kept = last(cascade_tab.upscale(model, see.build_whole, 1024, runs, key, "as kept", 0.2, 0.0, *CONTROLS))
    assert shown.count("<img") == 5 and "What SR 256 receives" in shown and "What SR 1024 receives" in shown
    assert "aug_level 0.2 · σ = 0.309" in shown and "∞ (untouched)" in shown
    (path,) = files_of(kept)
    asked, _ = png.read_settings(path.read_bytes())
    assert [stage.aug_level for stage in asked.stages] == [None, 0.2, 0.0]
    assert (asked.seed, asked.count, asked.stages[0].threshold) == {
        "now": (7, 1, "dynamic"), "1.0": (7, 1, "dynamic"), "2.1": (8, 1, "static"),
    }[key]  # fmt: skip
    image = [e.image for e in generate(asked, model.get()) if isinstance(e, StageResult)][-1][0]
    found = np.asarray(Image.open(path)).transpose(2, 0, 1).astype(int)
    # A picture drawn in a batch of two may differ in the last bit.
    assert abs(found - png.to_bytes(image)).max() <= 1


def test_a_sweep_keeps_the_noise_and_tells_the_best(model: Model, runs) -> None:
    _, shown, kept, pick = last(
        cascade_tab.swept(model, see.build_whole, 256, "0, 0.3", runs, "1.0", "none", 0.1, 0.1, *CONTROLS)
    )
    assert shown.count("<img") == 4 and shown.count("most faithful") == 1 and shown.count("sharpest") == 1
    requests = [png.read_settings(path.read_bytes())[0] for path in files_of(kept)]
    assert [r.stages[-1].aug_level for r in requests] == [0, 0.3]
    assert len({r.seed for r in requests}) == 1 and all(r.stages[0].threshold == "none" for r in requests)
    assert [value for _, value in sent(pick, "choices")] == ["256:0", "256:0.3"]


@pytest.mark.parametrize(
    ("size", "levels", "key", "rule", "says"),
    [
        (64, "0.1", "now", "as kept", "size"), (256, "", "now", "as kept", "aug_level"),
        (256, "0, 2", "now", "as kept", "aug_level"), (256, "0,.1,.2,.3,.4,.5,.6", "now", "as kept", "aug_levels"),
        (256, "0.1, 0.1", "now", "as kept", "aug_level"), (256, None, "now", "as kept", "aug_level"),
        (256, "0.1", "9.0", "as kept", "run"), (256, "0.1", "1.7", "as kept", "picture"),
        (256, "0.1", MARKUP, "as kept", "run"), (256, "0.1", "1.0", "soft", "threshold"),
    ],
)  # fmt: skip
def test_a_bad_sweep_is_one_line(model: Model, runs, size, levels, key, rule, says: str) -> None:
    with pytest.raises(gr.Error) as caught:
        list(cascade_tab.swept(model, see.build_whole, size, levels, runs, key, rule, 0.1, 0.1, *CONTROLS))
    assert caught.value.message.startswith(f"{says}: ") and "\n" not in caught.value.message
    assert "<" not in caught.value.message and not caught.value.print_exception


def test_a_stopped_handler_leaves_the_engine_to_others(model: Model, runs) -> None:
    """Stop closes the generator where it yields; the next run must not wait for it."""
    long = see.controls_of(grid.vary(SHORT, {"steps": 250}), NAMES)
    for started in (
        cascade_tab.upscale(model, see.build_whole, 256, runs, "now", "as kept", 0.1, 0.1, *long),
        compare_tab.run(model, see.build_request, "guidance", "1, 5", "threshold", "none", *long),
        inspect_tab.look(model, see.build_whole, runs, "now", *long),
    ):
        next(started)
        started.close()
        assert not model._busy.locked()
    assert "kept" in views.stopped("x") and views.stopped("") == ""


def test_a_picked_level_goes_to_its_slider() -> None:
    cases = {"256:0.3": (0.3, None), "1024:0": (None, 0), "256:7": (None, None), None: (None, None)}
    for picked, found in cases.items():
        got = tuple(None if value == gr.skip() else sent(value, "value") for value in cascade_tab.take(picked))
        assert got == (*found, *found)


def test_another_visitors_runs_are_out_of_reach(model: Model) -> None:
    with pytest.raises(gr.Error, match="this session's runs"):
        list(cascade_tab.upscale(model, see.build_whole, 256, (), "1.0", "as kept", 0.1, 0.1, *CONTROLS))


# Compare.


def test_the_grid_draws_what_the_engine_draws(model: Model) -> None:
    asked = ("guidance", "1, 6", "threshold", "none, dynamic")
    updates = list(compare_tab.run(model, see.build_request, *asked, *CONTROLS))
    _, shown, plan, kept = updates[-1]
    assert shown.count("<img") == 4 and shown.count("data-key") == 4 and "w = 6, dynamic" in shown
    sheet, numbers = files_of(kept)
    assert png.read_settings(sheet.read_bytes())[0].prompt == "a red ball"
    rows = list(csv.DictReader(numbers.open()))
    assert [row["cell"] for row in rows] == [cell.label for cell in plan.cells]
    for key, cell in enumerate(plan.cells):
        assert compare_tab.cell(plan, str(key)) == cell.request
    image = [e.image for e in generate(plan.cells[3].request, model.get()) if isinstance(e, StageResult)][-1]
    assert float(rows[3]["saturation"]) == grid.facts(image)["saturation"]


@pytest.mark.parametrize("key", [None, "4", "-1", "x", "9" * 5000, MARKUP, 0.5])
def test_only_cells_of_the_grid_open(key: object) -> None:
    plan = grid.make(SHORT, "guidance", "1, 2", "steps", "3, 4")
    with pytest.raises(UserError, match="^cell: "):
        compare_tab.cell(plan, key)
    with pytest.raises(UserError, match="^cell: "):
        compare_tab.cell(None, "0")


@pytest.mark.parametrize("text", ["1,1.0", "1, 2, 1e0", "nan,nan", "NaN,NaN", "[1],[1.0]", '{"a":1}, {"a":1}'])
def test_one_value_written_twice_is_one_value(text: str) -> None:
    with pytest.raises(UserError, match="^guidance: "):
        grid.make(SHORT, "guidance", text, "steps", "3")


@pytest.mark.parametrize("text", ["[1]", "{}", '{"a":1}', "true", "null", "NaN", "1e400"])
def test_values_of_a_side_are_numbers(text: str) -> None:
    for name in ("guidance", "steps"):
        with pytest.raises(UserError, match=f"^{name}: must be a"):
            grid.make(SHORT, name, text, "threshold", "none")


def test_every_setting_can_be_a_side_of_the_grid() -> None:
    """What is suggested for a setting is accepted for it, on a run whose rules take it."""
    homes = {
        "gamma": {"sampler": "ancestral"}, "eta": {"sampler": "ddim"}, "knee": {"threshold": "squash"},
        "phi": {"guidance_rule": "rescale"}, "momentum": {"guidance_rule": "apg"}, "radius": {"guidance_rule": "apg"},
        "parallel": {"guidance_rule": "apg"}, "low": {"w_schedule": "interval"}, "high": {"w_schedule": "interval"},
        "hold": {"w_schedule": "oscillating"}, "rest": {"w_schedule": "oscillating"},
    }  # fmt: skip
    for name in grid.SETTINGS:
        start = grid.vary(SHORT, homes.get(name, {}))
        for value in grid.values(name, grid.suggestion(name)):
            if value not in {"cfgpp", "classifier"} and (name, value) not in {("low", 20), ("high", -20)}:
                assert link.flat(grid.vary(start, {name: value}))[name] == value


def test_the_price_is_told_before(model: Model, runs) -> None:
    list(model.in_turn(generate(SHORT, model.get()), SHORT))
    told = compare_tab.estimate(model, see.build_request, "guidance", "1, 5", "threshold", "none", *CONTROLS)
    assert "2 × 1 = 2 cells of 3 steps" in told and "second" in told
    wrong = compare_tab.estimate(model, see.build_request, "guidance", "99", "threshold", "none", *CONTROLS)
    assert "guidance: must be" in wrong
    assert "Sweep of 2 levels" in cascade_tab.estimate(model, see.build_whole, 256, "0,0.1", *CONTROLS)


def test_the_pace_is_learnt_from_rows_and_steps() -> None:
    """Guidance takes two rows of each picture, Heun's method two evaluations of each; the first step is warming up."""
    learnt = pace.Pace()
    assert learnt.seconds([SHORT]) is None and pace.about(None) == "time not known yet"
    guided = replace(SHORT, stages=SHORT.stages[:1])
    for index, seconds in enumerate((9.0, 0.2, 0.2)):
        learnt.note(SimpleNamespace(stage="base64", index=index), seconds, [guided])
    assert learnt.seconds([guided]) == pytest.approx(3 * 0.2)
    assert learnt.seconds([grid.vary(guided, {"guidance": 1.0})]) == pytest.approx(3 * 0.1)
    assert learnt.seconds([grid.vary(guided, {"sampler": "heun"})] * 2) == pytest.approx(2 * 3 * 0.4)
    assert learnt.seconds([replace(guided, count=4)]) == pytest.approx(4 * 3 * 0.2)
    assert learnt.seconds([SHORT]) is None and learnt.seconds([SHORT], above=1024) == 0


def test_a_long_run_makes_a_short_animation(model: Model) -> None:
    asked = replace(grid.vary(SHORT, {"steps": 80}), stages=grid.vary(SHORT, {"steps": 80}).stages[:1])
    frames = [recording.frame(e) for e in list(generate(asked, model.get()))[:-1]]
    assert len(exports.trajectory({"dynamic": frames})) == exports.MOST_FRAMES
    assert len(exports.rows({"dynamic": frames})) == 80


def test_pinned_runs_show_what_differs_and_nothing_else(runs) -> None:
    table = compare_tab.pinned(runs, "1", "2")
    cells = ["".join(cell.itertext()) for cell in ElementTree.fromstring(table).iter("td")]
    assert cells[: 3 * 3] == ["count", "1", "2", "guidance", "5", "9", "threshold", "dynamic", "static"]
    assert "steps" not in cells and "none: burnt" in cells
    assert "same run" in compare_tab.pinned(runs, "1", "1") and "Pick two" in compare_tab.pinned(runs, None, "1")
    assert "run: " in compare_tab.pinned(runs, "1", "77")


# Inspect.


def test_look_gives_numbers_and_files_that_agree_with_the_engine(model: Model, runs) -> None:
    _, table, shown, kept = last(inspect_tab.look(model, see.build_whole, runs, "2.1", *CONTROLS))
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


def test_the_newest_run_is_looked_at_without_drawing_it_again(model: Model, runs, monkeypatch) -> None:
    """The steps that were kept give the numbers and the trace that the repeated run gives; older runs' are let go."""
    assert (
        session.steps(runs, "1.0") is None and session.steps(runs, "2.1") is None and session.steps(runs, "now") is None
    )
    request, frames = session.picture(runs, "2.0").request, session.steps(runs, "2.0")
    recorder = trace.Recorder(request, model.get().digest)
    again = [
        recording.frame(e) for e in recorder.watch(generate(request, model.get())) if not isinstance(e, StageResult)
    ]
    for kept, drawn in zip(exports.rows({"static": frames["static"]}), exports.rows({"static": again})):
        assert kept.pop("rule") == drawn.pop("rule") and kept == pytest.approx(drawn, rel=1e-3, abs=2e-3)
    stored = recording.to_trace(request, model.get().digest, frames["static"]).stages["base64"]
    expected = recorder.trace().stages["base64"]
    assert stored.levels == expected.levels and stored.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        torch.testing.assert_close(stored.arrays[name].float(), array, rtol=1e-3, atol=5e-3)
    monkeypatch.setattr(inspect_tab, "compare", None)
    _, table, _, kept = last(inspect_tab.look(model, see.build_whole, runs, "2.0", *CONTROLS))
    assert table.count("<tr>") == 10
    saved = {path.name: path for path in files_of(kept)}["run.npz"]
    torch.testing.assert_close(trace.load(saved).stages["base64"].arrays["z"], stored.arrays["z"])
    assert "kept" in inspect_tab.cost(model, see.build_whole, runs, "2.0", *CONTROLS)
    assert "repeated" in inspect_tab.cost(model, see.build_whole, runs, "1.0", *CONTROLS)


def test_the_last_frame_is_the_picture(model: Model) -> None:
    """The animation is lossless: its last panel, shrunk to its own pixels, is the run's picture."""
    requests = see.requests_of(inspect_tab.first_of(SHORT))
    frames = {}
    for rule, asked in requests.items():
        events = list(generate(asked, model.get()))
        frames[rule] = [recording.frame(e) for e in events if not isinstance(e, StageResult)]
        image = events[-1].image[0]
    sheet = np.asarray(exports.trajectory(frames)[-1])
    panel = sheet[exports.BAND :, -256:][::4, ::4].transpose(2, 0, 1).astype(int)
    # Frames are kept in half precision.
    assert rule == "dynamic" and abs(panel - png.to_bytes(image)).max() <= 1


def test_figures_take_any_prompt(model: Model) -> None:
    asked = replace(SHORT, prompt="$\\frac{1}{0}$ <b> & \n 球 " + "x" * 200)
    frames = {
        rule: [recording.frame(e) for e in generate(one, model.get()) if not isinstance(e, StageResult)]
        for rule, one in see.requests_of(inspect_tab.first_of(asked)).items()
    }
    file = io.BytesIO()
    figures.film_strip(frames, asked).savefig(file, format="svg")
    assert b"<b>" not in file.getvalue()


def test_recipe_follows_the_choice(model: Model, runs) -> None:
    values = [*CONTROLS, 0.4, 0.2]
    query, command, code = inspect_tab.recipe(model, layout._everything, runs, "2.0", 64, *values)
    assert "guidance=9" in query and "sr256.aug_level=0.4" in query and "sr1024.aug_level=0.2" in query
    assert "--guidance 9" in command and "--threshold static" in command and "--size 64" in command
    assert "guidance=9" in code and str(model.name) in command
    query, command, _ = inspect_tab.recipe(model, layout._everything, runs, "now", 256, *values)
    assert "guidance=5" in query and "sr1024.aug_level=0.2" in query
    assert "--size 256" in command and "sr256.aug_level=0.4" in command and "sr1024" not in command
    wrong = [MARKUP if name == "seed" else value for name, value in zip(NAMES, CONTROLS)]
    assert inspect_tab.recipe(model, layout._everything, runs, "now", 64, *wrong, 0.1, 0.1)[0].startswith("seed: ")
    assert inspect_tab.recipe(model, layout._everything, runs, "now", 65, *values)[0].startswith("size: ")


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


def test_a_dropped_picture_gives_its_settings(model: Model, tmp_path: Path) -> None:
    model.get()
    file = tmp_path / "made.png"
    asked = replace(UNSAFE, stages=SHORT.stages)
    png.save(torch.zeros(3, 8, 8), file, asked, weights="other")
    shown, found, button = inspect_tab.dropped(model, str(file))
    assert found == asked and sent(button, "interactive") and "made with other weights" in shown
    assert "<img" not in shown and "&lt;img" in shown
    values = layout._apply(NAMES, found)
    assert values[0] == asked.prompt and sent(values[-1], "selected") == "see"
    png.save(torch.zeros(3, 8, 8), file, asked, weights=model.get().digest)
    assert "other weights" not in inspect_tab.dropped(model, str(file))[0]


UNSAFE = Request(MARKUP)


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


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pictures_are_refused_kindly(model: Model, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(data)
    shown, found, button = inspect_tab.dropped(model, str(file))
    assert found is None and not sent(button, "interactive")
    assert "lab-wrong" in shown and "<script" not in shown and "<img" not in shown
    with pytest.raises(gr.Error, match="drop a PNG"):
        layout._apply(NAMES, None)


# Views.


def test_tables_and_tiles_escape_everything() -> None:
    html = tiles.table([{MARKUP: MARKUP}], MARKUP) + tiles.tile(
        torch.zeros(3, 4, 4), MARKUP, MARKUP, badges=[MARKUP], key=MARKUP
    )
    assert html.count("<img") == 1 and "onerror=alert(1)>" not in html
    assert tiles.table([], "nothing") == ""


def test_a_session_forgets_the_oldest(runs) -> None:
    many: session.Runs = ()
    for _ in range(session.MOST_RUNS + 3):
        many = session.remember(runs[0], many)
    assert len(many) == session.MOST_RUNS and [run.number for run in many][-1] == session.MOST_RUNS + 3
    assert session.remember(None, many) is many
    assert len(session.pictures(runs)) == 3 and session.pictures(runs)[0][1] == "2.0"
