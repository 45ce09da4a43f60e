"""The sizes of networks: each needs more than the one before, and the smallest draws."""

from __future__ import annotations

import pytest
import torch

from imagen_core.networks.sizes import SIZES, config_of, needs
from imagen_core.networks.unet import UNet
from imagen_core.training.recipes import STAGES
from imagen_core.types import TextEmbedding


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_each_size_needs_more_than_the_one_before(stage) -> None:
    costs = [needs(config_of(stage.name, size), stage.size) for size in SIZES]
    for name in ("parameters", "gflop_per_evaluation"):
        values = [cost[name] for cost in costs]
        assert values == sorted(set(values))


def test_the_smallest_base_is_about_a_quarter_and_draws() -> None:
    counts = [needs(config_of("base64", size), 64)["parameters"] for size in ("XXS", "S")]
    assert counts[0] / counts[1] == pytest.approx(0.25, abs=0.02)
    net = UNet(config_of("base64", "XXS")).eval()
    text = TextEmbedding(torch.randn(1, 5, 384), torch.ones(1, 5, dtype=torch.bool))
    z = torch.randn(1, 3, 32, 32)
    assert net(z, torch.zeros(1), net.prepare(text)).shape == z.shape
