"""Guidance, thresholding and saturation: what each rule promises."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from imagen_core.diffusion.guidance import GUIDANCE, Moment, is_off, w_from_ho
from imagen_core.diffusion.parameterization import to_eps
from imagen_core.diffusion.saturation import measure
from imagen_core.diffusion.thresholding import THRESHOLDS, channelwise, dynamic, none, quantile, squash, static
from imagen_core.types import Level


def images(scale: float = 1.0, seed: int = 0, b: int = 3) -> torch.Tensor:
    return torch.randn(b, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("rule", GUIDANCE)
def test_weight_one_is_the_conditional(rule: str) -> None:
    cond, uncond = images(seed=1), images(seed=2)
    moment = Moment(w=1.0, level=Level(0.5, 0.0), z=images(seed=3), estimate=lambda *_, **__: cond)
    guided, _ = GUIDANCE[rule](cond, uncond, moment)
    assert_close(guided, cond)
    assert is_off(1.0) and not is_off(1.01)


def test_both_conventions_agree() -> None:
    cond, uncond, w_prime = images(seed=1), images(seed=2), 3.5
    ours, _ = GUIDANCE["cfg"].fn(cond, uncond, w=w_from_ho(w_prime))
    assert_close(ours, (1 + w_prime) * cond - w_prime * uncond)


def test_apg_is_cfg_where_nothing_is_taken_away() -> None:
    cond, uncond = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    plain = {"momentum": 0.0, "radius": 1e6}
    made, _ = GUIDANCE["apg"].fn(cond, uncond, w=4.0, parallel=1.0, **plain)
    assert_close(made, GUIDANCE["cfg"].fn(cond, uncond, w=4.0)[0])
    # Without the parallel part, what is added is orthogonal to the conditional estimate and no longer than radius.
    made, memory = GUIDANCE["apg"].fn(cond, uncond, w=2.0, parallel=0.0, radius=0.3, momentum=0.0)
    added = made - cond
    assert_close((added * cond).mean((1, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    assert float(added.square().mean((1, 2, 3)).sqrt().max()) <= 0.3 + 1e-6
    # Momentum: the difference of this step plus -0.5 times the memory.
    _, again = GUIDANCE["apg"].fn(cond, uncond, w=2.0, memory=memory, momentum=-0.5)
    assert_close(again, 0.5 * (cond - uncond))


def test_rescale_gives_the_conditional_spread_at_phi_one() -> None:
    cond, uncond = images(seed=1), images(seed=2)
    guided, _ = GUIDANCE["rescale"].fn(cond, uncond, w=8.0, phi=1.0)
    assert_close(guided.flatten(1).std(1), cond.flatten(1).std(1))
    plain, _ = GUIDANCE["rescale"].fn(cond, uncond, w=8.0, phi=0.0)
    assert_close(plain, uncond + 8 * (cond - uncond))


NOISES = (-9.0, -2.0, 0.0, 3.0)


def moment_of(log_snr: float, w: float, t: float = 0.5) -> Moment:
    """A moment at this noise, with a z of the size that belongs there."""
    level = Level(t, log_snr)
    z = level.alpha * images(0.5, seed=4) + level.sigma * images(seed=5)
    return Moment(w, level=level, z=z, estimate=lambda *_, **__: z)


def pair(apart: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two estimates that agree in most."""
    uncond = images(0.5, seed=1)
    return uncond + images(apart, seed=2), uncond


def velocity(x0: torch.Tensor, moment: Moment) -> torch.Tensor:
    """What a network that predicts v says where the estimate is x0: ``v = alpha eps - sigma x0``."""
    eps = to_eps(x0, moment.z, moment.level.alpha, moment.level.sigma)
    return moment.level.alpha * eps - moment.level.sigma * x0


