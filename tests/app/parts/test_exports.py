"""What a run is taken home as: animations, rows and figures agree with the run, whatever its prompt."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from app_page import SHORT

from app.parts import exports, figures
from app.parts.side_by_side import requests_of
from app.tabs import inspect as inspect_tab
from imagen_core.models.cascade import Cascade
from imagen_core.records import png
from imagen_core.records.frames import Frame
from imagen_core.run.experiments import vary_base
from imagen_core.run.generate import generate
from imagen_core.types import StageResult


def test_a_long_run_makes_a_short_animation(tiny: Cascade) -> None:
    asked = replace(vary_base(SHORT, {"steps": 80}), stages=vary_base(SHORT, {"steps": 80}).stages[:1])
    frames = [Frame.of(e) for e in list(generate(asked, tiny))[:-1]]
    assert len(exports.trajectory({"dynamic": frames})) == exports.MOST_FRAMES
    assert len(exports.rows({"dynamic": frames})) == 80


def test_the_last_frame_is_the_picture(tiny: Cascade) -> None:
    """The animation is lossless: its last panel, shrunk to its own pixels, is the run's picture."""
    requests = requests_of(inspect_tab.first_of(SHORT))
    frames = {}
    for rule, asked in requests.items():
        events = list(generate(asked, tiny))
        frames[rule] = [Frame.of(e) for e in events if not isinstance(e, StageResult)]
        image = events[-1].image[0]
    sheet = np.asarray(exports.trajectory(frames)[-1])
    panel = sheet[exports.BAND :, -256:][::4, ::4].transpose(2, 0, 1).astype(int)
    # Frames are kept in half precision.
    assert rule == "dynamic" and abs(panel - png.to_bytes(image)).max() <= 1


@pytest.mark.filterwarnings("ignore:Glyph")
def test_figures_take_any_prompt(tiny: Cascade) -> None:
    asked = replace(SHORT, prompt="$\\frac{1}{0}$ <b> & \n 球 " + "x" * 200)
    frames = {
        rule: [Frame.of(e) for e in generate(one, tiny) if not isinstance(e, StageResult)]
        for rule, one in requests_of(inspect_tab.first_of(asked)).items()
    }
    file = io.BytesIO()
    figures.film_strip(frames, asked).savefig(file, format="svg")
    assert b"<b>" not in file.getvalue()
