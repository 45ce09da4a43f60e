"""Samplers against an exact oracle: for Gaussian data the best denoiser, and the whole flow, are known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from imagen_core.diffusion.denoiser import Rules, build_denoiser
from imagen_core.diffusion.guidance import GUIDANCE
from imagen_core.diffusion.samplers import SAMPLERS, Start, sample, unit_noise
from imagen_core.diffusion.schedules import levels
from imagen_core.diffusion.thresholding import THRESHOLDS
from imagen_core.types import Conditioning, Denoised, Level, StageSpec, StepRecord, TextEmbedding, UserError

MEAN, SPREAD = 0.3, 0.25


def gaussian(z: torch.Tensor, level: Level, **_: int) -> Denoised:
    """E[x | z] for x ~ N(MEAN, SPREAD²), exactly."""
    alpha, sigma = level.alpha, level.sigma
    gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
    x0 = MEAN + gain * (z - alpha * MEAN)
    return Denoised(x0, x0, x0, x0, None, torch.ones(len(z)))


def exact_flow(z: torch.Tensor, now: Level, next: Level) -> torch.Tensor:
    """The probability-flow ODE's solution keeps each value's rank: standardise at one level, undo at the other."""
    scale = [math.sqrt(level.alpha**2 * SPREAD**2 + level.sigma**2) for level in (now, next)]
    return next.alpha * MEAN + (z - now.alpha * MEAN) * scale[1] / scale[0]


def run(
    name: str, z: torch.Tensor, path: tuple[Level, ...], seeds: tuple[int, ...] = (0,), index: int = 0, past=()
) -> list[StepRecord]:
    def noise(index: int) -> torch.Tensor:
        return unit_noise(seeds, f"test/{index}", tuple(z.shape[1:]))

    return list(sample(SAMPLERS[name], gaussian, Start(z, index, past), path, noise, stage="test"))


@pytest.mark.parametrize("spacing", ["trailing", "late"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_are_those_that_are_made(name: str, spacing: str) -> None:
    """Heun's first steps, from above its limit, and its last ask once: fewer than two a step."""
    path, asked = levels("cosine", 6, spacing), []

    def counted(z: torch.Tensor, level: Level, **_: int) -> Denoised:
        asked[-1] += 1
        return gaussian(z, level)

    z = torch.zeros(1, 3, 4, 4)
    for now, next in itertools.pairwise(path):
        asked.append(0)
        SAMPLERS[name].fn(counted, z, now, next, lambda: z, ())
    assert asked == [SAMPLERS[name].evaluations(now, next) for now, next in itertools.pairwise(path)]
    assert sum(asked) == (10 if name == "heun" else 6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_datas_mean_and_spread(name: str) -> None:
    z = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    x = run(name, z, levels("cosine", 60))[-1].out.x0_hat
    assert_close(x.mean().item(), MEAN, atol=0.01, rtol=0)
    assert_close(x.std().item(), SPREAD, atol=0.02, rtol=0)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpmpp_2m", 2), ("heun", 2)])
def test_order_of_convergence(name: str, order: int) -> None:
    """Halving the step divides the error by 2^order, between two finite levels."""
    z = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for steps in (40, 80, 160):
        path = tuple(Level(0.5, -4 + 7 * i / steps) for i in range(steps + 1))
        records = run(name, z, path)
        end = SAMPLERS[name].fn(gaussian, records[-1].z, path[-2], path[-1], lambda: z, records[-2:-1])[0]
        errors.append(float((end - exact_flow(z, path[0], path[-1])).abs().max()))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(abs(found - order) < 0.25 for found in orders), orders


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_picture_does_not_depend_on_its_batch(name: str) -> None:
    path, shape = levels("cosine", 6), (3, 8, 8)
    together = run(name, unit_noise((5, 6), "z", shape), path, (5, 6))[-1].out.x0_hat
    alone = run(name, unit_noise((6,), "z", shape), path, (6,))[-1].out.x0_hat
    assert_close(together[1:], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_resumes_where_it_was(name: str) -> None:
    path = levels("cosine", 8)
    z = torch.randn(1, 3, 8, 8)
    whole = run(name, z, path)
    rest = run(name, whole[5].z, path, index=5, past=tuple(whole[:5]))
    assert [record.index for record in rest] == [5, 6, 7]
    assert_close(rest[-1].out.x0_hat, whole[-1].out.x0_hat, atol=0, rtol=0)


def test_gamma_spans_ddpms_two_variances() -> None:
    """One step's noise has the small variance at gamma 0 and the large one at gamma 1 (paper, App. A, eq. 6)."""
    now, next = Level(0.5, -1.0), Level(0.4, -0.5)
    z = torch.zeros(1, 3, 8, 8)
    unit = torch.ones_like(z)
    fresh = 1 - math.exp(now.log_snr - next.log_snr)
    for gamma, variance in ((0.0, fresh * next.sigma**2), (1.0, fresh * now.sigma**2)):
        with_noise, _ = SAMPLERS["ancestral"].fn(gaussian, z, now, next, lambda: unit, (), gamma=gamma)
        without, _ = SAMPLERS["ancestral"].fn(gaussian, z, now, next, lambda: 0 * unit, (), gamma=gamma)
        assert_close((with_noise - without).mean().item(), math.sqrt(variance), rtol=1e-5, atol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_agrees_with_diffusers(eta: float) -> None:
    from diffusers import DDIMScheduler

    peer = DDIMScheduler(prediction_type="sample", clip_sample=False, set_alpha_to_one=True, steps_offset=0)
    peer.set_timesteps(20)
    bars = [float(peer.alphas_cumprod[t]) for t in peer.timesteps]
    path = (*(Level(0.5, math.log(a / (1 - a))) for a in bars), Level(0.0, math.inf))
    z = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    ours = theirs = z
    for timestep, (now, next) in zip(peer.timesteps, itertools.pairwise(path)):
        fresh = torch.randn(z.shape, generator=torch.Generator().manual_seed(int(timestep)))
        ours, _ = SAMPLERS["ddim"].fn(gaussian, ours, now, next, lambda fresh=fresh: fresh, (), eta=eta)
        theirs = peer.step(gaussian(theirs, now).x0_hat, timestep, theirs, eta=eta, variance_noise=fresh).prev_sample
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "algorithm"), [("dpmpp_2m", "dpmsolver++"), ("dpmpp_2m_sde", "sde-dpmsolver++")])
def test_dpmpp_2m_agrees_with_diffusers(name: str, algorithm: str) -> None:
    """The whole run, on the same levels with the same network and noise, to 1e-4 relative."""
    from diffusers import DPMSolverMultistepScheduler

    peer = DPMSolverMultistepScheduler(
        algorithm_type=algorithm, solver_order=2, prediction_type="sample", lower_order_final=False,
        final_sigmas_type="zero", beta_schedule="squaredcos_cap_v2",
    )  # fmt: skip
    peer.set_timesteps(20)
    # diffusers keeps sigma / alpha of its own steps.
    path = tuple(Level(0.5, -2 * math.log(float(s)) if s > 0 else math.inf) for s in peer.sigmas)
    z = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    ours, theirs = run(name, z, path, (0, 1)), z
    for index, (timestep, level) in enumerate(zip(peer.timesteps, path)):
        x0, noise = gaussian(theirs, level).x0_hat, unit_noise((0, 1), f"test/{index}", (3, 8, 8))
        theirs = peer.step(x0, timestep, theirs, variance_noise=noise).prev_sample
    assert_close(ours[-1].out.x0_hat, theirs, rtol=1e-4, atol=1e-4)


def test_heun_agrees_with_diffusers() -> None:
    from diffusers import HeunDiscreteScheduler

    peer = HeunDiscreteScheduler(prediction_type="epsilon")
    peer.set_timesteps(10)
    ratios = list(dict.fromkeys(float(s) for s in peer.sigmas))
    path = tuple(Level(0.5, -2 * math.log(r) if r > 0 else math.inf) for r in ratios)
    z = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    ours = run("heun", z, path)
    # Its state is z / alpha, and each timestep but the last comes twice.
    theirs = z / path[0].alpha
    for timestep in peer.timesteps:
        r = float(peer.sigmas[peer.step_index if peer.step_index is not None else 0])
        x0 = gaussian(theirs / math.sqrt(1 + r * r), Level(0.5, -2 * math.log(r))).x0_hat
        theirs = peer.step((theirs - x0) / r, timestep, theirs).prev_sample
    assert_close(ours[-1].out.x0_hat, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("gamma", "variance"), [(0.0, "fixed_small"), (1.0, "fixed_large")])
def test_ancestral_agrees_with_ddpm_of_diffusers(gamma: float, variance: str) -> None:
    """With every one of its steps DDPM's large variance, beta_t, is ours at gamma = 1."""
    from diffusers import DDPMScheduler

    peer = DDPMScheduler(40, prediction_type="sample", clip_sample=False, variance_type=variance, beta_end=0.2)
    bars = [float(a) for a in peer.alphas_cumprod.flip(0)]
    path = (*(Level(0.5, math.log(a / (1 - a))) for a in bars), Level(0.0, math.inf))
    z = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    ours = theirs = z
    for timestep, (now, next) in zip(peer.timesteps, itertools.pairwise(path)):
        seed = int(timestep)
        fresh = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed))
        ours, _ = SAMPLERS["ancestral"].fn(gaussian, ours, now, next, lambda fresh=fresh: fresh, (), gamma=gamma)
        random = torch.Generator().manual_seed(seed)
        theirs = peer.step(gaussian(theirs, now).x0_hat, seed, theirs, generator=random).prev_sample
    assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


