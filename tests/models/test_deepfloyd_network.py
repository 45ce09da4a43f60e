"""DeepFloyd IF's networks in our stages: learned variance, what is kept of a text, dtypes, and a place on the disk."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_deepfloyd import IF_1, PROMPT, SEED, drained
from torch.testing import assert_close

from imagen_core.diffusion.samplers import SAMPLERS
from imagen_core.models.cascade import Cascade, Loading
from imagen_core.models.opening import load_cascade
from imagen_core.run.experiments import compare
from imagen_core.run.generate import generate
from imagen_core.settings import Request

pytestmark = pytest.mark.usefixtures("cache")


def with_other_variance(cascade: Cascade) -> Cascade:
    """The same networks, whose learned variance alone says something else."""
    unet = cascade.stages[0].network.unet
    changed = load_cascade(cascade.stages[0].training["source"])
    bias = changed.stages[0].network.unet.conv_out.bias
    bias.data[3:] += 2.0
    assert_close(bias[:3], unet.conv_out.bias[:3])
    return changed


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_learned_variance_is_the_ancestral_samplers_alone(tiny_if: Cascade, sampler: str) -> None:
    asked = Request(PROMPT, SEED, 1, (replace(IF_1, sampler=sampler, steps=2),))
    _, before = drained(generate(asked, tiny_if))
    _, after = drained(generate(asked, with_other_variance(tiny_if)))
    assert torch.isfinite(before.image).all()
    assert torch.equal(before.image, after.image) == (sampler != "ancestral")


def test_the_state_stays_float32_around_a_half_precision_network(stage_1: Path) -> None:
    half = load_cascade(stage_1, Loading(dtype="bfloat16"))
    steps, _ = drained(generate(Request(PROMPT, SEED, 1, (IF_1,)), half))
    assert half.stages[0].network.unet.dtype == torch.bfloat16
    assert {step.z.dtype for step in steps} == {step.out.x0_hat.dtype for step in steps} == {torch.float32}


def test_what_depends_on_the_text_is_computed_once(tiny_if: Cascade) -> None:
    unet = tiny_if.stages[0].network.unet
    projections = [unet.encoder_hid_proj, unet.add_embedding]
    projections += [m.add_k_proj for m in unet.modules() if getattr(m, "added_kv_proj_dim", None)]
    before = [module.forward.cache_info().misses for module in projections]
    drained(generate(Request("a cat on sand", SEED, 1, (IF_1,)), tiny_if))
    assert len(projections) > 3
    assert [module.forward.cache_info().misses - n for module, n in zip(projections, before)] == [1] * len(before)


def remembered(unet: Any) -> list[Any]:
    """Everything of a network that keeps what it computed of a text."""
    functions = [getattr(m, name, None) for m in unet.modules() for name in ("forward", "norm_encoder_hidden_states")]
    return [function for function in functions if hasattr(function, "cache_info")]


def test_rules_side_by_side_share_what_is_computed_of_a_text(tiny_if: Cascade) -> None:
    """Three rules, one of them without guidance: the text is read with its null text, and alone, whoever asks first."""
    unet = tiny_if.stages[0].network.unet
    before = [function.cache_info().misses for function in remembered(unet)]
    configs = [replace(IF_1, guidance=1.0), IF_1, replace(IF_1, threshold="static", options={})]
    list(compare([Request("two dogs", SEED, 1, (config,)) for config in configs], tiny_if))
    assert [function.cache_info().misses - n for function, n in zip(remembered(unet), before)] == [2] * len(before)


def test_the_projections_of_one_run_alone_are_kept(tiny_if: Cascade) -> None:
    """They stay on the card: those of every text that was ever read would fill it."""
    network = tiny_if.stages[0].network
    for prompt in ("a dog", "a cat", "a ball", "two cats", "sand"):
        drained(generate(Request(prompt, SEED, 1, (replace(IF_1, steps=2),)), tiny_if))
        caches = remembered(network.unet)
        assert len(caches) > 5 and all(0 < function.cache_info().currsize <= 2 for function in caches)


def test_stages_side_by_side_share_networks(tiny_if: Cascade) -> None:
    """Rules in lockstep alternate between texts' contexts, and end as if each had run alone."""
    runs = [Request(PROMPT, SEED, 1, (replace(IF_1, guidance=w),)) for w in (1.0, 4.0)]
    together = list(compare(runs, tiny_if))[-1]
    alone = [drained(generate(run, tiny_if))[1] for run in runs]
    for a, b in pairwise((together[0], alone[0])):
        assert torch.equal(a.image, b.image)
    assert torch.equal(together[1].image, alone[1].image)


def test_a_network_may_lie_partly_on_the_disk(
    stage_1: Path, tiny_if: Cascade, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spread by accelerate over too little memory and the disk, it makes the same picture."""
    from imagen_core.models.deepfloyd import load

    place = load.placement
    monkeypatch.setattr(load, "placement", lambda loading: {**place(loading), "max_memory": {"cpu": "300KB"}})
    spread = load_cascade(stage_1)
    asked = Request(PROMPT, SEED, 1, (replace(IF_1, steps=2),))
    _, there = drained(generate(asked, spread))
    assert set(spread.stages[0].network.unet.hf_device_map.values()) == {"cpu", "disk"}
    assert_close(there.image, drained(generate(asked, tiny_if))[1].image)
