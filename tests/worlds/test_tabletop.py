"""The world: deterministic, resolution-free, never showing what it holds out, with true captions."""

from __future__ import annotations

import dataclasses
import math
import re
from itertools import combinations

import pytest
import torch
from torch.testing import assert_close

from imagen_core.worlds.tabletop import vocabulary
from imagen_core.worlds.tabletop.captions import caption
from imagen_core.worlds.tabletop.geometry import FAR, SURFACES, intersect, unit
from imagen_core.worlds.tabletop.render import render
from imagen_core.worlds.tabletop.scenes import Scene, Thing, relation, relations, sample_scene
from imagen_core.worlds.tabletop.tabletop import TableTop
from imagen_core.worlds.world import unknown_words

SCENES = [sample_scene(seed) for seed in range(300)]


def still_life(*things: Thing, floor: str = "wood", light: str = "daylight") -> Scene:
    return Scene(things, floor, light, (0.0, 0.0), 0.0, 0.0, (0.0, 0.0))


def test_a_seed_is_a_scene() -> None:
    assert sample_scene(5) == sample_scene(5)
    assert sample_scene(5) != sample_scene(6)
    assert caption(SCENES[5], 1) == caption(SCENES[5], 1)


def test_held_out_pairs_are_never_sampled_unless_asked_for() -> None:
    pairs = {(thing.colour, thing.shape) for scene in SCENES for thing in scene.things}
    assert not pairs & vocabulary.HELD_OUT_PAIRS
    # Everything else does occur.
    assert len(pairs) == len(vocabulary.COLOURS) * len(vocabulary.SHAPES) - len(vocabulary.HELD_OUT_PAIRS)
    for seed in range(20):
        scene = sample_scene(seed, held_out=True)
        assert (scene.things[0].colour, scene.things[0].shape) in vocabulary.HELD_OUT_PAIRS


def test_held_out_words_are_never_in_a_caption() -> None:
    words = {word for i, scene in enumerate(SCENES) for word in re.findall(r"\w+", caption(scene, i))}
    held_out = {word for group in vocabulary.HELD_OUT_WORDS.values() for word in group}
    assert not words & held_out
    assert not held_out & vocabulary.known_words()
    assert words <= vocabulary.known_words()


def meaning(concepts: vocabulary.Concepts) -> dict[str, str]:
    """Each phrase with the concept it stands for."""
    return {phrase: name for name, phrases in concepts.items() for phrase in phrases}


def test_captions_are_true() -> None:
    """What a caption names is there, as many times, with every attribute it gives; and so are floor and light."""
    nouns = meaning(vocabulary.SHAPES)
    nouns |= {vocabulary.plural(word): shape for word, shape in nouns.items()}
    attributes = {
        "colour": meaning(vocabulary.COLOURS),
        "size": meaning(vocabulary.SIZES),
        "material": meaning(vocabulary.MATERIALS),
    }
    numbers = {"a": 1, "an": 1, "two": 2, "three": 3}
    said = dict.fromkeys(attributes, 0)
    for i, scene in enumerate(SCENES):
        text = caption(scene, i)
        for concepts, name in ((vocabulary.FLOORS, scene.floor), (vocabulary.LIGHTS, scene.light)):
            assert {of for phrase, of in meaning(concepts).items() if phrase in text} <= {name}, text
        named = count = 0
        given: dict[str, str] = {}
        for word in re.findall(r"\w+", text):
            if word in numbers:
                count, given = numbers[word], {}
            given |= {kind: words[word] for kind, words in attributes.items() if word in words}
            if word in nouns:
                wanted = {"shape": nouns[word], **given}
                fitting = [t for t in scene.things if all(getattr(t, kind) == value for kind, value in wanted.items())]
                assert len(fitting) >= count > 0, text
                named += count
                for kind in given:
                    said[kind] += 1
        assert named == len(scene.things), text
    assert min(said.values()) > 100


def test_the_relations_of_captions_are_true_and_all_occur() -> None:
    nouns = {word: shape for shape, group in vocabulary.SHAPES.items() for word in group}
    seen = set()
    for i, scene in enumerate(SCENES):
        text = caption(scene, i)
        things = {thing.shape: thing for thing in scene.things}
        for name in ("left", "right", "front", "behind"):
            phrase = next((p for p in vocabulary.RELATIONS[name] if f" {p} a" in text), None)
            if phrase and len(things) == len(scene.things):
                before, after = (re.findall(r"\w+", part) for part in text.split(f" {phrase} ", 1))
                a = next(nouns[word] for word in reversed(before) if word in nouns)
                b = next(nouns[word] for word in after if word in nouns)
                assert name in relations(things[a], things[b]), text
                seen.add(name)
    assert seen == {"left", "right", "front", "behind"}