def test_noise_belongs_to_seed_and_stream() -> None:
    a = unit_noise((1, 2), "base64", (3, 4, 4))
    assert torch.equal(a, unit_noise((1, 2), "base64", (3, 4, 4))) and not torch.equal(a[0], a[1])
    assert torch.equal(unit_noise((2,), "base64", (3, 4, 4))[0], a[1])
    assert not torch.equal(unit_noise((1,), "sr256", (3, 4, 4))[0], a[0])
    # Fixed for good: the same seed must give the same picture on every machine and in every version.
    assert_close(unit_noise((7,), "base64", (1,)), torch.tensor([[NOISE_OF_SEED_7]]), atol=1e-5, rtol=0)


NOISE_OF_SEED_7 = 1.1062993


class Counting:
    """A network that predicts v = its row's text, and counts how many rows it was shown."""

    rows = 0

    def prepare(self, text: TextEmbedding) -> torch.Tensor:
        return (text.tokens * text.mask[..., None]).sum((1, 2))

    def __call__(self, z, log_snr, context, low_res=None, aug_level=None) -> torch.Tensor:
        self.rows += len(z)
        return z * 0 + context[:, None, None, None]


SPEC = StageSpec("base64", 64, None, "cosine", "v")
TEXT = TextEmbedding(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))


