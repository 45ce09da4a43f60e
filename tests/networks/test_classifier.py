"""Classifier guidance: the classifier, its gradient, what it reads in a prompt, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import edit, redigest
from torch import nn
from torch.testing import assert_close

from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.models.saving import save_classifier, write_cascade
from imagen_core.networks.classifier import Classifier
from imagen_core.networks.text import minilm
from imagen_core.run.generate import check, generate
from imagen_core.settings import request
from imagen_core.training.data import FRESH_SEEDS
from imagen_core.training.noisy_classifier import accuracy, config, labels_of, loss
from imagen_core.types import Level, StepRecord, UserError
from imagen_core.worlds.tabletop.labels import main_thing
from imagen_core.worlds.tabletop.scenes import Scene, Thing, sample_scene
from imagen_core.worlds.tabletop.tabletop import TableTop
from imagen_core.worlds.tabletop.vocabulary import COLOURS, SHAPES

TINY = replace(config(TableTop()), channels=(32, 32), embed=32)


def tiny_classifier() -> Classifier:
    """Random, its zeroed layers filled, so that everything matters."""
    torch.manual_seed(5)
    network = Classifier(TINY)
    for p in network.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.2)
    return network.eval().requires_grad_(False)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny cascade with a classifier."""
    copy = tmp_path / "cascade"
    shutil.copytree(tiny_folder, copy)
    network = tiny_classifier()
    save_classifier(copy, network.config, dict(network.state_dict()), {"steps": 0})
    write_cascade(copy, "tiny", minilm(), TableTop())
    return copy


@pytest.mark.parametrize(
    ("prompt", "colour", "shape"),
    [
        ("a large red sphere to the left of a small blue cube on grass", "red", "sphere"),
        ("Two CRIMSON boxes at night", "red", "cube"),
        ("a tube and an orange ball", None, "cylinder"),
        ("on the beach, a golden cone", "yellow", "cone"),
        ("something violet", "purple", None),
        # The first noun counts, and the last colour before it.
        ("no red, a green cone and a blue cube", "green", "cone"),
    ],
)
def test_a_prompt_names_its_main_thing(prompt: str, colour: str | None, shape: str | None) -> None:
    expected = {}
    if colour:
        expected["colour"] = list(COLOURS).index(colour)
    if shape:
        expected["shape"] = list(SHAPES).index(shape)
    assert tiny_classifier().labels(prompt) == expected


def test_a_prompt_without_a_known_word_is_refused_before_any_work(folder: Path) -> None:
    cascade = load_cascade(folder)
    with pytest.raises(UserError, match="^prompt: classifier guidance needs one of red, .*cone"):
        generate(request("a dog", guidance_rule="classifier"), cascade)


def test_the_gradient_is_that_of_the_log_probability() -> None:
    """Against central differences, in float64, in a few directions."""
    network, level = tiny_classifier().double(), Level(0.5, 0.7)
    z = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = network.labels("a blue cube")

    def log_p(z: torch.Tensor) -> torch.Tensor:
        logits = network(z, z.new_full((len(z),), level.log_snr))
        return sum(logits[name].log_softmax(1)[:, index] for name, index in labels.items())

    with torch.no_grad():
        gradient = network.gradient(z, level, labels=labels)
        for seed in range(3):
            d = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            slope = (log_p(z + 1e-5 * d) - log_p(z - 1e-5 * d)) / 2e-5
            # Fourier features are taken in float32, alike on both sides.
            assert_close((gradient * d).sum((1, 2, 3)), slope, rtol=1e-4, atol=1e-8)


def test_pure_noise_says_nothing_and_the_push_stays_finite() -> None:
    """Logits carry a factor alpha, so sigma² / alpha times the gradient does not blow up as alpha → 0."""
    network, z = tiny_classifier(), torch.randn(1, 3, 16, 16)
    pushes = []
    for log_snr in (-10.0, -15.0, -30.0):
        level = Level(1.0, log_snr)
        gradient = network.gradient(z, level, labels={"colour": 0, "shape": 0})
        pushes.append(float((level.sigma**2 / level.alpha * gradient).abs().max()))
        logits = network(z, torch.tensor([log_snr]))["shape"]
        assert_close(logits.softmax(1), torch.full((1, 4), 0.25), atol=2 * level.alpha * 10, rtol=0)
    assert max(pushes) < 2 * pushes[0] + 1


def test_classifier_guidance_steers_a_run_that_never_sees_the_text(folder: Path) -> None:
    cascade = load_cascade(folder)

    def first(prompt: str, w: float) -> StepRecord:
        run = request(prompt, steps=3, guidance=w, guidance_rule="classifier", threshold="none")
        return next(event for event in generate(run, cascade) if isinstance(event, StepRecord))

    red, blue = first("a red ball", 3.0), first("a blue cube", 3.0)
    assert torch.equal(red.out.x0_uncond, blue.out.x0_uncond) and not torch.equal(red.out.x0_cond, blue.out.x0_cond)
    off = first("a red ball", 0.0)
    assert torch.equal(off.out.x0_raw, off.out.x0_uncond)
    assert_close(red.out.x0_raw, red.out.x0_uncond + 3 * (red.out.x0_cond - red.out.x0_uncond))


