"""The Efficient U-Net: shapes, what depends on what, and the cost the design allows."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.testing import assert_close

from imagen_core.diffusion.augmentation import augment
from imagen_core.diffusion.schedules import alpha_sigma
from imagen_core.networks.layers import Attention, TextMix
from imagen_core.networks.unet import CONFIGS, SPREAD, UNet, UNetConfig, from_low_res, gflop
from imagen_core.types import TextEmbedding, UserError

# GFLOP per evaluation at full size: the design's table, but for sr1024 (40 there), which was too narrow (docs/LOG.md).
BUDGET = {"base64": (64, 2.0), "sr256": (256, 8.0), "sr1024": (1024, 72.0)}


def awake(config: UNetConfig, seed: int = 0) -> UNet:
    """A network whose zeroed layers are not: otherwise its output is zero whatever goes in."""
    torch.manual_seed(seed)
    net = UNet(config).eval()
    for p in net.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.1)
    return net


def some_text(b: int = 2, n: int = 5, width: int = 384, seed: int = 0) -> TextEmbedding:
    random = torch.Generator().manual_seed(seed)
    return TextEmbedding(torch.randn(b, n, width, generator=random), torch.ones(b, n, dtype=torch.bool))


def inputs(name: str, b: int = 2, size: int = 32) -> tuple[torch.Tensor, torch.Tensor, dict]:
    random = torch.Generator().manual_seed(1)
    z = torch.randn(b, 3, size, size, generator=random)
    extra = {"low_res": z.roll(1, 0), "aug_level": torch.full((b,), 0.1)} if name != "base64" else {}
    return z, torch.linspace(-3, 3, b), extra


@pytest.mark.parametrize("name", CONFIGS)
def test_cost_is_within_the_design(name: str) -> None:
    size, most = BUDGET[name]
    assert 0.25 * most < gflop(CONFIGS[name], size) <= most


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_everything_it_is_told_matters(name: str) -> None:
    net = awake(CONFIGS[name])
    z, log_snr, extra = inputs(name)
    context = net.prepare(some_text())
    out = net(z, log_snr, context, **extra)
    changed = [
        net(z + 0.1, log_snr, context, **extra),
        net(z, log_snr + 1, context, **extra),
        net(z, log_snr, net.prepare(some_text(seed=9)), **extra),
    ]
    if extra:
        changed.append(net(z, log_snr, context, extra["low_res"] + 0.1, extra["aug_level"]))
        changed.append(net(z, log_snr, context, extra["low_res"], extra["aug_level"] + 0.5))
    # The linear guess of a super-resolution stage depends on both levels; its network must be told them as well.
    for told in ("time", "aug") if extra else ("time",):
        deaf = copy.deepcopy(net)
        for p in getattr(deaf, told).parameters():
            p.zero_()
        changed.append(deaf(z, log_snr, context, **extra))
    for other in changed:
        assert float((other - out).abs().mean()) > 1e-4


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_a_row_does_not_depend_on_its_batch_or_on_padding(name: str) -> None:
    net = awake(CONFIGS[name])
    z, log_snr, extra = inputs(name)
    text = some_text()
    padded = TextEmbedding(
        torch.cat([text.tokens, torch.full((2, 3, 384), 7.0)], 1),
        torch.cat([text.mask, torch.zeros(2, 3, dtype=torch.bool)], 1),
    )
    both = net(z, log_snr, net.prepare(padded), **extra)
    alone = TextEmbedding(text.tokens[1:], text.mask[1:])
    second = net(z[1:], log_snr[1:], net.prepare(alone), **{k: v[1:] for k, v in extra.items()})
    assert_close(both[1:], second, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_below_the_levels_of_training_the_network_is_told_the_lowest() -> None:
    net = awake(dataclasses.replace(CONFIGS["base64"], lowest=-5.0))
    z, log_snr, _ = inputs("base64")
    outs = [net(z, torch.full_like(log_snr, level), net.prepare(some_text())) for level in (-9.0, -5.0, -4.0)]
    assert_close(outs[0], outs[1], atol=0, rtol=0)
    assert float((outs[1] - outs[2]).abs().mean()) > 1e-4


@torch.inference_mode()
def test_super_resolution_is_fully_convolutional() -> None:
    """The 1024 stage has no self-attention, and any height and width will do."""
    net = awake(CONFIGS["sr1024"])
    assert all(layer.own is None for layer in net.modules() if isinstance(layer, Attention))
    z, log_snr, extra = inputs("sr1024", size=64)
    wide = net(z[..., :48], log_snr, net.prepare(some_text()), extra["low_res"][..., :48], extra["aug_level"])
    assert wide.shape == (2, 3, 64, 48)


def test_a_super_resolution_stage_insists_on_its_input() -> None:
    net = UNet(CONFIGS["sr256"])
    z, log_snr, _ = inputs("sr256")
    with pytest.raises(ValueError, match="low_res"):
        net(z, log_snr, net.prepare(some_text()))


@pytest.mark.parametrize("factor", [4, 6])
@pytest.mark.parametrize("aug_level", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("log_snr", [-6.0, 0.0, 6.0])
def test_the_guess_is_the_posterior_mean_of_a_gaussian_picture(
    log_snr: float, aug_level: float, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where x given low_res is Gaussian, what is left to the network is unit noise that its input does not tell."""
    monkeypatch.setattr("imagen_core.networks.unet.BLUR", 1e-3)
    n, config = 16_000 // factor, replace(CONFIGS["sr256"], residual=0.2, factor=factor)
    random = torch.Generator().manual_seed(0)
    # A flat picture, so that the mean over a square loses nothing of it.
    flat = torch.randn(n, 3, 1, 1, generator=random, dtype=torch.float64)
    lost, noise, eps = (
        torch.randn(n, 3, 3 * factor, 3 * factor, generator=random, dtype=torch.float64) for _ in range(3)
    )
    alpha, sigma = (a.item() for a in alpha_sigma(torch.tensor(log_snr, dtype=torch.float64)))
    smooth = SPREAD * flat.expand_as(lost)
    x = smooth + config.residual * lost
    low_res = augment(smooth, aug_level, noise)
    z = alpha * x + sigma * eps
    rows = torch.tensor([[log_snr], [aug_level]], dtype=torch.float64).expand(2, n)
    seen, guess, scale = from_low_res(z, rows[0], low_res, rows[1], config)
    left = (guess - (alpha * eps - sigma * x)) / scale
    # The middle square: at the border the enlarged mean keeps more of the noise.
    middle = (..., slice(factor, 2 * factor), slice(factor, 2 * factor))
    left, seen = left[middle], seen.unflatten(1, (3, 3))[middle]
    # A pixel is one of its square, so that the two looks are not quite independent.
    assert_close(left.var().item(), 1.0, atol=0.06, rtol=0)
    for look, tells in zip(seen.unbind(1), (0.03, 0.15, 0.03)):
        assert_close(look.square().mean().item(), 1.0, atol=0.06, rtol=0)
        assert abs(torch.corrcoef(torch.stack([left.flatten(), look.flatten()]))[0, 1].item()) < tells


