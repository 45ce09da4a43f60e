"""DeepFloyd IF under our sampler: whole runs agree with diffusers' own pipelines, on the same noise."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_deepfloyd import write_if, write_upscaler
from torch import Tensor
from torch.testing import assert_close

from imagen_core.augmentation import aug_timestep, augment, resize
from imagen_core.cascade import StageResult, check, generate, run_stage
from imagen_core.checkpoints import load_cascade
from imagen_core.deepfloyd import captions
from imagen_core.deepfloyd.layout import STEPS
from imagen_core.models import Cascade, Loading
from imagen_core.samplers import SAMPLERS, unit_noise
from imagen_core.schedules import DISCRETE, SCHEDULES, alpha_sigma, levels, timestep_of
from imagen_core.settings import Request, StageConfig
from imagen_core.types import StepRecord, UserError

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


@pytest.mark.parametrize(("threshold", "w"), [*((threshold, 7.0) for threshold in THRESHOLDING), ("dynamic", 1.0)])
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


def test_a_run_of_stage_2_is_the_pipelines(stage_2: Path, cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    steps, ours = drained(generate(Request(PROMPT, SEED, 2, (IF_1, IF_2)), cascade, image=image))
    noise = our_noise("sr256", (SEED, SEED + 1), (3, 256, 256), augmentation=True)
    pipeline = peer(stage_2, monkeypatch, noise)
    theirs = pipeline(
        [PROMPT] * 2, image=image, num_inference_steps=2, guidance_scale=4.0, noise_level=250, output_type="pt"
    ).images
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)
    for step, x0_hat in zip(steps, pipeline.x0_hats, strict=True):
        assert_close(step.out.x0_hat, x0_hat, atol=1e-3, rtol=1e-4)


@pytest.fixture(scope="module")
def stage_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_upscaler(tmp_path_factory.mktemp("if") / "x4")


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
    steps, ours = drained(run_stage(stage, config, stage.encode([PROMPT] * 2), (1, 2), image))
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
    folder: str, size: int, image: int | None, cascade: Cascade, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks are convolutional; size comes from the spec alone. Here without thresholding."""
    config = replace(IF_2 if image else IF_1, threshold="none", options={})
    stage = cascade.stage(config.size)
    stage = replace(stage, spec=replace(stage.spec, size=size))
    low_res = torch.linspace(-1, 1, 3 * image**2).reshape(1, 3, image, image) if image else None
    _, ours = drained(run_stage(stage, config, cascade.encode([PROMPT]), (SEED,), low_res))
    noise = our_noise(stage.spec.name, (SEED,), (3, size, size), augmentation=image is not None)
    pipeline = peer(request.getfixturevalue(folder), monkeypatch, noise, **THRESHOLDING["none"])
    more = {"image": low_res, "noise_level": 250} if image else {}
    theirs = pipeline(
        PROMPT, num_inference_steps=config.steps, guidance_scale=config.guidance, height=size, width=size,
        output_type="pt", **more,
    ).images  # fmt: skip
    assert_close(ours.image, theirs.clamp(-1, 1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("schedule", DISCRETE)
def test_schedules_and_timesteps_are_diffusers(schedule: str) -> None:
    from diffusers import DDPMScheduler

    peer = DDPMScheduler(1000, 1e-4, 0.02, beta_schedule=schedule)
    t = (torch.arange(1000).double() + 1) / 1000
    alpha, _ = alpha_sigma(SCHEDULES[schedule](t))
    # The peer's last beta of 0.999 is rounded to float32, which moves 1 - beta by 5e-5 of itself.
    assert_close(alpha.float() ** 2, peer.alphas_cumprod, rtol=2e-5, atol=0)
    assert timestep_of(schedule, SCHEDULES[schedule](t).float()).tolist() == list(range(1000))
    for spacing, theirs in (("leading", "leading"), ("trailing", "trailing")):
        peer = DDPMScheduler(1000, beta_schedule=schedule, timestep_spacing=theirs)
        for steps in (5, 20, 50, 7) if spacing == "leading" else (5, 20, 50):
            peer.set_timesteps(steps)
            told = torch.tensor([level.log_snr for level in levels(schedule, steps, spacing)[:-1]])
            assert timestep_of(schedule, told).tolist() == peer.timesteps.tolist()


def test_between_timesteps_the_network_is_told_a_fraction() -> None:
    between = SCHEDULES["squaredcos_cap_v2"](torch.tensor([0.5004], dtype=torch.float64))
    assert_close(timestep_of("squaredcos_cap_v2", between), torch.tensor([499.4], dtype=torch.float64))
    # Beyond its ends, as with another schedule's levels, it is told the nearest it knows.
    assert timestep_of("squaredcos_cap_v2", torch.tensor([30.0, -40.0])).tolist() == [0, 999]


def test_augmentation_is_the_noising_schedulers() -> None:
    """One whole level, the same noise, and bilinear enlargement from corner to corner."""
    from diffusers import DDPMScheduler

    x, noise = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 16, 16)
    larger = torch.nn.functional.interpolate(x, (16, 16), mode="bilinear", align_corners=True)
    assert_close(resize(x, 16, "deepfloyd"), larger)
    peer = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    for level, whole in ((0.0, 0), (0.1, 100), (0.25, 250), (1.0, 999)):
        assert int(aug_timestep(torch.tensor(level))) == whole
        theirs = peer.add_noise(larger, noise, torch.tensor([whole, whole]))
        assert_close(augment(larger, level, noise, "deepfloyd"), theirs, atol=1e-5, rtol=1e-4)


def with_other_variance(cascade: Cascade) -> Cascade:
    """The same networks, whose learned variance alone says something else."""
    unet = cascade.stages[0].network.unet
    changed = load_cascade(cascade.stages[0].training["source"])
    bias = changed.stages[0].network.unet.conv_out.bias
    bias.data[3:] += 2.0
    assert_close(bias[:3], unet.conv_out.bias[:3])
    return changed


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_learned_variance_is_the_ancestral_samplers_alone(cascade: Cascade, sampler: str) -> None:
    asked = Request(PROMPT, SEED, 1, (replace(IF_1, sampler=sampler, steps=2),))
    _, before = drained(generate(asked, cascade))
    _, after = drained(generate(asked, with_other_variance(cascade)))
    assert torch.isfinite(before.image).all()
    assert torch.equal(before.image, after.image) == (sampler != "ancestral")


def test_the_state_stays_float32_around_a_half_precision_network(stage_1: Path) -> None:
    half = load_cascade(stage_1, Loading(dtype="bfloat16"))
    steps, _ = drained(generate(Request(PROMPT, SEED, 1, (IF_1,)), half))
    assert half.stages[0].network.unet.dtype == torch.bfloat16
    assert {step.z.dtype for step in steps} == {step.out.x0_hat.dtype for step in steps} == {torch.float32}


def test_what_depends_on_the_text_is_computed_once(cascade: Cascade) -> None:
    unet = cascade.stages[0].network.unet
    projections = [unet.encoder_hid_proj, unet.add_embedding]
    projections += [m.add_k_proj for m in unet.modules() if getattr(m, "added_kv_proj_dim", None)]
    before = [module.forward.cache_info().misses for module in projections]
    drained(generate(Request("a cat on sand", SEED, 1, (IF_1,)), cascade))
    assert len(projections) > 3
    assert [module.forward.cache_info().misses - n for module, n in zip(projections, before)] == [1] * len(before)


def remembered(unet: Any) -> list[Any]:
    """Everything of a network that keeps what it computed of a text."""
    functions = [getattr(m, name, None) for m in unet.modules() for name in ("forward", "norm_encoder_hidden_states")]
    return [function for function in functions if hasattr(function, "cache_info")]


def test_rules_side_by_side_share_what_is_computed_of_a_text(cascade: Cascade) -> None:
    """Three rules, one of them without guidance: the text is read with its null text, and alone, whoever asks first."""
    from imagen_core.cascade import compare

    unet = cascade.stages[0].network.unet
    before = [function.cache_info().misses for function in remembered(unet)]
    configs = [replace(IF_1, guidance=1.0), IF_1, replace(IF_1, threshold="static", options={})]
    list(compare([Request("two dogs", SEED, 1, (config,)) for config in configs], cascade))
    assert [function.cache_info().misses - n for function, n in zip(remembered(unet), before)] == [2] * len(before)


def test_the_projections_of_one_run_alone_are_kept(cascade: Cascade) -> None:
    """They stay on the card: those of every text that was ever read would fill it."""
    network = cascade.stages[0].network
    for prompt in ("a dog", "a cat", "a ball", "two cats", "sand"):
        drained(generate(Request(prompt, SEED, 1, (replace(IF_1, steps=2),)), cascade))
        caches = remembered(network.unet)
        assert len(caches) > 5 and all(0 < function.cache_info().currsize <= 2 for function in caches)


def test_text_is_what_the_pipeline_reads(stage_1: Path, cascade: Cascade) -> None:
    """Caption cleaning, padding to 77, and a null text that is T5("") rather than zeros."""
    from diffusers import DiffusionPipeline

    dirty = 'A <b>RED</b> ball &amp; "cube" – see https://example.com/x.png #123 @somebody'
    pipeline = DiffusionPipeline.from_pretrained(stage_1)
    text, null = pipeline.encode_prompt([dirty, PROMPT], clean_caption=True)
    ours = cascade.encode([dirty, PROMPT])
    assert_close(ours.tokens, text)
    assert_close(ours.null().tokens, null)
    assert ours.tokens.shape[1] == 77 and ours.mask[1].sum() < 77
    assert captions.clean(dirty) == pipeline._text_preprocessing([dirty], clean_caption=True)[0]


def test_the_encoder_leaves_and_what_it_read_stays(stage_1: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = load_cascade(stage_1)
    monkeypatch.setattr(captions, "MOST_AT_ONCE", 2)
    loads, alive = cascade.encode.load, []

    def watched() -> Any:
        tokenizer, load = loads()

        def loaded() -> Any:
            model = load()
            alive.append(weakref.ref(model))
            return model

        return tokenizer, loaded

    cascade.encode.load = watched
    first = cascade.encode(["a dog", "a cat", "a dog"])
    gc.collect()
    assert len(alive) == 1 and alive[0]() is None
    assert torch.equal(first.tokens[0], first.tokens[2]) and not torch.equal(first.tokens[0], first.tokens[1])

    again = load_cascade(stage_1)
    again.encode.load = lambda: pytest.fail("what is on the disk must not be read again")
    assert torch.equal(again.encode(["a cat"]).tokens[0], first.tokens[1])
    # Another dtype is another embedding.
    other = load_cascade(stage_1, Loading(dtype="bfloat16"))
    assert other.encode.digest != again.encode.digest
    # A damaged file is read anew.
    for file in cache.glob("text/*"):
        file.write_bytes(b"nothing")
    anew = load_cascade(stage_1)
    assert torch.equal(anew.encode(["a cat"]).tokens[0], first.tokens[1])


@pytest.mark.parametrize("others", [[], ["a dog"]])
def test_a_prompt_beyond_77_tokens_is_refused_before_the_encoder_loads(stage_1: Path, others: list[str]) -> None:
    encode = load_cascade(stage_1).encode
    load = encode.load
    encode.load = lambda: (load()[0], lambda: pytest.fail("not for this"))
    with pytest.raises(UserError, match=r"prompt: 'ball ball .* has \d+ tokens, .* reads at most 77"):
        encode([*others, "ball " * 99])


def test_stages_side_by_side_share_networks(cascade: Cascade) -> None:
    """Rules in lockstep alternate between texts' contexts, and end as if each had run alone."""
    from imagen_core.cascade import compare

    runs = [Request(PROMPT, SEED, 1, (replace(IF_1, guidance=w),)) for w in (1.0, 4.0)]
    together = list(compare(runs, cascade))[-1]
    alone = [drained(generate(run, cascade))[1] for run in runs]
    for a, b in pairwise((together[0], alone[0])):
        assert torch.equal(a.image, b.image)
    assert torch.equal(together[1].image, alone[1].image)


def test_a_network_may_lie_partly_on_the_disk(
    stage_1: Path, cascade: Cascade, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spread by accelerate over too little memory and the disk, it makes the same picture."""
    from imagen_core.deepfloyd import load

    place = load.placement
    monkeypatch.setattr(load, "placement", lambda loading: {**place(loading), "max_memory": {"cpu": "300KB"}})
    spread = load_cascade(stage_1)
    asked = Request(PROMPT, SEED, 1, (replace(IF_1, steps=2),))
    _, there = drained(generate(asked, spread))
    assert set(spread.stages[0].network.unet.hf_device_map.values()) == {"cpu", "disk"}
    assert_close(there.image, drained(generate(asked, cascade))[1].image)


def test_a_cards_work_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of which 2 seconds' work is still queued when a run begins, and 3 are queued by the run itself."""
    from imagen_core import peer

    now, queued = 0.0, 2.0

    def run() -> None:
        nonlocal queued
        queued += 3.0

    def synchronize() -> None:
        nonlocal now, queued
        now, queued = now + queued, 0.0

    monkeypatch.setattr(peer.time, "perf_counter", lambda: now)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert peer.seconds_of(run, card=True) == 3.0


@pytest.mark.slow
def test_ours_runs_beside_diffusers(stage_1: Path) -> None:
    from imagen_core.peer import peer

    told = peer((str(stage_1),), Loading(), PROMPT, 2)
    assert told["stages"]["base64"]["ratio"] > 0
    assert all(megabytes > 100 for megabytes in told["peak_memory_mb"].values())
