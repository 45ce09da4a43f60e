"""Our engine and diffusers' pipelines on the same weights: seconds a step and peak memory for the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.augmentation import aug_timestep
from ..models.cascade import Cascade, Loading
from ..models.deepfloyd.folder import Pipeline, defaults
from ..models.deepfloyd.load import dtype_of, find, load, on_card
from ..processes import pool
from ..run.generate import Inputs, run_stage
from ..settings import Plan
from ..types import TextEmbedding

# Each side runs this often, in turns, so that other work on the machine slows both alike.
REPEATS = 5


def peer(sources: Sequence[str], loading: Loading, prompt: str, steps: int) -> dict[str, Any]:
    """Sample each pixel stage at its own defaults, both sides in turns; memory is measured in separate processes.

    The first run of each side is not counted. ``ratio`` is ours divided by theirs, the median over pairs. On a GPU wall
    time counts; without one processor time, which other work on the machine disturbs less.

    Raises:
        UserError: as for loading.
    """
    cascade, pipelines = load(sources, loading), find(sources, loading)
    text = cascade.encode([prompt])
    stages = {}
    for pipeline in pipelines:
        if pipeline.kind == "latent":
            continue
        sides = {"ours": _ours(cascade, pipeline, text, steps), "diffusers": _theirs(pipeline, loading, text, steps)}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(REPEATS + 1):
            for side, run in sides.items():
                seconds[side].append(seconds_of(run, card=on_card(loading)) / steps)
        pairs = [ours / theirs for ours, theirs in zip(seconds["ours"][1:], seconds["diffusers"][1:])]
        stages[pipeline.spec.name] = {
            **{f"{side}_ms_a_step": round(1000 * statistics.median(v[1:]), 2) for side, v in seconds.items()},
            "ratio": round(statistics.median(pairs), 3),
        }
    memory = {}
    for side in ("ours", "diffusers"):
        # The peak of a process never falls, so each side runs in its own.
        with pool(1) as alone:
            memory[side] = alone.submit(_peak, side, tuple(sources), loading, text, steps).result()
    return {"steps": steps, "repeats": REPEATS, "stages": stages, "peak_memory_mb": memory}


def seconds_of(run: Callable[[], Any], *, card: bool) -> float:
    """Seconds that ``run`` takes: wall time including the GPU's work with a card, else processor time."""
    clock = time.perf_counter if card else time.process_time
    if card:
        torch.cuda.synchronize()
    began = clock()
    run()
    if card:
        # When the call returns, the work of a card is only queued.
        torch.cuda.synchronize()
    return clock() - began


def _ours(cascade: Cascade, pipeline: Pipeline, text: TextEmbedding, steps: int) -> Callable[[], Any]:
    size = pipeline.spec.size
    stage, config = cascade.stage(size), replace(cascade.defaults[size], steps=steps)
    image = _image() if pipeline.kind == "sr" else None
    # Safety checker and watermark are not part of the comparison.
    stage, plan = replace(stage, finish=None), Plan(config, stage.spec.schedule)

    def run() -> None:
        with torch.no_grad():
            for _ in run_stage(stage, plan, Inputs(text, (0,), image)):
                pass

    return run


def _theirs(pipeline: Pipeline, loading: Loading, text: TextEmbedding, steps: int) -> Callable[[], Any]:
    from diffusers import DiffusionPipeline

    left_out = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor", "watermarker"))
    options = {"variant": v} if (v := pipeline.weights["unet"].variant) else {}
    pipe: Any = DiffusionPipeline.from_pretrained(
        pipeline.folder, dtype=dtype_of(loading), requires_safety_checker=False, **left_out, **options
    )
    if on_card(loading):
        pipe.to("cuda" if loading.device == "auto" else loading.device)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler.set_timesteps(steps)
    embeddings = {"prompt_embeds": text.tokens, "negative_prompt_embeds": text.null().tokens}
    embeddings = {name: value.to(pipe.unet.device, pipe.unet.dtype) for name, value in embeddings.items()}
    config = defaults(pipeline.source)
    more: dict[str, Any] = {"guidance_scale": config.guidance, "output_type": "pt", **embeddings}
    if config.aug_level is not None:
        more |= {"image": _image(), "noise_level": int(aug_timestep(torch.tensor(config.aug_level)))}
    return lambda: pipe(num_inference_steps=steps, **more)


def _image() -> Tensor:
    return torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)


def _peak(side: str, sources: tuple[str, ...], loading: Loading, text: TextEmbedding, steps: int) -> int | None:
    """Peak memory in MB of a process that runs one side: the card's, or its own; None where it is not recorded."""
    cascade = load(sources, loading)
    for pipeline in find(sources, loading):
        if pipeline.kind != "latent":
            run = _ours(cascade, pipeline, text, steps) if side == "ours" else _theirs(pipeline, loading, text, steps)
            run()
    if on_card(loading):
        return torch.cuda.max_memory_allocated() // 2**20
    # ru_maxrss includes the parent's peak on Linux; VmHWM is the process's own.
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    peak = next((line for line in lines if line.startswith("VmHWM")), "")
    return int(peak.split()[1]) // 1024 if peak else None
