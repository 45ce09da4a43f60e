"""Distances, intervals, verdicts and the bench, each against something known; the detector is test_detector.py's."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_detector import truth_of

from imagen_core.evaluation.detector import Found, Reading
from imagen_core.evaluation.frechet import Gaussian, frechet, frechet_distance
from imagen_core.evaluation.intervals import jackknife, share
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
from imagen_core.worlds.tabletop.tabletop import TableTop
from imagen_core.worlds.tabletop.vocabulary import (
    COLOURS,
    COUNTS,
    FLOORS,
    HELD_OUT_PAIRS,
    HELD_OUT_WORDS,
    LIGHTS,
    SHAPES,
    Concepts,
    plural,
)
from imagen_core.worlds.world import unknown_words


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


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """Closed form for groups of equal size: the standard error of the mean of the groups' means."""
    values = np.random.default_rng(0).normal(2.0, 3.0, 400)
    means = np.array([values[group::20].mean() for group in range(20)])
    found = jackknife(lambda some: float(values[some].mean()), len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(1.96 * means.std(ddof=1) / np.sqrt(20), rel=1e-9)
    assert found.value - found.low == pytest.approx(found.high - found.value)


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


# How whole sentences and single words name a floor or a light beside the phrases of captions.
FREELY = {
    "wood": ["wooden"],
    "checkers": ["checkered"],
    "grass": ["lawn"],
    "sand": ["beach"],
    "sunset": ["evening", "set"],
    "daylight": ["sun"],
}


def test_the_bench_asks_for_what_it_says() -> None:
    """Every named shape, colour, floor and light stands in the prompt, in a known, a rare or a misspelt word."""
    assert len(prompts()) >= 200 and len({p.prompt for p in prompts()}) == len({p.id for p in prompts()}) == len(
        prompts()
    )
    assert {p.category for p in prompts()} == set(CATEGORIES)
    for p in prompts():
        text = p.prompt.lower()
        words = set(re.findall(r"\w+", text))

        def says(concepts: Concepts, name: str, p: Prompt = p, words: set[str] = words) -> bool:
            forms = [phrase.split()[-1] for phrase in concepts[name]]
            forms += [plural(form) for form in forms]
            if concepts in (FLOORS, LIGHTS) and p.category == "descriptions":
                forms += FREELY.get(name, [])
            if p.category == "misspellings" and p.word and difflib.get_close_matches(p.word, forms, 1, 0.6):
                return True
            return bool(words & set(forms)) or p.word in HELD_OUT_WORDS.get(name, ())

        for named in p.things:
            assert says(SHAPES, named.shape) and says(COLOURS, named.colour), p.prompt
            if named.count > 1:
                assert COUNTS[named.count] in words, p.prompt
        assert p.floor is None or says(FLOORS, p.floor), p.prompt
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
            assert not unknown_words(TableTop(), p.prompt), p.prompt


def test_a_scene_of_a_prompt_is_right_in_everything() -> None:
    """Scene and verdict agree for every prompt: what a perfect model and a perfect detector would score is 1."""
    for p in prompts():
        scene = scene_of(p, 3)
        verdict = judge(p, truth_of(scene))
        assert all(value is not False for value in verdict.values()), (p.prompt, verdict)
        assert all(scores_of(p, verdict).values())
    assert scene_of(p, 3) == scene and scene_of(p, 4) != scene
