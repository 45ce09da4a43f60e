"""Recordings: what the player is sent is what the engine computed; the shipped ones are of the shipped weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch

from app import page as layout
from app.parts import player, report, side_by_side
from app.serving.model import Model
from app.tabs import see
from imagen_core.commands.record import record
from imagen_core.diffusion.saturation import measure
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.records import recording
from imagen_core.records.frames import Frame
from imagen_core.records.recording import MOST_STEPS
from imagen_core.records.shipped import ANOTHER, FOLDER, SHIPPED, brief_runs, file_of
from imagen_core.run.experiments import compare
from imagen_core.run.generate import generate
from imagen_core.settings import SIDE_BY_SIDE, Request, request
from imagen_core.types import StageResult, StepRecord, UserError

RULES = ("none", "static", "dynamic", "channelwise")
HOSTILE = "<script>alert(1)</script> & </script><img src=x>"


def run(asked: Request, cascade: Cascade) -> tuple[dict[str, Request], dict[str, list[StepRecord]]]:
    requests = recording.under(asked, RULES)
    steps: dict[str, list[StepRecord]] = {rule: [] for rule in RULES}
    for row in compare(list(requests.values()), cascade):
        for rule, event in zip(RULES, row):
            if not isinstance(event, StageResult):
                steps[rule].append(event)
    return requests, steps


@pytest.fixture(scope="module")
def watched(tiny: Cascade) -> tuple[recording.Recording, dict[str, list[StepRecord]]]:
    requests, steps = run(request("a red ball", steps=4, guidance=9.0, seed=3, count=2, w_schedule="constant"), tiny)
    frames = {rule: [Frame.of(step) for step in steps[rule]] for rule in RULES}
    return recording.make(requests, frames, weights="w"), steps


@pytest.mark.parametrize("rule", RULES)
def test_arrays_come_back_as_they_were(watched, rule: str) -> None:
    """Half floats to the bit; the parts of guidance to half a step of their scale."""
    made, steps = watched
    out = [step.out for step in steps[rule]]
    raw = torch.stack([x.x0_raw[0] for x in out])
    np.testing.assert_array_equal(recording.unpack(made, f"{rule}/raw"), raw.half().float().numpy())
    track = next(track for track in made.header["tracks"] if track["label"] == rule)
    cond = torch.stack([x.x0_cond[0] for x in out])
    delta = cond - torch.stack([x.x0_uncond[0] for x in out])
    for name, values in (("cond", cond), ("delta", delta)):
        step = np.array(track["scales"][name])[:, None, None, None] / 127
        error = np.abs(recording.unpack(made, f"{rule}/{name}") - values.numpy())
        # Half floats, of which these were made, add their own part.
        assert (error <= 0.5 * step + 1e-3 * float(cond.abs().max())).all()


def test_rules_that_the_player_cannot_apply_send_what_they_kept(watched) -> None:
    made, steps = watched
    kept = torch.stack([step.out.x0_hat[0] for step in steps["channelwise"]])
    np.testing.assert_array_equal(recording.unpack(made, "channelwise/kept"), kept.half().float().numpy())
    assert "dynamic/kept" not in made.blobs


def test_numbers_are_the_engines(watched) -> None:
    made, steps = watched
    for track in made.header["tracks"]:
        for i, step in enumerate(steps[track["label"]]):
            raw, kept = measure(step.out.x0_raw[:1]), measure(step.out.x0_hat[:1])
            numbers = {name: values[i] for name, values in track["numbers"].items()}
            assert numbers["s"] == pytest.approx(float(step.out.s[0]), rel=1e-5)
            assert numbers["outside"] == pytest.approx(float(raw.outside), rel=1e-5)
            assert numbers["contrast"] == pytest.approx(float(kept.contrast), rel=1e-5)
            assert numbers["colourfulness"] == pytest.approx(float(kept.colourfulness), rel=1e-5)


def test_live_frames_show_the_newest_step(watched) -> None:
    _, steps = watched
    asked = recording.under(request("a red ball", steps=4, guidance=9.0), RULES)
    frames = {rule: [Frame.of(step) for step in steps[rule][:2]] for rule in RULES}
    shown = json.loads(player.live(asked, frames, note=HOSTILE))
    assert [len(track["numbers"]["s"]) for track in shown["tracks"]] == [2] * 4
    assert sum(shown["tracks"][0]["histogram"]) == 3 * 64 * 64
    assert "<" not in player.live(asked, frames, note=HOSTILE)


def test_a_long_run_is_thinned_evenly_to_its_ends(tiny: Cascade) -> None:
    asked = request("a red ball", steps=1)
    _, steps = run(asked, tiny)
    one = Frame.of(steps["none"][0])
    many = [replace(one, index=i) for i in range(200)]
    made = recording.make({"none": asked}, {"none": many}, weights="w")
    kept = [step["step"] for step in made.header["steps"]]
    assert len(kept) == MOST_STEPS and kept[0] == 1 and kept[-1] == 200 and set(np.diff(kept)) <= {3, 4}


def test_at_w_1_there_is_no_difference_to_show(tiny: Cascade) -> None:
    made = record(request("a red ball", steps=2, guidance=1.0), tiny)
    assert "none/cond" in made.blobs and "none/delta" not in made.blobs


@pytest.mark.parametrize("schedule", ["linear", "cosine", "interval", "oscillating"])
def test_what_a_schedule_of_w_did_is_kept_step_by_step(tiny: Cascade, schedule: str) -> None:
    """Each guides some steps and leaves others alone; of those it guided, the mix can be done again."""
    asked = request("a red ball", steps=6, guidance=9.0, w_schedule=schedule, threshold="none")
    frames = [Frame.of(event) for event in generate(asked, tiny) if isinstance(event, StepRecord)]
    made = recording.make({"none": asked}, {"none": frames}, weights="w")
    (track,) = made.header["tracks"]
    off = [i for i, f in enumerate(frames) if f.uncond is None]
    assert 0 < len(off) < 6 and track["unguided"] == off
    assert [i for i, w in enumerate(track["weights"]) if w == 1] == off
    raw, cond, delta = (recording.unpack(made, f"none/{name}") for name in ("raw", "cond", "delta"))
    for i, w in enumerate(track["weights"]):
        error = np.abs(cond[i] + (w - 1) * delta[i] - raw[i]).max()
        eighth = track["scales"]["cond"][i] + abs(w - 1) * track["scales"]["delta"][i]
        # Half a step of the eight bits, and what half floats add.
        assert error <= 0.5 * eighth / 127 + 1e-3 * (1 + abs(w - 1)) * np.abs(cond).max()
    assert not delta[off].any()
    # A stopped run had the weights that a whole one has.
    stopped = recording.make({"none": asked}, {"none": frames[:4]}, weights="w")
    assert stopped.header["tracks"][0]["weights"] == track["weights"][:4]


def test_a_run_at_one_weight_needs_no_list_of_them(watched) -> None:
    for track in watched[0].header["tracks"]:
        assert "weights" not in track and "unguided" not in track


def test_nothing_recorded_is_refused() -> None:
    with pytest.raises(UserError, match="no step"):
        recording.make({"none": request("a")}, {"none": []}, weights="w")


def test_saved_and_loaded(watched, tmp_path: Path) -> None:
    made, _ = watched
    recording.save(made, tmp_path / "run.npz")
    back = recording.load(tmp_path / "run.npz")
    assert back.header == made.header and back.blobs == made.blobs
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "other"])
def test_damaged_and_hostile_files_are_refused(watched, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.npz"
    recording.save(watched[0], path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        np.savez(path, header=np.array([{"format": 1}], dtype=object))
    else:
        np.savez(path, header=np.array(json.dumps({"format": 2})))
    with pytest.raises(UserError, match="recording: "):
        recording.load(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tracks": "none"}, "header.tracks: must be of type array"),
        ({"steps": []}, "header.steps: is empty"),
        ({"size": None}, "header.size: must be of type integer"),
    ],
)
def test_a_header_that_does_not_fit_is_named_in_one_line(watched, tmp_path: Path, change: dict, reason: str) -> None:
    made = watched[0]
    recording.save(recording.Recording({**made.header, **change}, made.blobs), tmp_path / "run.npz")
    with pytest.raises(UserError, match=reason):
        recording.load(tmp_path / "run.npz")
    fewer = {name: data for name, data in made.blobs.items() if name != "none/cond"}
    recording.save(recording.Recording(made.header, fewer), tmp_path / "run.npz")
    with pytest.raises(UserError, match="none/cond is missing"):
        recording.load(tmp_path / "run.npz")


def test_shipped_recordings_are_of_the_shipped_weights() -> None:
    expected = {name: (title, asked, 2_000_000) for name, (title, asked) in SHIPPED.items()}
    expected |= {name: (ANOTHER, asked, 500_000) for name, asked in brief_runs().items()}
    assert {path.stem for path in FOLDER.rglob("*.npz")} == set(expected)
    weights = load_cascade("tabletop").digest
    for name, (title, asked, most) in expected.items():
        path = file_of(name)
        made = recording.load(path)
        assert (
            path.stat().st_size <= most and made.header["request"]["stages"][0]["guidance"] == asked.stages[0].guidance
        )
        current = (made.header["weights"], made.header["request"]["prompt"], made.header["title"])
        assert current == (weights, asked.prompt, title), "make them again: python -m imagen_core record"


def test_a_brief_recording_is_small_and_close(tiny: Cascade, watched) -> None:
    asked = request("a red ball", steps=20)
    whole, brief = record(asked, tiny), record(asked, tiny, brief=True)
    assert [step["step"] for step in brief.header["steps"]] == [1, 3, 6, 8, 11, 13, 15, 18, 20]
    assert set(brief.blobs) == {f"{rule}/raw" for rule in SIDE_BY_SIDE}
    kept = recording.unpack(whole, "dynamic/raw")[[step["step"] - 1 for step in brief.header["steps"]]]
    np.testing.assert_allclose(recording.unpack(brief, "dynamic/raw"), kept, rtol=1 / 256, atol=1e-4)


def test_recording_again_gives_the_same_file(tiny: Cascade, tmp_path: Path) -> None:
    asked = request("a red ball", steps=2)
    for name in ("a", "b"):
        recording.save(record(asked, tiny, title="t"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_report_is_one_file_without_markup_from_the_prompt(tiny: Cascade) -> None:
    made = record(request(HOSTILE, steps=2), tiny)
    page = report.page([made])
    assert "<script>alert" not in page and "<img" not in page
    assert "default-src 'none'" in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_report_says_how_each_of_its_pictures_is_made_again(tiny: Cascade) -> None:
    asked = request("a red ball", steps=2, guidance=9.0, threshold="squash", options={"knee": 0.6})
    made = record(asked, tiny, ("none", "squash"))
    assert recording.requests(made) == recording.under(asked, ("none", "squash"))
    page = report.page([made])
    assert "--threshold none --out none.png" in page and "knee=0.6" in page and "--out squash.png" in page


def test_a_stopped_run_is_a_shorter_recording(tiny: Cascade) -> None:
    asked = request("a red ball", steps=4)
    requests, steps = run(asked, tiny)
    # One rule may be a step ahead when Stop comes between two.
    frames = {rule: [Frame.of(step) for step in steps[rule][: 2 + (rule == "none")]] for rule in RULES}
    stopped = side_by_side.Run(asked, "w", "tiny", tiny.defaults, requests, frames)
    with gr.Blocks() as demo:
        tab = layout.lay_out(Model("tabletop"), demo).see
    update = tab.stopped(stopped)
    shown = json.loads(update[tab.player])
    assert len(shown["steps"]) == 2 and shown["planned"] == 4 and update[tab.report].interactive
    assert stopped.stopped and update[tab.status.line] == see.UNFINISHED
    assert set(update) == {tab.player, tab.report, *tab.status.parts}
