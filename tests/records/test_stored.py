"""Files that earlier versions wrote still open: a picture, a trace, a recording, a link."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from imagen_core.records import png, recording, trace
from imagen_core.run.branch import reapply
from imagen_core.settings import SIDE_BY_SIDE, request
from imagen_core.settings.text import from_query
from imagen_core.types import UserError

STORED = Path(__file__).parents[1] / "data" / "stored"
ASKED = request("a red ball on sand", seed=3, steps=2, guidance=8.0, w_schedule="constant")


def test_a_stored_picture_has_its_settings() -> None:
    """Its percentile stands beside the options, and there is one whatever the rule."""
    data = (STORED / "run.png").read_bytes()
    assert png.read_settings(data) == (ASKED, ())
    assert ASKED.stages[0].percentile == 99.5


def test_a_stored_trace_is_read_and_applied_again(tmp_path: Path) -> None:
    """It does not name the schedule that its stage was trained with; written again, it does."""
    old = trace.load(STORED / "run.npz")
    stage = old.stages["base64"]
    assert old.request == ASKED and stage.trained == "cosine" and stage.steps == 2
    assert [level.t for level in stage.levels] == [1.0, 0.5, 0.0] and math.isinf(stage.levels[-1].log_snr)
    out = reapply(old, 1, ASKED.stages[0])
    assert float((out.x0_raw - stage.arrays["x0_raw"][1]).abs().max()) < 0.05
    trace.save(old, tmp_path / "again.npz")
    assert trace.load(tmp_path / "again.npz").stages["base64"].levels == stage.levels


def test_a_trace_of_an_unknown_schedule_is_refused(tmp_path: Path) -> None:
    old = trace.load(STORED / "run.npz")
    stages = {"base64": replace(old.stages["base64"], trained="sine")}
    trace.save(replace(old, stages=stages), tmp_path / "x.npz")
    with pytest.raises(UserError, match="^trace: the levels of base64 are not those of its settings"):
        trace.load(tmp_path / "x.npz")


def test_a_stored_link_has_every_setting() -> None:
    """A link gives a percentile with any rule, also with one that takes none."""
    query = (STORED / "link.txt").read_text().strip().lstrip("?")
    found = from_query(parse_qsl(query, keep_blank_values=True), {})
    assert found is not None and found[1] == ()
    base, larger = found[0].stages
    assert (base.sampler, base.threshold, base.percentile, base.options) == (
        "ddim", "static", 99.5, {"low": -10.0, "high": 2.0}
    )  # fmt: skip
    assert (larger.spacing, larger.aug_level) == ("late", 0.1)


def test_a_stored_recording_has_its_runs_and_pictures() -> None:
    """One run under each of the paper's three rules, two steps each."""
    old = recording.load(STORED / "recording.npz")
    requests = recording.requests(old)
    assert list(requests) == list(SIDE_BY_SIDE)
    assert requests["dynamic"] == ASKED
    for rule in SIDE_BY_SIDE:
        estimates = recording.unpack(old, f"{rule}/raw")
        assert estimates.shape == (2, 3, 64, 64) and abs(float(estimates[-1].mean())) < 1