def test_config_round_trips_and_refuses_nonsense() -> None:
    config = CONFIGS["base64"]
    assert (
        UNetConfig(**{k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()})
        == config
    )
    for wrong in ({"channels": (64,)}, {"attention": ("none", "self", "both")}, {"channels": (64, 128, 100)}):
        with pytest.raises(UserError, match="unet"):
            dataclasses.replace(config, **wrong)


def test_a_mix_is_the_mean_of_layers_until_one_outweighs_the_others() -> None:
    layers = torch.randn(2, 5, 3, 8, dtype=torch.float64)
    mix = TextMix(3).double()
    assert_close(mix(layers.flatten(2)), layers.mean(2))
    with torch.no_grad():
        mix.score[1] = 50.0
    assert_close(mix(layers.flatten(2)), layers[:, :, 1])


def test_a_network_learns_its_mix_and_the_null_text_stays_zero() -> None:
    config = replace(CONFIGS["base64"], channels=(32, 32, 32), text_width=16, text_states=3)
    unet = UNet(config)
    text = TextEmbedding(torch.randn(1, 4, 48), torch.ones(1, 4, dtype=torch.bool))
    assert_close(unet.text_mix(text.null().tokens), torch.zeros(1, 1, 16))
    unet.prepare(text).pooled.square().sum().backward()
    assert unet.text_mix.score.grad.abs().min() > 0
    assert gflop(config, 64) > 0


def test_recomputing_keeps_less_and_gives_the_same_gradients() -> None:
    kept: dict[bool, int] = {}
    gradients: dict[bool, list[torch.Tensor]] = {}
    for again in (False, True):
        net, sizes = awake(CONFIGS["base64"]), []
        net.set_recompute(again)
        z, log_snr, _ = inputs("base64")
        with saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.nbytes) or x, lambda x: x):
            out = net(z, log_snr, net.prepare(some_text()))
        out.square().sum().backward()
        kept[again], gradients[again] = sum(sizes), [p.grad for p in net.parameters() if p.grad is not None]
    assert kept[True] < 0.5 * kept[False]
    assert len(gradients[True]) == len(gradients[False]) > 100
    for a, b in zip(gradients[True], gradients[False]):
        assert torch.equal(a, b)
