"""DeepFloyd IF under our sampler: whole runs agree with diffusers' own pipelines, on the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_deepfloyd import write_if
from torch import Tensor
from torch.testing import assert_close

from imagen_core.cascade import StageResult, generate
from imagen_core.checkpoints import Cascade, load_cascade
from imagen_core.samplers import unit_noise
from imagen_core.settings import Request, StageConfig
from imagen_core.types import StepRecord

PROMPT, SEED = "a red ball on grass", 5
IF_1 = StageConfig(64, 3, 7.0, "ancestral", "leading", percentile=95.0, options={"cap": 1.5})
IF_2 = StageConfig(256, 2, 4.0, "ancestral", "leading", percentile=95.0, options={"cap": 1.0}, aug_level=0.25)
# What the two schedulers' settings are called here.
THRESHOLDING = {
    "dynamic": {"thresholding": True},
    "static": {"thresholding": False, "clip_sample": True},
    "none": {"thresholding": False, "clip_sample": False},
}


@pytest.fixture(scope="module")
def stage_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_if(tmp_path_factory.mktemp("if") / "IF-I")


@pytest.fixture(scope="module")
def stage_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_if(tmp_path_factory.mktemp("if") / "IF-II", 2)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGEN_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def cascade(stage_1: Path, stage_2: Path) -> Cascade:
    return load_cascade(f"{stage_1}, {stage_2}")


def peer(folder: Path, monkeypatch: pytest.MonkeyPatch, noises: Iterator[Tensor], **scheduler: Any) -> Any:
    """diffusers' own pipeline on a folder, its scheduler changed, fed with our noise; x0_hats are kept."""
    from diffusers import DDPMScheduler, DiffusionPipeline
    from diffusers.pipelines.deepfloyd_if import pipeline_if, pipeline_if_superresolution
    from diffusers.schedulers import scheduling_ddpm

    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config, **scheduler)
    pipeline.set_progress_bar_config(disable=True)
    for module in (pipeline_if, pipeline_if_superresolution, scheduling_ddpm):
        monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: next(noises).reshape(shape))
    pipeline.x0_hats, step = [], pipeline.scheduler.step

    def watched(*args: Any, return_dict: bool = True, **options: Any) -> Any:
        out = step(*args, **options)
        pipeline.x0_hats.append(out.pred_original_sample)
        return (out.prev_sample,)

    pipeline.scheduler.step = watched
    return pipeline


def our_noise(name: str, seeds: tuple[int, ...], shape: tuple[int, ...], augmentation: bool) -> Iterator[Tensor]:
    """Our noise in the order in which the pipelines ask for it."""
    yield unit_noise(seeds, name, shape)
    if augmentation:
        yield unit_noise(seeds, f"{name}/augmentation", shape)
    for step in count():
        yield unit_noise(seeds, f"{name}/step {step}", shape)


def drained(events: Iterator[Any]) -> tuple[list[StepRecord], StageResult]:
    *steps, result = events
    return steps, result


@pytest.mark.parametrize("threshold", THRESHOLDING)
@pytest.mark.parametrize("w", [1.0, 7.0])
def test_a_run_of_stage_1_is_the_pipelines(
    stage_1: Path, cascade: Cascade, monkeypatch: pytest.MonkeyPatch, threshold: str, w: float
) -> None:
    options = IF_1.options if threshold == "dynamic" else {}
    config = replace(IF_1, threshold=threshold, guidance=w, options=options)
    steps, ours = drained(generate(Request(PROMPT, SEED, 2, (config,)), cascade))
    noise = our_noise("base64", (SEED, SEED + 1), (3, 64, 64), augmentation=False)
    pipeline = peer(stage_1, monkeypatch, noise, **THRESHOLDING[threshold])
    theirs = pipeline([PROMPT] * 2, num_inference_steps=3, guidance_scale=w, output_type="pt").images
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)
    for step, x0_hat in zip(steps, pipeline.x0_hats, strict=True):
        assert_close(step.out.x0_hat, x0_hat, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("threshold", ["dynamic", "none"])
def test_a_run_of_stage_2_is_the_pipelines(
    stage_2: Path, cascade: Cascade, monkeypatch: pytest.MonkeyPatch, threshold: str
) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    config = replace(IF_2, threshold=threshold, options=IF_2.options if threshold == "dynamic" else {})
    steps, ours = drained(generate(Request(PROMPT, SEED, 2, (IF_1, config)), cascade, image=image))
    noise = our_noise("sr256", (SEED, SEED + 1), (3, 256, 256), augmentation=True)
    pipeline = peer(stage_2, monkeypatch, noise, **THRESHOLDING[threshold])
    theirs = pipeline(
        [PROMPT] * 2, image=image, num_inference_steps=2, guidance_scale=4.0, noise_level=250, output_type="pt"
    ).images
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)
    for step, x0_hat in zip(steps, pipeline.x0_hats, strict=True):
        assert_close(step.out.x0_hat, x0_hat, atol=1e-3, rtol=1e-4)