@pytest.mark.parametrize("log_snr", NOISES)
def test_mambo_guides_v_as_diffusers_does(log_snr: float) -> None:
    from diffusers.guiders.magnitude_aware_guidance import mambo_guidance

    (cond, uncond), moment = pair(), moment_of(log_snr, 7.0)
    ours, _ = GUIDANCE["mambo"](cond, uncond, moment)
    # Theirs takes tokens: torch's Frobenius norm knows no more than two dimensions.
    theirs = mambo_guidance(*(velocity(x0, moment).flatten(2) for x0 in (cond, uncond)), 7.0, 8.0)
    assert_close(velocity(ours, moment).flatten(2), theirs, rtol=1e-3, atol=1e-4)
    # Without damping it is classifier-free guidance; estimates far apart are left with the conditional one.
    plain, _ = GUIDANCE["mambo"].fn(cond, uncond, w=7.0, level=moment.level, z=moment.z, damping=0.0)
    assert_close(plain, GUIDANCE["cfg"].fn(cond, uncond, w=7.0)[0])
    far, _ = GUIDANCE["mambo"].fn(cond, uncond, w=7.0, level=moment.level, z=moment.z, damping=1e4)
    assert_close(far, cond)


@pytest.mark.parametrize("log_snr", NOISES)
def test_zero_star_guides_v_as_diffusers_does(log_snr: float) -> None:
    from diffusers.guiders import ClassifierFreeZeroStarGuidance

    (cond, uncond), moment = pair(), moment_of(log_snr, 7.0)
    peer = ClassifierFreeZeroStarGuidance(guidance_scale=7.0, zero_init_steps=1)
    peer.set_state(step=1, num_inference_steps=25, timestep=torch.tensor(500))
    ours, _ = GUIDANCE["zero_star"](cond, uncond, moment)
    theirs = peer.forward(velocity(cond, moment), velocity(uncond, moment)).pred
    assert_close(velocity(ours, moment), theirs, rtol=1e-3, atol=1e-4)
    # Both stand still in the first of 25 steps.
    first = moment_of(log_snr, 7.0, t=1.0)
    assert_close(
        velocity(GUIDANCE["zero_star"](cond, uncond, first)[0], first), torch.zeros_like(cond), atol=1e-5, rtol=0
    )
    peer.set_state(step=0, num_inference_steps=25, timestep=torch.tensor(999))
    assert not peer.forward(cond, uncond).pred.any()
    # An unconditional estimate of another size is no other estimate.
    scaled = moment.level.alpha * moment.z - 3 * (moment.level.alpha * moment.z - uncond)
    assert_close(GUIDANCE["zero_star"](cond, scaled, moment)[0], ours, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("log_snr", NOISES)
def test_tcfg_guides_eps_as_diffusers_does(log_snr: float) -> None:
    from diffusers.guiders.tangential_classifier_free_guidance import normalized_guidance

    (cond, uncond), moment = pair(), moment_of(log_snr, 7.0)
    alpha, sigma = moment.level.alpha, moment.level.sigma
    ours, _ = GUIDANCE["tcfg"](cond, uncond, moment)
    theirs = normalized_guidance(to_eps(cond, moment.z, alpha, sigma), to_eps(uncond, moment.z, alpha, sigma), 7.0)
    assert_close(to_eps(ours, moment.z, alpha, sigma), theirs, rtol=1e-3, atol=1e-3)


def test_tcfg_halves_the_weight_where_both_are_of_equal_length() -> None:
    """At the highest noise too, where float32 would hold nothing of the difference of the two eps."""
    cond = images(0.5, seed=1).abs()
    for log_snr in (-20.0, 0.0):
        level = Level(1.0, log_snr)
        # eps is -x0 alpha / sigma for z = 0: turning the picture keeps its length.
        uncond, z = cond.flip(3), torch.zeros_like(cond)
        ours, _ = GUIDANCE["tcfg"].fn(cond, uncond, w=7.0, level=level, z=z)
        assert_close(ours, GUIDANCE["cfg"].fn(cond, uncond, w=4.0)[0])
    z = images(seed=5)
    ours, _ = GUIDANCE["tcfg"].fn(cond, uncond, w=7.0, level=Level(1.0, -20.0), z=z)
    # Beside so much noise the two are of nearly equal length, and the difference lies across them.
    share = (ours - uncond).flatten(1).norm(dim=1) / (cond - uncond).flatten(1).norm(dim=1)
    assert float(share.max()) < 60 and bool(ours.isfinite().all())


def test_fdg_guides_each_band_by_its_own_weight() -> None:
    uncond = images(0.5, seed=1)
    smooth, grain = torch.full_like(uncond, 0.2), torch.ones(16).cumsum(0).remainder(2).mul(2).sub(1)
    grain = 0.1 * (grain[:, None] * grain).expand_as(uncond)
    ours, _ = GUIDANCE["fdg"].fn(uncond + smooth + grain, uncond, w=9.0, coarse=0.25)
    assert_close(ours, uncond + (1 + 0.25 * 8) * smooth + 9 * grain)
    cond, _ = pair()
    assert_close(GUIDANCE["fdg"].fn(cond, uncond, w=9.0, coarse=1.0)[0], GUIDANCE["cfg"].fn(cond, uncond, w=9.0)[0])


def test_mimic_has_the_contrast_of_the_smaller_weight_and_the_mean_of_the_larger() -> None:
    """Channel by channel, as the extension's own lines do it."""
    cond, uncond = pair()
    guided, _ = GUIDANCE["cfg"].fn(cond, uncond, w=12.0)
    tame, _ = GUIDANCE["cfg"].fn(cond, uncond, w=4.0)
    for top in (100.0, 90.0):
        ours, _ = GUIDANCE["mimic"].fn(cond, uncond, w=12.0, mimic_scale=4.0, top=top)
        for i in range(3):
            for c in range(3):
                high, low = guided[i, c] - guided[i, c].mean(), tame[i, c] - tame[i, c].mean()
                most = max(low.abs().max(), torch.quantile(high.abs(), top / 100))
                assert_close(ours[i, c], high.clamp(-most, most) / most * low.abs().max() + guided[i, c].mean())
    # With 90 some values were cut off; at the smaller weight itself nothing happens.
    assert_close(GUIDANCE["mimic"].fn(cond, uncond, w=4.0, mimic_scale=4.0, top=90.0)[0], tame)
    assert_close(GUIDANCE["mimic"].fn(cond, uncond, w=2.0)[0], GUIDANCE["cfg"].fn(cond, uncond, w=2.0)[0])


@settings(deadline=None, max_examples=60)
@given(scale=st.floats(0.01, 50), percentile=st.floats(50, 100), seed=st.integers(0, 9))
def test_dynamic_is_bounded_and_never_grows(scale: float, percentile: float, seed: int) -> None:
    x = images(scale, seed)
    kept, s = dynamic(x, percentile=percentile)
    assert (s >= 1).all() and float(kept.abs().max()) <= 1 + 1e-6
    assert (kept.abs() <= x.abs() + 1e-6).all() and (kept * x >= 0).all()


def test_dynamic_is_static_where_the_percentile_is_small() -> None:
    x = images(0.2)
    x[:, 0, 0, 0] = 5.0
    kept, s = dynamic(x, percentile=99.0)
    assert_close(s, torch.ones(3))
    assert torch.equal(kept, static(x)[0])


def test_dynamic_is_the_identity_inside_the_range() -> None:
    x = images().clamp(-1, 1)
    assert torch.equal(dynamic(x)[0], x)
    assert torch.equal(static(x)[0], x)
    assert torch.equal(none(images(9.0))[0], images(9.0))


def test_dynamic_divides_by_the_percentile_of_its_own_image() -> None:
    x = torch.cat([images(0.1, b=1), images(3.0, b=1)])
    kept, s = dynamic(x, percentile=99.5)
    assert s[0] == 1 and math.isclose(s[1], float(x[1].abs().flatten().quantile(0.995)), rel_tol=1e-5)
    # A neighbour changes nothing.
    assert_close(kept[1:], dynamic(x[1:], percentile=99.5)[0])


@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.995, 1.0])
def test_quantile_is_torchs(q: float) -> None:
    x = torch.randn(3, 1001)
    assert_close(quantile(x, q), torch.quantile(x, q, dim=1))


