"""The judge before the judged: distances, intervals, verdicts and the detector, each against something known."""

from __future__ import annotations

import json
import math
import re
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
from imagen_core.evaluation.frechet import Gaussian, frechet, frechet_distance
from imagen_core.evaluation.intervals import share
from imagen_core.evaluation.tabletopbench import (
    CATEGORIES,
    TRAINED,
    Named,
    Prompt,
    judge,
    match,
    prompts,
    scene_of,
    scores_of,
    stands,
)
from imagen_core.png import to_bytes
from imagen_core.tabletop.render import render
from imagen_core.tabletop.scenes import Scene, Thing, sample_scene
from imagen_core.tabletop.vocabulary import (
    COLOURS,
    COUNTS,
    FLOORS,
    HELD_OUT_PAIRS,
    HELD_OUT_WORDS,
    LIGHTS,
    SHAPES,
    plural,
    unknown_words,
)
from imagen_core.training import data
from imagen_core.training.data import FRESH_SEEDS
from imagen_core.types import UserError

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


def found(
    shape: str, colour: str, x: float = 0.0, z: float = 0.0, size: str = "large", material: str = "matte"
) -> Found:
    return Found(shape, colour, size, material, x, 0.3, z, 0.9)


def reading(*things: Found, floor: str = "sand", light: str = "night") -> Reading:
    return Reading(things, floor, light)


# Fréchet distance


def test_frechet_of_diagonal_gaussians() -> None:
    """Closed form: squared distance of the means, and of the standard deviations."""
    a, b = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 0.0, 0.5]).double()
    means = torch.tensor([0.0, 1.0, -1.0]).double(), torch.tensor([2.0, 1.0, 0.0]).double()
    got = frechet_distance(Gaussian(means[0], a.square().diag()), Gaussian(means[1], b.square().diag()))
    assert got == pytest.approx(float((means[0] - means[1]).square().sum() + (a - b).square().sum()), rel=1e-12)


def test_frechet_against_the_root_of_the_product() -> None:
    """The textbook's Tr (S_a S_b)^(1/2), from the eigenvalues of the non-symmetric product."""
    random = torch.Generator().manual_seed(0)
    x, y = (
        torch.randn(200, 12, generator=random).double() @ torch.randn(12, 12, generator=random).double() for _ in "ab"
    )
    product = torch.linalg.eigvals(x.T.cov() @ y.T.cov()).real.clamp_min(0).sqrt().sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + x.T.cov().trace() + y.T.cov().trace() - 2 * product
    assert frechet(x, y) == pytest.approx(float(expected), rel=1e-9)
    assert frechet(x, y) == pytest.approx(frechet(y, x), rel=1e-9)


def test_frechet_with_fewer_pictures_than_features() -> None:
    """Singular covariances: nothing to itself, and unmoved by a rotation."""
    random = torch.Generator().manual_seed(1)
    x, y = torch.randn(9, 40, generator=random).double(), torch.randn(7, 40, generator=random).double() + 1
    turn = torch.linalg.qr(torch.randn(40, 40, generator=random).double()).Q
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet(x @ turn, y @ turn) == pytest.approx(frechet(x, y), rel=1e-6)
    with pytest.raises(ValueError, match="two pictures"):
        frechet(x[:1], y)


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


# Intervals