def denoiser(network: Counting, w: float, threshold: str = "none", guidance: str = "cfg"):
    rules = Rules(GUIDANCE[guidance], THRESHOLDS[threshold])
    return build_denoiser(network, Conditioning(TEXT), SPEC, rules, (w,))


def test_weight_one_skips_the_unconditional_network() -> None:
    z, level = torch.randn(2, 3, 8, 8), Level(0.5, 0.0)
    network = Counting()
    out = denoiser(network, 1.0)(z, level)
    assert network.rows == 2 and out.x0_uncond is None
    assert torch.equal(out.x0_raw, out.x0_cond)


def test_guidance_mixes_text_and_null_text() -> None:
    z, level = torch.randn(2, 3, 8, 8), Level(0.5, 0.0)
    network = Counting()
    out = denoiser(network, 4.0)(z, level)
    assert network.rows == 4
    cond, uncond = level.alpha * z - level.sigma * 12, level.alpha * z
    assert_close(out.x0_cond, cond)
    assert_close(out.x0_uncond, uncond)
    assert_close(out.x0_raw, uncond + 4 * (cond - uncond))


@pytest.mark.parametrize("rule", ["none", "static", "dynamic"])
@pytest.mark.parametrize("w", [1.0, 5.0])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_the_first_estimate_that_is_not_finite_is_refused(rule: str, w: float, wrong: float) -> None:
    """Static thresholding would hide an infinity: the picture would be white."""
    z = torch.randn(2, 3, 8, 8)
    z[1, 0, 0, 0] = wrong
    with pytest.raises(UserError, match=r"base64 at step 1 is not finite.*--dtype"):
        denoiser(Counting(), w, threshold=rule)(z, Level(0.5, 0.0))


def test_threshold_comes_last_and_keeps_the_raw_estimate() -> None:
    z, level = torch.randn(2, 3, 8, 8), Level(0.5, 0.0)
    out = denoiser(Counting(), 4.0, "static")(z, level)
    assert float(out.x0_raw.abs().max()) > 1
    assert_close(out.x0_hat, out.x0_raw.clamp(-1, 1))


def test_cfgpp_renoises_from_the_unconditional_estimate() -> None:
    """One DDIM step of CFG++ in its own words: alpha_s (u + lambda (c - u)) + sigma_s eps_u."""
    z, now, next = torch.randn(2, 3, 8, 8), Level(0.5, 0.0), Level(0.4, 0.8)
    denoise = denoiser(Counting(), 0.6, guidance="cfgpp")
    made, out = SAMPLERS["ddim"].fn(denoise, z, now, next, lambda: z, ())
    eps_uncond = (z - now.alpha * out.x0_uncond) / now.sigma
    assert_close(made, next.alpha * (out.x0_uncond + 0.6 * (out.x0_cond - out.x0_uncond)) + next.sigma * eps_uncond)
    network = Counting()
    denoiser(network, 1.0, guidance="cfgpp")(z, now)
    assert network.rows == 4


def test_cfgpp_of_second_order_is_its_ddim_where_the_estimate_does_not_change() -> None:
    z, path = torch.randn(2, 3, 8, 8), [Level(0.5, value) for value in (0.0, 0.5, 1.0)]
    x0, uncond = torch.randn(2, 2, 3, 8, 8)
    fixed = Denoised(x0, uncond, x0, x0, uncond, torch.ones(2))
    first, _ = SAMPLERS["ddim"].fn(lambda z, level: fixed, z, path[0], path[1], lambda: z, ())
    past = (StepRecord("test", 0, path[0], path[1], z, fixed),)
    a, b = (SAMPLERS[name].fn(lambda z, level: fixed, first, path[1], path[2], lambda: z, past)[0]
            for name in ("ddim", "dpmpp_2m"))  # fmt: skip
    assert_close(a, b)
