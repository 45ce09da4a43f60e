"""The judge of every picture: what it is taught, what it reads, and what its features tell apart."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from imagen_core.evaluation import detector_training
from imagen_core.evaluation.detector import (
    ATTRIBUTES,
    FOLDER,
    SIZE,
    STRIDE,
    WHOLE,
    Found,
    Raw,
    Reading,
    centre_of_cells,
    load_detector,
    look,
    read,
)
from imagen_core.evaluation.detector_training import (
    Labels,
    Recipe,
    Renders,
    augmented,
    labels_of,
    loss_of,
    on_screen,
    train,
)
from imagen_core.evaluation.frechet import frechet
from imagen_core.records.png import to_bytes
from imagen_core.training import data
from imagen_core.training.data import FRESH_SEEDS
from imagen_core.types import UserError
from imagen_core.worlds.tabletop.render import render
from imagen_core.worlds.tabletop.scenes import Scene, Thing, sample_scene
from imagen_core.worlds.tabletop.tabletop import TableTop
from imagen_core.worlds.tabletop.vocabulary import HELD_OUT_PAIRS

FRESH = [sample_scene(FRESH_SEEDS + 900_000 + i, held_out=i % 5 == 0) for i in range(60)]


@pytest.fixture(scope="module")
def renders() -> torch.Tensor:
    return torch.stack([render(scene, SIZE) for scene in FRESH])


def truth_of(scene: Scene) -> Reading:
    """What a perfect detector would read."""
    things = [
        Found(t.shape, t.colour, t.size, t.material, x, y, t.z, 1.0)
        for t, (x, y) in zip(scene.things, on_screen(scene).tolist())
    ]
    return Reading(tuple(things), scene.floor, scene.light)


def test_a_thing_is_where_the_picture_shows_it() -> None:
    thing = Thing("sphere", "red", "large", "matte", 0.9, 0.4, 0.5)
    scene = Scene((thing,), "marble", "daylight", (0.0, 0.0), 0.0, 0.0, (0.1, -0.05))
    image = render(scene, 64)
    red = ((image[0] - image[1]) > 0.5).nonzero().float().mean(0)
    ((x, y),) = on_screen(scene).tolist()
    assert_close(torch.tensor([y, x]), (red + 0.5) / 32 - 1, atol=0.05, rtol=0)


def perfect(labels: Labels) -> Raw:
    """The outputs of a network that knows."""
    n = len(labels.depth)
    cells = torch.full((n, 4 + sum(map(len, ATTRIBUTES.values())), 256), -20.0)
    for i in range(n):
        for place, depth, attributes in zip(labels.place[i], labels.depth[i], labels.attributes[i]):
            if place[0] < 0:
                continue
            cell = int(place[1] // STRIDE) * 16 + int(place[0] // STRIDE)
            cells[i, 0, cell] = 20
            cells[i, 1:3, cell] = (place - centre_of_cells()[cell]) / STRIDE
            cells[i, 3, cell] = depth
            first = 4
            for number, words in zip(attributes, ATTRIBUTES.values()):
                cells[i, first + int(number), cell] = 20
                first += len(words)
    whole = {
        name: torch.nn.functional.one_hot(labels.whole[:, i], len(words)) * 20.0
        for i, (name, words) in enumerate(WHOLE.items())
    }
    return Raw(cells.unflatten(2, (16, 16)), whole, torch.zeros(n, 1))


def test_labels_say_what_is_read_back() -> None:
    """From scenes to labels to ideal outputs and back: the same things at the same places."""
    raw = perfect(labels_of(FRESH))
    for scene, got in zip(FRESH, read(raw)):
        expected = truth_of(scene)
        assert (got.floor, got.light, len(got.things)) == (scene.floor, scene.light, len(scene.things))
        for thing in got.things:
            same = min(expected.things, key=lambda t, thing=thing: math.hypot(t.x - thing.x, t.y - thing.y))
            assert replace(thing, x=0, y=0, z=0, heat=0) == replace(same, x=0, y=0, z=0, heat=0)
            assert (thing.x, thing.y, thing.z) == pytest.approx((same.x, same.y, same.z), abs=1e-4)


def test_ideal_outputs_cost_least() -> None:
    labels = labels_of(FRESH[:8])
    raw = perfect(labels)
    shifted = Raw(raw.cells.roll(1, -1), raw.whole, raw.features)
    other = Raw(raw.cells, {name: logits.roll(1, 1) for name, logits in raw.whole.items()}, raw.features)
    assert float(loss_of(shifted, labels)) > float(loss_of(raw, labels)) + 5
    assert float(loss_of(other, labels)) > float(loss_of(raw, labels)) + 5


def test_the_detector_reads_fresh_renders(renders: torch.Tensor) -> None:
    """Every colour and shape in 97 of 100 pictures or more, among them pairs that the diffusion model never saw."""
    detector, _ = load_detector()
    readings, _ = look(detector, renders)
    kinds = [
        [sorted((t.shape, t.colour) for t in x.things) for x in (scene, got)] for scene, got in zip(FRESH, readings)
    ]
    assert np.mean([truth == got for truth, got in kinds]) >= 0.97
    assert np.mean([(s.floor, s.light) == (r.floor, r.light) for s, r in zip(FRESH, readings)]) >= 0.97


def test_the_accuracy_of_the_card_counts_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the truth is always right; who always reads one thing too few is never right about things or number."""
    load, seeds = load_detector()[0], iter([*range(8), *range(2)] * 2)

    def reads(short: int):
        def look(_, images: torch.Tensor) -> tuple[list[Reading], None]:
            held_out = len(images) == 2
            made = [sample_scene(FRESH_SEEDS + next(seeds), held_out=held_out) for _ in images]
            return [replace(truth_of(scene), things=truth_of(scene).things[short:]) for scene in made], None

        return look

    monkeypatch.setattr(detector_training, "look", reads(0))
    found = detector_training.accuracy(load, 8)
    right = {name: value for name, value in found.items() if isinstance(value, float)}
    assert set(right.values()) == {1.0} and {"objects", "count_unseen_pairs", "materials"} <= set(right)
    monkeypatch.setattr(detector_training, "look", reads(1))
    found = detector_training.accuracy(load, 8)
    assert found["objects"] == found["count"] == found["sizes_unseen_pairs"] == 0.0 and found["floor"] == 1.0