def test_intervals_cover_the_truth() -> None:
    """Of simulated benches with a known share, about 95 in 100 intervals hold it; never under 88."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        ability = rng.beta(4, 2, 60)
        right = rng.random((60, 3)) < ability[:, None]
        counted = share(right.flatten().tolist(), [str(i) for i in range(60) for _ in range(3)])
        held += counted.low <= 4 / 6 <= counted.high
    assert 88 <= held <= 100


def test_pictures_of_one_prompt_count_as_one_draw() -> None:
    """Ten times the same answers tell no more: copies must not narrow the interval."""
    right = [True, False] * 15
    names = [str(i) for i in range(30)]
    once, copied = share(right, names), share(right * 10, names * 10)
    assert (once.low, once.high) == (copied.low, copied.high) and copied.pictures == 300
    assert share(right * 10, [str(i) for i in range(300)]).high < once.high


# Verdicts


RED_CUBE, BLUE_BALL = Named("cube", "red"), Named("sphere", "blue")


def ask(*things: Named, **more) -> Prompt:
    return Prompt("x", more.pop("category", "colours"), "…", things, **more)


def test_swapped_colours_are_wrong() -> None:
    asked = ask(RED_CUBE, BLUE_BALL)
    assert judge(asked, reading(found("sphere", "blue"), found("cube", "red")))["objects"]
    assert not judge(asked, reading(found("sphere", "red"), found("cube", "blue")))["objects"]
    assert not judge(asked, reading(found("cube", "red")))["objects"]


def test_more_than_was_asked_for_spoils_the_count_alone() -> None:
    asked = ask(Named("cube", "red", count=2), category="counting")
    two = (found("cube", "red", -0.5), found("cube", "red", 0.5))
    assert judge(asked, reading(*two))["counting"]
    three = judge(asked, reading(*two, found("cube", "red")))
    assert three["objects"] and not three["counting"]
    assert not judge(asked, reading(two[0]))["objects"]
    assert scores_of(asked, three) == {"objects": True, "counting": False}


def test_matching_gives_each_its_own() -> None:
    """Two of a kind that differ in size are told apart by it, whichever is hotter."""
    large, small = Named("cube", "red", size="large"), Named("cube", "red", size="small")
    a, b = found("cube", "red", size="small"), replace(found("cube", "red", size="large"), heat=0.5)
    assert match([large, small], [a, b]) == (b, a)
    assert match([large, RED_CUBE, BLUE_BALL], [a]) in [(a, None, None), (None, a, None)]
    assert judge(ask(large, small), reading(a, b))["size"]
    assert not judge(ask(large), reading(a))["size"]
    assert judge(ask(RED_CUBE), reading(a))["size"] is None


def test_relations_need_a_plain_gap() -> None:
    left, right = found("cube", "red", -0.6), found("sphere", "blue", 0.6)
    assert [word for word, true in stands(left, right).items() if true] == ["left"]
    assert [word for word, true in stands(right, left).items() if true] == ["right"]
    assert not any(stands(found("cube", "red", 0.02), found("sphere", "blue", 0.0)).values())
    near, far = found("cube", "red", z=-0.5), found("sphere", "blue", z=0.8)
    assert stands(near, far)["front"] and stands(far, near)["behind"] and not stands(far, near)["front"]
    asked = ask(RED_CUBE, BLUE_BALL, category="positional", relation=("left", 0, 1))
    assert judge(asked, reading(left, right))["relation"]
    assert not judge(asked, reading(replace(left, x=0.6), replace(right, x=-0.6)))["relation"]
    # A thing that is not there stands nowhere.
    assert judge(asked, reading(left))["relation"] is False


def test_what_a_rare_word_says_must_be_true() -> None:
    asked = ask(RED_CUBE, category="rare_words", floor="grass", word="turf", also=("floor",))
    assert scores_of(asked, judge(asked, reading(found("cube", "red"), floor="grass"))) == {"rare_words": True}
    assert scores_of(asked, judge(asked, reading(found("cube", "red"), floor="sand"))) == {"rare_words": False}


# The bench


def test_the_bench_asks_for_what_it_says() -> None:
    """Every named shape, colour, floor and light stands in the prompt, in a known, a rare or a misspelt word."""
    assert len(prompts()) >= 200 and len({p.prompt for p in prompts()}) == len({p.id for p in prompts()}) == len(
        prompts()
    )
    assert {p.category for p in prompts()} == set(CATEGORIES)
    for p in prompts():
        text = p.prompt.lower()
        words = set(re.findall(r"\w+", text))

        def says(concepts: dict, name: str, p: Prompt = p, text: str = text, words: set = words) -> bool:
            forms = [phrase.split()[-1] for phrase in concepts[name]]
            forms += [plural(form) for form in forms] + (
                ["evening", "set", "lawn", "beach", "sun"] if "descr" in p.id else []
            )
            rare = p.word is not None and (p.category == "misspellings" or p.word in HELD_OUT_WORDS.get(name, ()))
            return bool(words & set(forms)) or rare

        for named in p.things:
            assert says(SHAPES, named.shape) and says(COLOURS, named.colour), p.prompt
            if named.count > 1:
                assert COUNTS[named.count] in words, p.prompt
        assert p.floor is None or says({k: (*v, "on wooden", "on checkered") for k, v in FLOORS.items()}, p.floor), (
            p.prompt
        )
        assert p.light is None or says(LIGHTS, p.light), p.prompt
        assert p.word is None or p.word in words, p.prompt


def test_rare_words_and_unseen_pairs_stay_in_their_categories() -> None:
    rare = {word for words in HELD_OUT_WORDS.values() for word in words}
    assert {p.word for p in prompts() if p.category == "rare_words"} == rare
    for p in prompts():
        assert bool(rare & set(re.findall(r"\w+", p.prompt.lower()))) == (p.category == "rare_words"), p.prompt
        pairs = {(named.colour, named.shape) for named in p.things}
        assert bool(pairs & HELD_OUT_PAIRS) == (p.category == "unseen_pairs"), p.prompt
        if p.category in TRAINED and p.category != "descriptions":
            assert not unknown_words(p.prompt), p.prompt


def test_a_scene_of_a_prompt_is_right_in_everything() -> None:
    """Scene and verdict agree for every prompt: what a perfect model and a perfect detector would score is 1."""
    for p in prompts():
        scene = scene_of(p, 3)
        verdict = judge(p, truth_of(scene))
        assert all(value is not False for value in verdict.values()), (p.prompt, verdict)
        assert all(scores_of(p, verdict).values())
    assert scene_of(p, 3) == scene and scene_of(p, 4) != scene


# The detector


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
    folder = data.folder_for(tmp_path, SIZE)
    folder.mkdir()
    np.save(folder / "images-0000.npy", np.stack([to_bytes(render(sample_scene(seed), SIZE)) for seed in range(8)]))
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