def test_relation_is_what_the_camera_sees() -> None:
    left = Thing("sphere", "red", "small", "matte", -1.2, 0.0, 0.5)
    right = Thing("cube", "blue", "small", "matte", 1.2, 0.0, 0.5)
    near = Thing("cube", "blue", "small", "matte", -1.2, -0.8, 0.5)
    assert relation(left, right) == "left" and relation(right, left) == "right"
    far = Thing("cube", "blue", "small", "matte", -1.2, 1.5, 0.5)
    assert relation(near, far) == "front" and relation(far, near) == "behind"
    assert relation(left, left) is None
    # In front on the left is both; one of them is said.
    assert relations(dataclasses.replace(left, z=near.z), dataclasses.replace(right, z=far.z)) == ("left", "front")
    # And the picture agrees: the red sphere's redness lies in the left half.
    image = render(still_life(left, right), 32)
    redness = (image[0] - image[2]).clamp_min(0.9)
    assert redness[:, :16].sum() > redness[:, 16:].sum()


def test_things_stay_in_the_frame_and_apart() -> None:
    for scene in SCENES:
        for thing in scene.things:
            centre, half = thing.on_screen()
            assert abs(centre) + half <= 1
        for a, b in combinations(scene.things, 2):
            assert math.hypot(a.x - b.x, a.z - b.z) > a.reach + b.reach


@pytest.mark.parametrize("shape", sorted(SURFACES))
def test_rays_meet_the_surface_they_claim(shape: str) -> None:
    """Hit points lie on the analytic surface, and the normal there points towards the ray's origin."""
    thing = Thing(shape, "red", "large", "matte", 0.3, 0.2, 0.4)
    random = torch.Generator().manual_seed(0)
    target = torch.rand(4000, 3, generator=random) * 2 - 1
    origin = target.new_tensor([0.5, 2.5, -5.0]).expand_as(target)
    t, normal = intersect(thing, origin, unit(target * 1.5 + target.new_tensor([0.3, 0.8, 0.2]) - origin))
    hit = t < FAR / 2
    assert 200 < int(hit.sum()) < 4000
    direction = unit(target * 1.5 + target.new_tensor([0.3, 0.8, 0.2]) - origin)
    p = (origin + t[:, None] * direction)[hit] - target.new_tensor([0.3, 0.0, 0.2])
    radius, height, y = thing.radius, thing.height, p[:, 1]
    across = (p[:, 0] ** 2 + p[:, 2] ** 2).sqrt()
    if shape == "sphere":
        distance = (p - p.new_tensor([0.0, radius, 0.0])).norm(dim=1) - radius
    elif shape == "cone":
        distance = across - radius * (1 - y / height)
    elif shape == "cylinder":
        distance = torch.minimum((across - radius).abs(), (y - height).abs())
    else:
        c, s = torch.tensor(0.4).cos(), torch.tensor(0.4).sin()
        local = torch.stack([c * p[:, 0] - s * p[:, 2], y - height / 2, s * p[:, 0] + c * p[:, 2]], 1)
        distance = (local.abs() / local.new_tensor([radius, height / 2, radius])).amax(1) - 1
    assert_close(distance, torch.zeros_like(distance), atol=2e-4, rtol=0)
    assert ((normal[hit] * direction[hit]).sum(1) < 1e-3).all()
    assert_close(normal[hit].norm(dim=1), torch.ones(int(hit.sum())), atol=1e-4, rtol=0)


def test_a_crop_is_a_piece_of_the_picture() -> None:
    whole = render(SCENES[7], 128, samples=1)
    piece = render(SCENES[7], 128, samples=1, crop=(40, 24, 32, 48))
    assert_close(piece, whole[:, 40:72, 24:72], atol=2e-3, rtol=0)
    with pytest.raises(ValueError, match="crop"):
        render(SCENES[7], 64, crop=(40, 0, 32, 32))


@pytest.mark.parametrize("floor", sorted(vocabulary.FLOORS))
def test_resolutions_agree(floor: str) -> None:
    """A picture, shrunk, is close to the same scene rendered small: textures are blurred, not aliased."""
    scene = still_life(Thing("cube", "red", "large", "shiny", 0.0, 0.0, 0.5), floor=floor)
    small = render(scene, 48)
    large = torch.nn.functional.interpolate(render(scene, 192)[None], size=48, mode="area")[0]
    assert float((small - large).abs().mean()) < 0.03


def test_render_is_deterministic_and_in_range() -> None:
    image = render(SCENES[3], 32)
    assert torch.equal(image, render(SCENES[3], 32))
    assert image.shape == (3, 32, 32) and float(image.abs().max()) <= 1


def test_light_and_material_show() -> None:
    thing = Thing("sphere", "red", "large", "matte", 0.0, 0.0, 0.5)
    day, night = (render(still_life(thing, light=light), 32).mean() for light in ("daylight", "night"))
    assert day > night + 0.3
    shiny = Thing("sphere", "red", "large", "shiny", 0.0, 0.0, 0.5)
    difference = render(still_life(shiny), 64) - render(still_life(thing), 64)
    assert float(difference.max()) > 0.5


def test_unknown_words() -> None:
    assert unknown_words(TableTop(), "a large red sphere to the left of a small blue cube on grass at sunset") == ()
    assert unknown_words(TableTop(), "A dog on a skateboard, a dog!") == ("dog", "skateboard")
    assert unknown_words(TableTop(), "a scarlet orb <b>") == ("scarlet", "orb", "b")
