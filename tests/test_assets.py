"""The shipped weights: whole, small enough for a Space, and doing what the README says of them."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import pytest
import short_runs
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from imagen_core.diffusion.augmentation import bicubic, resize
from imagen_core.diffusion.saturation import consistency, measure, sharpness
from imagen_core.files.assets import ASSETS
from imagen_core.models.cascade import Cascade
from imagen_core.models.checkpoints import unet_of
from imagen_core.models.opening import MODELS, load_cascade
from imagen_core.models.saving import SHARD_BYTES
from imagen_core.networks.unet import CONFIGS
from imagen_core.run.generate import generate
from imagen_core.settings import DEFAULTS, Request, request, with_stage
from imagen_core.training.data import FRESH_SEEDS
from imagen_core.training.recipes import STAGES
from imagen_core.types import StageResult
from imagen_core.worlds.tabletop.render import render
from imagen_core.worlds.tabletop.scenes import sample_scene
from imagen_core.worlds.tabletop.vocabulary import WORLD_VERSION


@pytest.fixture(scope="module")
def shipped() -> Cascade:
    return load_cascade("tabletop")


def final(asked: Request, cascade: Cascade, **kwargs) -> torch.Tensor:
    return [event.image for event in generate(asked, cascade, **kwargs) if isinstance(event, StageResult)][-1]


def test_all_stages_are_there_and_fit_a_space(shipped: Cascade) -> None:
    assert shipped.sizes == (64, 256, 1024)
    files = [path for path in MODELS["tabletop"].rglob("*") if path.is_file()]
    # A shard may exceed its payload by its own header.
    assert max(path.stat().st_size for path in files) < SHARD_BYTES + 100_000
    assert sum(path.stat().st_size for path in files) < 40_000_000
    assert all(stage.training["world_version"] == WORLD_VERSION for stage in shipped.stages)


def test_everything_shipped_is_small_enough_to_clone() -> None:
    sizes = [path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()]
    assert sum(sizes) < 57_000_000 and max(sizes) < 10_000_000


def test_the_networks_are_those_that_training_makes(shipped: Cascade) -> None:
    assert {stage.spec.name: unet_of(stage).config for stage in shipped.stages} == CONFIGS
    assert [stage.spec for stage in shipped.stages] == list(STAGES.values())


@pytest.mark.parametrize(("colour", "hue"), [("red", 0.0), ("green", 0.38), ("blue", 0.62), ("yellow", 0.15)])
def test_a_things_colour_follows_the_text(shipped: Cascade, colour: str, hue: float) -> None:
    """The most colourful tenth of the picture has the named hue, in three of four pictures at least."""
    images = final(request(f"a large {colour} cube on marble in daylight", count=4, seed=11), shipped)
    right = 0
    for image in (images + 1) / 2:
        chroma = image.amax(0) - image.amin(0)
        r, g, b = image[:, chroma >= chroma.flatten().quantile(0.93)].mean(1).tolist()
        found = colorsys.rgb_to_hsv(r, g, b)[0]
        right += min(abs(found - hue), 1 - abs(found - hue)) < 0.09
    assert right >= 3


def test_light_and_floor_follow_the_text(shipped: Cascade) -> None:
    """Night is darker than day, and grass is greener than sand, in every picture."""
    asked = {
        (floor, light): final(request(f"a white cube {floor} {light}", count=4, seed=3), shipped)
        for floor in ("on grass", "on sand")
        for light in ("in daylight", "at night")
    }
    for floor in ("on grass", "on sand"):
        assert (asked[floor, "in daylight"].mean((1, 2, 3)) > asked[floor, "at night"].mean((1, 2, 3)) + 0.3).all()
    for light in ("in daylight", "at night"):
        ground = {floor: asked[floor, light][:, :, 52:].mean((2, 3)) for floor in ("on grass", "on sand")}
        greenness = {floor: x[:, 1] - x[:, 0] for floor, x in ground.items()}
        assert (greenness["on grass"] > greenness["on sand"]).all()


def test_dynamic_saturates_least_at_a_large_weight(shipped: Cascade) -> None:
    asked = request("a large red sphere to the left of a small blue cube on grass at sunset", guidance=8.0, count=2)
    burnt = {
        rule: float(measure(final(with_stage(asked, 64, threshold=rule), shipped)).burnt.mean())
        for rule in ("none", "static", "dynamic")
    }
    assert burnt["none"] > burnt["static"] > 2 * burnt["dynamic"]


@pytest.mark.parametrize("size", [256, 1024])
def test_super_resolution_sharpens_and_keeps_to_its_input(shipped: Cascade, size: int) -> None:
    """On a fresh render: more detail than bicubic, and, shrunk again, close to what it was given."""
    small = size // 4
    truth = render(sample_scene(FRESH_SEEDS + 5), size)[None]
    low_res = resize(truth, small)
    asked = request("a picture", size=size)
    if size == 1024:
        # Two steps show sharpness and consistency as well as six.
        asked = with_stage(asked, 1024, steps=2)
    made = final(asked, shipped, image=low_res)
    assert float(consistency(made, low_res)) > 24
    assert float(sharpness(made)) > float(sharpness(bicubic(low_res, size)))


def test_same_seed_same_picture(shipped: Cascade) -> None:
    asked = replace(request("a small orange cone on sand at dusk", seed=4), stages=(replace(DEFAULTS[64], steps=5),))
    assert torch.equal(final(asked, shipped), final(asked, shipped))


def test_the_shipped_stages_draw_what_they_drew() -> None:
    """After a change on purpose: python -m tests.short_runs."""
    kept = load_file(short_runs.FILE)
    found = dict(short_runs.results())
    assert kept.keys() == found.keys()
    for name, image in found.items():
        assert_close(image, kept[name].float(), atol=2e-2, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
