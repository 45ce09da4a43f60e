"""DeepFloyd IF under our sampler: whole runs agree with diffusers' own pipelines, on the same noise."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_deepfloyd import IF_1, IF_2, PROMPT, SEED, drained
from torch import Tensor
from torch.testing import assert_close

from imagen_core.diffusion.augmentation import aug_timestep
from imagen_core.diffusion.samplers import unit_noise
from imagen_core.models.cascade import Cascade
from imagen_core.models.deepfloyd.folder import STEPS
from imagen_core.models.opening import load_cascade
from imagen_core.run.generate import Inputs, check, generate, run_stage
from imagen_core.settings import Plan, Request
from imagen_core.types import UserError

pytestmark = pytest.mark.usefixtures("cache")


# What the two schedulers' settings are called here.
THRESHOLDING = {
    "dynamic": {"thresholding": True},
    "static": {"thresholding": False, "clip_sample": True},
    "none": {"thresholding": False, "clip_sample": False},
}


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


@pytest.mark.parametrize(("threshold", "w"), [*((threshold, 7.0) for threshold in THRESHOLDING), ("dynamic", 1.0)])
def test_a_run_of_stage_1_is_the_pipelines(
    stage_1: Path, tiny_if: Cascade, monkeypatch: pytest.MonkeyPatch, threshold: str, w: float
) -> None:
    options = IF_1.options if threshold == "dynamic" else {}
    config = replace(IF_1, threshold=threshold, guidance=w, options=options)
    steps, ours = drained(generate(Request(PROMPT, SEED, 2, (config,)), tiny_if))
    noise = our_noise("base64", (SEED, SEED + 1), (3, 64, 64), augmentation=False)
    pipeline = peer(stage_1, monkeypatch, noise, **THRESHOLDING[threshold])
    theirs = pipeline([PROMPT] * 2, num_inference_steps=3, guidance_scale=w, output_type="pt").images
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)
    for step, x0_hat in zip(steps, pipeline.x0_hats, strict=True):
        assert_close(step.out.x0_hat, x0_hat, atol=1e-3, rtol=1e-4)


def test_a_run_of_stage_2_is_the_pipelines(stage_2: Path, tiny_if: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    steps, ours = drained(generate(Request(PROMPT, SEED, 2, (IF_1, IF_2)), tiny_if, image=image))
    noise = our_noise("sr256", (SEED, SEED + 1), (3, 256, 256), augmentation=True)
    pipeline = peer(stage_2, monkeypatch, noise)
    theirs = pipeline(
        [PROMPT] * 2, image=image, num_inference_steps=2, guidance_scale=4.0, noise_level=250, output_type="pt"
    ).images
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)
    for step, x0_hat in zip(steps, pipeline.x0_hats, strict=True):
        assert_close(step.out.x0_hat, x0_hat, atol=1e-3, rtol=1e-4)


def test_a_run_of_stage_3_is_the_pipelines(
    stage_1: Path, stage_2: Path, stage_3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A latent stage: v-prediction, its own text encoder, a picture that stays small; here 32 → 128."""
    from diffusers import DDIMScheduler, StableDiffusionUpscalePipeline
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_upscale as module

    cascade = load_cascade(f"{stage_1},{stage_2},{stage_3}")
    assert cascade.sizes == (64, 256, 1024) and cascade.defaults[1024].threshold == "none"
    stage = cascade.stage(1024)
    stage = replace(stage, spec=replace(stage.spec, size=128))
    config = replace(cascade.defaults[1024], steps=2)
    torch.manual_seed(0)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    steps, ours = drained(
        run_stage(stage, Plan(config, stage.spec.schedule), Inputs(stage.encode([PROMPT] * 2), (1, 2), image))
    )
    assert steps[0].z.shape == (2, 4, 32, 32) and ours.image.shape == (2, 3, 128, 128)
    pipeline = StableDiffusionUpscalePipeline.from_pretrained(stage_3)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, set_alpha_to_one=True)
    noise = unit_noise((1, 2), "sr1024/augmentation", (3, 32, 32))
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise)
    theirs = pipeline(
        [PROMPT] * 2, image=image, num_inference_steps=2, guidance_scale=9.0, noise_level=20, output_type="latent",
        latents=unit_noise((1, 2), "sr1024", (4, 32, 32)),
    ).images  # fmt: skip
    assert_close(steps[-1].out.x0_hat, theirs, atol=1e-3, rtol=1e-4)
    decoded = pipeline.vae.decode(theirs / pipeline.vae.config.scaling_factor).sample.clamp(-1, 1)
    assert_close(ours.image, decoded, atol=1e-3, rtol=0)


def test_weights_and_aug_levels_are_the_pipelines_defaults(stage_1: Path, stage_2: Path, stage_3: Path) -> None:
    """And the steps are not: 50 is our choice for every stage."""
    from diffusers import IFPipeline, IFSuperResolutionPipeline, StableDiffusionUpscalePipeline

    classes = (IFPipeline, IFSuperResolutionPipeline, StableDiffusionUpscalePipeline)
    theirs = [inspect.signature(kind.__call__).parameters for kind in classes]
    defaults = load_cascade(f"{stage_1},{stage_2},{stage_3}").defaults.values()
    assert [config.guidance for config in defaults] == [call["guidance_scale"].default for call in theirs]
    told = [int(aug_timestep(torch.tensor(config.aug_level))) for config in defaults if config.aug_level is not None]
    assert told == [call["noise_level"].default for call in theirs[1:]]
    assert [call["num_inference_steps"].default for call in theirs] == [100, 50, 75]
    assert {config.steps for config in defaults} == {STEPS}


def test_a_latent_stage_takes_no_threshold(stage_1: Path, stage_2: Path, stage_3: Path) -> None:
    cascade = load_cascade(f"{stage_1},{stage_2},{stage_3}")
    stages = tuple(cascade.defaults[size] for size in cascade.sizes)
    check(Request(PROMPT, stages=stages), cascade)
    with pytest.raises(UserError, match="samples latents, which have no range"):
        check(Request(PROMPT, stages=(*stages[:2], replace(stages[2], threshold="dynamic"))), cascade)


@pytest.mark.parametrize(("folder", "size", "image"), [("stage_1", 32, None), ("stage_2", 64, 16)])
def test_another_size_is_the_pipelines(
    folder: str, size: int, image: int | None, tiny_if: Cascade, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks are convolutional; size comes from the spec alone. Here without thresholding."""
    config = replace(IF_2 if image else IF_1, threshold="none", options={})
    stage = tiny_if.stage(config.size)
    stage = replace(stage, spec=replace(stage.spec, size=size))
    low_res = torch.linspace(-1, 1, 3 * image**2).reshape(1, 3, image, image) if image else None
    _, ours = drained(
        run_stage(stage, Plan(config, stage.spec.schedule), Inputs(tiny_if.encode([PROMPT]), (SEED,), low_res))
    )
    noise = our_noise(stage.spec.name, (SEED,), (3, size, size), augmentation=image is not None)
    pipeline = peer(request.getfixturevalue(folder), monkeypatch, noise, **THRESHOLDING["none"])
    more = {"image": low_res, "noise_level": 250} if image else {}
    theirs = pipeline(
        PROMPT, num_inference_steps=config.steps, guidance_scale=config.guidance, height=size, width=size,
        output_type="pt", **more,
    ).images  # fmt: skip
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)