def test_without_its_weights_classifier_guidance_is_refused(tiny: Cascade) -> None:
    with pytest.raises(UserError, match="^guidance_rule: tiny has no classifier"):
        check(request("a red ball", guidance_rule="classifier"), tiny)


def test_a_classifier_comes_back_as_it_was_saved(folder: Path) -> None:
    cascade, ours = load_cascade(folder), tiny_classifier()
    assert cascade.classifier is not None and cascade.classifier.config == ours.config
    z, level = torch.randn(2, 3, 16, 16), torch.tensor([0.0, 3.0])
    assert_close(cascade.classifier(z, level)["shape"], ours(z, level)["shape"], atol=2e-2, rtol=0)
    assert cascade.sizes == (64, 256, 1024)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["classifier"].update(channels=[48]), "channels must be multiples"),
        (lambda d: d["classifier"].update(fold=0), "must divide 64 pixels"),
        (lambda d: d["classifier"].update(fold=3), "must divide 64 pixels"),
        (lambda d: d["classifier"].update(channels=[32] * 9), "must divide 64 pixels"),
        (lambda d: d["classifier"].update(embed=0), "embed must be between"),
        (lambda d: d["classifier"].update(attributes={}), "attributes must be classes"),
        (lambda d: d["classifier"].update(attributes={"colour": {"red": [1]}}), "attributes must be classes"),
        (lambda d: d["classifier"].update(attributes=7), "does not describe a classifier"),
        (lambda d: d["classifier"].update(surprise=1), "does not describe a classifier"),
        (lambda d: d["classifier"].update(embed=64), "do not fit its config.json"),
        (lambda d: d.pop("classifier"), "does not describe a classifier"),
    ],
)
def test_a_classifier_that_lies_is_refused(folder: Path, change: Callable[[dict], None], says: str) -> None:
    edit(folder / "classifier/config.json", change)
    redigest(folder)
    with pytest.raises(UserError, match=says):
        load_cascade(folder)


def test_a_classifier_elsewhere_is_refused(folder: Path) -> None:
    edit(folder / "cascade.json", lambda d: d.update(classifier="../other"))
    with pytest.raises(UserError, match="names its classifier"):
        load_cascade(folder)


def thing(shape: str, size: str, z: float) -> Thing:
    return Thing(shape, "red", size, "matte", 0.0, z, 0.5)


def test_the_main_thing_is_large_and_near() -> None:
    scene = sample_scene(0)

    def main(*things: Thing) -> Thing:
        return main_thing(Scene(things, *(getattr(scene, f) for f in list(Scene.__dataclass_fields__)[1:])))

    small, large = thing("cube", "small", 0.0), thing("sphere", "large", 1.0)
    assert main(small, large) is large
    near, far = thing("cube", "large", -0.5), thing("cube", "large", 1.5)
    assert main(far, near) is near


def test_the_loss_falls_where_there_is_signal() -> None:
    """A few steps on two pictures that a single pixel tells apart: learning works end to end."""
    torch.manual_seed(0)
    network = Classifier(TINY)
    x = torch.stack([torch.full((3, 16, 16), value) for value in (-0.9, 0.9)]).repeat(8, 1, 1, 1)
    truth = {"colour": torch.tensor([0, 1]).repeat(8), "shape": torch.tensor([2, 3]).repeat(8)}
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    random, losses = torch.Generator().manual_seed(0), []
    for _ in range(40):
        error = loss(network, x, truth, random)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        losses.append(float(error.detach()))
    assert losses[0] > 1.5 and sum(losses[-5:]) / 5 < 0.75 * losses[0]
    assert math.isfinite(losses[-1])


def test_labels_are_of_the_seeds_given() -> None:
    scenes = [sample_scene(seed) for seed in range(5)]
    found = labels_of(TableTop(), range(5))
    assert [list(COLOURS)[i] for i in found["colour"]] == [main_thing(scene).colour for scene in scenes]
    assert json.dumps(sorted(found)) == '["colour", "shape"]'


def test_accuracy_is_measured_at_several_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that answers the truth is always right, one that answers the next class never is."""
    monkeypatch.setattr("imagen_core.training.noisy_classifier.FRESH", 4)
    truth = labels_of(TableTop(), range(FRESH_SEEDS, FRESH_SEEDS + 4))
    for shift, share in ((0, 1.0), (1, 0.0)):
        answers = {
            name: torch.eye(len(TINY.attributes[name]))[(rows + shift) % len(TINY.attributes[name])]
            for name, rows in truth.items()
        }
        found = accuracy(lambda z, log_snr, answers=answers: answers, TableTop())
        assert found["log_snr 0"] == {"colour": share, "shape": share} and len(found) == 6
