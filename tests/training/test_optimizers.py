"""Muon: steps along an orthogonal direction, AdamW for the rest, and a state that resumes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from imagen_core.networks.unet import CONFIGS, UNet
from imagen_core.training import optimizers
from imagen_core.training.optimizers import ADAM_SHARE, OPTIMIZERS, Muon, orthogonal


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50), (40, 360), (360, 40)])
def test_the_direction_is_nearly_orthogonal_and_keeps_its_sense(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    turned = orthogonal(matrix)
    u, sizes, v = torch.linalg.svd(matrix, full_matrices=False)
    along = (u.T @ turned @ v.T).diagonal()
    # What is tiny stays small.
    assert turned.shape == shape and float(along.max()) < 1.3 and float(along[sizes > 0.05 * sizes[0]].min()) > 0.6
    assert float((turned * (u @ v)).sum() / (turned.norm() * (u @ v).norm())) > 0.95


@pytest.mark.parametrize("least", [1e-3, 1e-6])
def test_steps_of_the_gram_matrix_are_the_steps(least: float) -> None:
    """With singular values from 1 down to ``least``, where float32 squared has no digits left."""
    torch.manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(rows, 48, dtype=torch.float64))[0] for rows in (48, 432))
    x = u * torch.logspace(0, math.log10(least), 48, dtype=torch.float64) @ v.T / 3
    exact = optimizers._steps(x)
    for steps in (optimizers._steps, optimizers._steps_of_gram):
        assert_close(steps(x.float()).double(), exact, atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(40, 60), (40, 360)])
def test_a_processor_without_bfloat16_turns_in_float32(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    turned = {}
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        turned[fast] = orthogonal(matrix)
    assert turned[False].dtype == torch.float32 and not torch.equal(turned[True], turned[False])
    assert_close(turned[True], turned[False], atol=0.02, rtol=0)


def test_steps_are_as_long_as_adams() -> None:
    layer = nn.Linear(64, 64, bias=False)
    optimizer = OPTIMIZERS["muon"](layer, 0.1, 0.0)
    before = layer.weight.detach().clone()
    layer(torch.randn(256, 64)).square().sum().backward()
    optimizer.step()
    # Root mean square of a step over the rate: AdamW takes 0.2 to 0.4.
    assert 0.1 < float((layer.weight.detach() - before).square().mean().sqrt()) / 0.1 < 0.25


def test_the_rest_takes_adamw_s_step() -> None:
    torch.manual_seed(0)
    a, b = nn.Linear(8, 8), nn.Linear(8, 8)
    b.load_state_dict(a.state_dict())
    ours = OPTIMIZERS["muon"](a, 0.1, 0.0)
    assert isinstance(ours, Muon) and not ours.param_groups[0]["params"]
    theirs = torch.optim.AdamW(b.parameters(), lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
    for _ in range(3):
        x = torch.randn(4, 8)
        for layer, optimizer in ((a, ours), (b, theirs)):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    assert_close(a.weight, b.weight)


def test_every_weight_of_a_network_has_one_optimiser() -> None:
    unet = UNet(CONFIGS["base64"])
    turned, rest = OPTIMIZERS["muon"](unet, 1e-3, 0.01).param_groups
    counts = [sum(p.numel() for p in group["params"]) for group in (turned, rest)]
    assert sum(counts) == sum(p.numel() for p in unet.parameters()) and counts[0] > 0.7 * sum(counts)
    assert (turned["share"], rest["share"]) == (1.0, ADAM_SHARE) and math.isclose(turned["weight_decay"], 0.01)