def test_mirrored_pictures_have_mirrored_labels(renders: torch.Tensor) -> None:
    """The shipped detector finds, in augmented pictures, things where the augmented labels say they are."""
    detector, _ = load_detector()
    images, labels = augmented(renders, labels_of(FRESH), torch.Generator().manual_seed(0))
    moved = (labels.place[:, 0, 0] - labels_of(FRESH).place[:, 0, 0]).abs() > 1
    assert 10 < int(moved.sum()) < 50
    distances = [
        min(math.hypot(*((torch.tensor([t.x, t.y]) + 1) * SIZE / 2 - place).tolist()) for t in got.things)
        for got, place in zip(look(detector, images)[0], labels.place[:, 0])
        if got.things
    ]
    assert np.mean(np.array(distances) < 3) > 0.95


def test_a_reading_does_not_depend_on_its_batch(renders: torch.Tensor) -> None:
    detector, _ = load_detector()
    together, alone = look(detector, renders[:6])[1], look(detector, renders[:6], batch=1)[1]
    assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_the_detector_is_small_and_refused_when_altered(tmp_path: Path) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5_000_000
    folder = tmp_path / "detector"
    shutil.copytree(FOLDER, folder)
    weights = folder / "detector.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(UserError, match="was altered"):
        load_detector(folder)
    (folder / "detector.json").write_text(json.dumps({"world_version": 0, "digests": {}}))
    with pytest.raises(UserError, match="knows world 0"):
        load_detector(folder)
    (folder / "detector.json").unlink()
    with pytest.raises(UserError, match=r"detector\.json is missing"):
        load_detector(folder)


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders of eight usual renders and four with an unseen pair."""
    monkeypatch.setattr(data, "SHARD", 8)
    monkeypatch.setattr(detector_training, "HELD_OUT_SHARD", 4)
    shards = data.Shards(tmp_path, TableTop(), SIZE)
    shards.folder.mkdir()
    np.save(shards.path("images", 0), np.stack([to_bytes(render(sample_scene(seed), SIZE)) for seed in range(8)]))
    run = tmp_path / "run"
    detector_training.render_held_out(run, 4)
    return tmp_path, run


def test_pictures_keep_their_labels(few: tuple[Path, Path]) -> None:
    """The shipped detector reads in each training picture what its labels say, unseen pairs among them."""
    detector, _ = load_detector()
    renders = Renders(Recipe(pictures=8, held_out=4), *few)
    images, labels = renders.batch(torch.tensor([11, 0, 7, 8]))
    expected, got = read(perfect(labels)), look(detector, images)[0]
    kinds = [
        [sorted((t.shape, t.colour) for t in reading.things) for reading in readings] for readings in (expected, got)
    ]
    assert kinds[0] == kinds[1] and len(renders) == 12
    assert any((colour, shape) in HELD_OUT_PAIRS for shape, colour in kinds[1][0])


def test_an_interrupted_run_takes_the_same_steps(few: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root, run = few
    recipe = Recipe(steps=4, batch=2, warmup=1, pictures=8, held_out=4)
    again = root / "again"
    shutil.copytree(run, again)
    whole = train(recipe, root, run)

    calls = iter(range(4))

    def failing(raw: Raw, labels: Labels) -> torch.Tensor:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return loss_of(raw, labels)

    with monkeypatch.context() as patch:
        patch.setattr(detector_training, "loss_of", failing)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, root, again, save_every=2)
    resumed = train(recipe, root, again, save_every=2)
    for name, value in whole.state_dict().items():
        assert_close(resumed.state_dict()[name], value, msg=name)


def test_frechet_grows_with_what_spoils_a_picture(renders: torch.Tensor) -> None:
    """Burnt, noisy and blurred renders move away from the true ones, further the more of it there is."""
    detector, _ = load_detector()
    noise = torch.randn(renders.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(renders, 5, stride=1, padding=2, count_include_pad=False)
    spoilt = {
        "burnt": [renders * strength for strength in (1.0, 1.2, 1.5, 2.0)],
        "noisy": [renders + strength * noise for strength in (0.0, 0.1, 0.2, 0.4)],
        "blurred": [torch.lerp(renders, blurred, strength) for strength in (0.0, 0.5, 1.0)],
    }
    features = look(detector, renders)[1]
    for name, versions in spoilt.items():
        distances = [frechet(features, look(detector, version)[1]) for version in versions]
        assert distances == sorted(distances) and distances[0] < 1e-6 < distances[1], name