def test_quantile_takes_more_than_torch_does() -> None:
    """Six values in a row of 2^24 + 3: torch.quantile refuses."""
    x = torch.zeros(1, 2**24 + 3)
    x[0, :6] = torch.arange(1.0, 7.0)
    assert quantile(x, 1.0) == 6


def test_dynamic_agrees_with_diffusers() -> None:
    from diffusers import DDPMScheduler

    x = images(2.5)
    peer = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=0.995, sample_max_value=1e6)
    assert_close(dynamic(x, percentile=99.5)[0], peer._threshold_sample(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("above", range(8))
def test_s_is_the_quantile_however_few_values_exceed_1(above: int) -> None:
    """Counting and ranking agree at every number of values beyond 1 around the percentile's place."""
    x = torch.full((1, 3, 10, 10), 0.5)
    x.view(-1)[:above] = 2.0
    expected = torch.quantile(x.abs().flatten(1), 0.985, dim=1).clamp_min(1)
    assert_close(dynamic(x, percentile=98.5)[1], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("cap", [1.0, 1.5, 3.0])
def test_a_cap_is_that_of_diffusers_and_1_makes_it_static(cap: float) -> None:
    from diffusers import DDPMScheduler

    x = 2 * torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    peer = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=0.95, sample_max_value=cap)
    ours, s = dynamic(x, percentile=95.0, cap=cap)
    assert_close(ours, peer._threshold_sample(x), rtol=1e-4, atol=1e-5)
    assert float(s.max()) <= cap
    if cap == 1:
        assert torch.equal(ours, static(x)[0])


def test_channelwise_is_dynamic_of_each_channel() -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * torch.tensor([3, 1, 0.2])[:, None, None]
    ours, s = channelwise(x, percentile=98.0)
    each = [dynamic(x[:, c : c + 1], percentile=98.0) for c in range(3)]
    assert_close(ours, torch.cat([x0 for x0, _ in each], 1))
    assert_close(s, torch.stack([s for _, s in each]).amax(0))


def test_squash_bends_and_keeps_the_order() -> None:
    x = torch.linspace(-2, 2, 3 * 8 * 8, dtype=torch.float64).reshape(1, 3, 8, 8)
    ours, s = squash(x, knee=0.8)
    assert float(ours.abs().max()) <= 1 and bool((s == 1).all())
    inside = x.abs() <= 0.8
    assert torch.equal(ours[inside], x[inside])
    assert bool((ours.flatten().diff() > 0).all())


def test_an_overshooting_estimate_saturates_least_under_dynamic() -> None:
    """The point of the page, in one assertion."""
    x = images(1.5)
    burnt = {name: measure(rule.fn(x)[0]).burnt.mean() for name, rule in THRESHOLDS.items()}
    assert burnt["none"] >= burnt["static"] > 10 * burnt["dynamic"]


def test_statistics_of_known_pictures() -> None:
    grey, red = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), -1.0)
    red[:, 0] = 1.0
    both = measure(torch.cat([grey, red, 2 * red]))
    assert_close(both.colourfulness, torch.tensor([0.0, 1.0, 1.0]))
    assert_close(both.outside, torch.tensor([0.0, 0.0, 1.0]))
    assert_close(both.burnt, torch.tensor([0.0, 1.0, 1.0]))
    assert_close(both.contrast, torch.zeros(3))
    assert_close(both.largest, torch.tensor([0.0, 1.0, 2.0]))
