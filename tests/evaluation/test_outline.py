"""The measure of outlines: true things are near their own shape, and dents show in proportion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from imagen_core.evaluation.detector import Found, Reading
from imagen_core.evaluation.outline import (
    AREA,
    FRAME,
    SIDE,
    Segmenter,
    at_side,
    distances,
    framed,
    load_segmenter,
    outline_errors,
    silhouettes,
)
from imagen_core.evaluation.outline_training import dented, varied
from imagen_core.types import UserError
from imagen_core.worlds.tabletop.render import render
from imagen_core.worlds.tabletop.scenes import Scene, Thing


def alone(shape: str, x: float = 0.2, z: float = 0.5, size: str = "large", yaw: float = 0.7) -> Scene:
    thing = Thing(shape, "red", size, "matte", x, z, yaw)
    return Scene((thing,), "sand", "daylight", (0.0, 0.0), 0.0, 0.0, (0.0, 0.0))


def disc(radius: float, across: float = 64.0, down: float = 64.0) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    return (radius + 0.5 - ((x - across) ** 2 + (y - down) ** 2).sqrt()).clamp(0, 1)


def test_the_frame_takes_away_place_and_size() -> None:
    made = framed(torch.stack([disc(12), disc(20), disc(14, 40, 80)]))
    assert made.shape == (3, FRAME, FRAME)
    assert_close(made.sum((1, 2)), torch.full((3,), AREA), rtol=0.01, atol=0)
    assert float((made - made[0]).abs().mean()) < 0.01


def test_the_distance_of_two_discs_is_the_difference_of_their_radii() -> None:
    """The area between two circles over the length of one: pi (r + d)^2 - pi r^2 = about 2 pi r d."""
    outer, inner = disc(21.0), disc(20.0)
    length = (inner.diff(dim=0)[:, :-1].square() + inner.diff(dim=1)[:-1].square()).sqrt().sum()
    assert_close(float((outer - inner).abs().sum() / length), 1.0, rtol=0.06, atol=0)


@pytest.mark.parametrize("shape", ["sphere", "cone", "cylinder"])
def test_true_things_lie_near_their_own_shape_and_far_from_others(shape: str) -> None:
    masks = torch.cat([silhouettes(alone(shape, x, z, size), SIDE, samples=2)
                       for x, z, size in ((0.2, 0.5, "large"), (-0.6, 1.2, "small"))])  # fmt: skip
    own = float(distances(framed(masks), shape).max())
    others = {"sphere", "cone", "cylinder"} - {shape}
    assert own < 0.012 < 0.04 < min(float(distances(framed(masks), other).min()) for other in others)


def test_dents_raise_the_distance_in_order() -> None:
    mask, random = silhouettes(alone("sphere"), SIDE, samples=2)[:, None], torch.Generator().manual_seed(0)
    errors = [
        float(distances(framed(dented(mask.repeat(8, 1, 1, 1), pixels, random)[:, 0]), "sphere").mean())
        for pixels in (0.0, 0.5, 1.0, 2.0)
    ]
    assert errors == sorted(errors) and errors[-1] > 4 * errors[0]


def test_silhouettes_are_what_the_camera_sees() -> None:
    """The nearer thing hides the other, and a silhouette is where the render differs from the empty table."""
    near, far = (
        Thing("cube", "red", "large", "matte", 0.0, 0.0, 0.5),
        Thing("cone", "blue", "large", "matte", 0.3, 1.6, 0),
    )
    scene = Scene((near, far), "sand", "daylight", (0.0, 0.0), 0.0, 0.0, (0.0, 0.0))
    masks = silhouettes(scene, 64)
    whole = silhouettes(Scene((far,), *vars_of(scene)), 64)[0]
    assert float(masks.sum(0).max()) <= 1 + 1e-6
    assert float(masks[1].sum()) < 0.95 * float(whole.sum())
    empty = render(Scene((), *vars_of(scene)), 64)
    changed = (render(scene, 64) - empty).abs().amax(0) > 0.05
    inside = masks.sum(0) > 0.9
    assert float(changed[inside].float().mean()) > 0.97


def vars_of(scene: Scene) -> tuple:
    return scene.floor, scene.light, scene.floor_offset, scene.floor_turn, scene.sun_turn, scene.camera_shift


def test_the_shipped_segmenter_tells_true_from_dented() -> None:
    """End to end, on pictures: a true ball is within 2 % of a ball, and its dents are seen."""
    truth = torch.stack([render(alone(shape), SIDE) for shape in ("sphere", "cube", "cone")])
    reading = [Reading((found(shape),), "sand", "daylight") for shape in ("sphere", "cube", "cone")]
    segmenter, random = load_segmenter(), torch.Generator().manual_seed(1)
    smooth = outline_errors(segmenter, truth, reading)
    bent = outline_errors(segmenter, dented(truth, 2.0, random), reading)
    assert (
        len(smooth) == len(bent) == 3
        and all(b > 1.3 * a for a, b in zip(smooth, bent))
        and max(smooth) < 0.02 < max(bent)
    )


def found(shape: str) -> Found:
    thing = alone(shape).things[0]
    across, _ = thing.on_screen()
    return Found(shape, "red", "large", "matte", across, thing.down_screen(thing.height / 2), thing.z, 1.0)


def test_things_that_touch_or_leave_the_picture_are_not_judged() -> None:
    class Everywhere(Segmenter):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 1, SIDE, SIDE), 9.0)

    assert (
        outline_errors(Everywhere(), torch.zeros(1, 3, 64, 64), [Reading((found("sphere"),), "sand", "daylight")]) == []
    )


def test_pictures_of_every_size_are_looked_at_in_one() -> None:
    assert {at_side(torch.zeros(1, 3, size, size)).shape for size in (64, 256, 1024)} == {(1, 3, SIDE, SIDE)}
    made = varied(torch.rand(4, 3, SIDE, SIDE) * 2 - 1, torch.Generator().manual_seed(0))
    assert made.shape == (4, 3, SIDE, SIDE) and float(made.abs().max()) <= 1


def test_a_missing_segmenter_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="outlines.json is missing"):
        load_segmenter(tmp_path)
