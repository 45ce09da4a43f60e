"""bfloat16: the weights are cast once, the sampler's state stays float32, and without it float32 is used and said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from imagen_core.__main__ import main
from imagen_core.models.cascade import Cascade, Loading
from imagen_core.models.checkpoints import unet_of
from imagen_core.models.opening import falls_back, load_cascade
from imagen_core.run.generate import generate
from imagen_core.settings import request
from imagen_core.types import StageResult, StepRecord, UserError

HALF = Loading(dtype="bfloat16")


def processor(monkeypatch: pytest.MonkeyPatch, *, has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)


def test_weights_are_cast_once_and_the_state_stays_float32(
    tiny: Cascade, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, has=True)
    half = load_cascade(tiny_folder, HALF)
    assert all(p.dtype == torch.bfloat16 for stage in half.stages for p in unet_of(stage).parameters())
    asked = request("a red ball", steps=2, size=256)
    events, reference = list(generate(asked, half)), list(generate(asked, tiny))
    for event, other in zip(events, reference):
        if isinstance(event, StepRecord):
            assert {event.z.dtype, event.out.x0_cond.dtype, event.out.x0_hat.dtype} == {torch.float32}
            # One step in bfloat16 has an error of its eight bits, far below the estimate itself.
            if event.index == 0 and event.stage == "base64":
                assert 0 < float((event.out.x0_cond - other.out.x0_cond).norm() / other.out.x0_cond.norm()) < 0.05
        elif isinstance(event, StageResult):
            assert event.image.dtype == torch.float32


def test_a_processor_without_it_computes_in_float32_and_says_so(
    tiny: Cascade, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processor(monkeypatch, has=False)
    assert falls_back(str(tiny_folder), HALF).startswith("dtype: this processor has no bfloat16")
    assert main(["info", "--model", str(tiny_folder), "--dtype", "bfloat16"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "bfloat16" in line] == [
        "imagen_core: dtype: this processor has no bfloat16 (avx512_bf16, amx_bf16); computing in float32"
    ]
    weights = unet_of(load_cascade(tiny_folder, HALF).stages[0]).state_dict()
    assert_close(dict(weights), dict(unet_of(tiny.stages[0]).state_dict()))


def test_float32_is_what_a_cascade_of_this_project_takes_on_its_own(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, has=True)
    for dtype in ("auto", "float32"):
        network = unet_of(load_cascade(tiny_folder, Loading(dtype=dtype)).stages[0])
        assert network.stem.weight.dtype == torch.float32
        assert not falls_back(str(tiny_folder), Loading(dtype=dtype))
    with pytest.raises(UserError, match="^dtype: float16 is for DeepFloyd IF"):
        load_cascade(tiny_folder, Loading(dtype="float16"))
