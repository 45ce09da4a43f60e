"""Scores of upscaled pictures: known answers, limits, and that they order what the eye orders."""

from __future__ import annotations

import math

import torch

from imagen_core.augmentation import resize
from imagen_core.fidelity import fidelity, gradient


def small(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def test_plain_enlargement_has_sharpness_one() -> None:
    x = small()
    torch.testing.assert_close(fidelity(resize(x, 64), x).sharpness, torch.ones(2))


def test_repeated_pixels_are_wholly_consistent() -> None:
    """Each pixel as a 4 x 4 block shrinks back to itself."""
    x = small()
    found = fidelity(x.repeat_interleave(4, -1).repeat_interleave(4, -2), x)
    assert (found.consistency > 100).all() and (found.sharpness > 1).all()


def test_a_shift_of_brightness_has_its_psnr() -> None:
    """Against the definition: an error of d everywhere, over a range of 2, is 20 log10(2 / d) dB."""
    x = small()
    found = fidelity(x.repeat_interleave(4, -1).repeat_interleave(4, -2) + 0.1, x)
    torch.testing.assert_close(found.consistency, torch.full((2,), 20 * math.log10(20)), rtol=1e-4, atol=0)


def test_the_gradient_of_a_ramp_is_its_slope() -> None:
    ramp = torch.linspace(-1, 1, 65)[:64].expand(1, 3, 64, 64)
    # Along one of the two directions only, so the mean of the squares is half.
    torch.testing.assert_close(gradient(ramp), torch.tensor([1 / 64 / math.sqrt(2)]), rtol=1e-4, atol=0)


def test_noise_lowers_consistency_and_passes_for_sharpness() -> None:
    """What the docstring warns of."""
    x = small()
    plain = resize(x, 64)
    noisy = plain + 0.3 * torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    before, after = fidelity(plain, x), fidelity(noisy, x)
    assert (after.sharpness > before.sharpness).all() and (after.consistency < before.consistency).all()


def test_flat_pictures_do_not_divide_by_zero() -> None:
    flat = torch.zeros(1, 3, 16, 16)
    found = fidelity(torch.zeros(1, 3, 64, 64), flat)
    assert torch.isfinite(found.sharpness).all() and torch.isfinite(found.consistency).all()
