"""How long a run will take, learnt from the steps before it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from app_page import SHORT

from app.serving import pace
from imagen_core.run.experiments import vary_base


def test_the_pace_is_learnt_from_rows_and_steps() -> None:
    """Guidance takes two rows of each picture at an evaluation; the first step is warming up.

    Of Heun's three steps only the middle one makes two evaluations. Weights that are off take one row.
    """
    learnt = pace.Pace()
    assert learnt.seconds([SHORT]) is None and pace.about(None) == "time not known yet"
    guided = vary_base(replace(SHORT, stages=SHORT.stages[:1]), {"w_schedule": "constant"})
    for index, seconds in enumerate((9.0, 0.2, 0.2)):
        learnt.note(SimpleNamespace(stage="base64", index=index), seconds, [guided], "cosine")
    assert learnt.seconds([guided]) == pytest.approx(3 * 0.2)
    assert learnt.seconds([guided], taken=1) == pytest.approx(2 * 0.2) and learnt.seconds([guided], taken=3) == 0
    assert learnt.seconds([vary_base(guided, {"guidance": 1.0})]) == pytest.approx(3 * 0.1)
    assert learnt.seconds([vary_base(guided, {"sampler": "heun"})] * 2) == pytest.approx(2 * 4 * 0.2)
    assert learnt.seconds([vary_base(guided, {"w_schedule": "interval"})]) == pytest.approx(0.1 + 0.2 + 0.2)
    assert learnt.seconds([vary_base(guided, {"guidance_rule": "classifier"})]) == pytest.approx(3 * 0.1)
    assert learnt.seconds([vary_base(guided, {"guidance_rule": "cfgpp", "guidance": 1.0})]) == pytest.approx(3 * 0.2)
    assert learnt.seconds([replace(guided, count=4)]) == pytest.approx(4 * 3 * 0.2)
    assert learnt.seconds([SHORT]) is None and learnt.seconds([SHORT], above=1024) == 0
