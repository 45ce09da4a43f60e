"""`evaluate captions`: an exchange makes a caption untrue, and a network that reads is told from a deaf one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from imagen_core.__main__ import main
from imagen_core.evaluation import caption_use as captions
from imagen_core.models.checkpoints import unet_of
from imagen_core.models.opening import load_cascade
from imagen_core.types import TextEmbedding
from imagen_core.worlds.tabletop import exchanges
from imagen_core.worlds.tabletop.scenes import relations
from imagen_core.worlds.tabletop.vocabulary import COUNTS, RELATIONS, plural


def test_a_true_caption_is_true_and_an_exchanged_one_is_not() -> None:
    for scene in exchanges.scenes(20, 0):
        a, b = scene.things
        for name, opposites in (("sides", ("left", "right")), ("depths", ("front", "behind"))):
            for said, holds in zip(exchanges.pairs(scene)[name], (True, False)):
                (word,) = [word for word in opposites if f" {RELATIONS[word][0]} " in said]
                assert said.index(a.shape) < said.index(word) < said.rindex(b.shape)
                assert (word in relations(a, b)) == holds
        true, exchanged = exchanges.pairs(scene)["colours"]
        for said, (one, other) in ((true, (a, b)), (exchanged, (b, a))):
            assert f"{one.colour} {a.shape}" in said and f"{other.colour} {b.shape}" in said


def test_numbers_are_exchanged_in_scenes_of_one_kind() -> None:
    chosen = exchanges.crowds(6, 0)
    assert [len(scene.things) for scene in chosen] == [2, 3] * 3
    for scene in chosen:
        ((true, exchanged),) = exchanges.numbers(scene).values()
        thing, word = scene.things[0], COUNTS[len(scene.things)]
        assert all((other.colour, other.shape) == (thing.colour, thing.shape) for other in scene.things)
        assert true.startswith(f"{word} {thing.colour} {plural(thing.shape)} ")
        assert exchanged.split()[0] == COUNTS[5 - len(scene.things)]
        assert true.split()[1:] == exchanged.split()[1:]


def test_only_what_a_network_reads_raises_its_loss(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network handed the pooled text as an offset, beside one that looks at noise alone."""
    cascade = load_cascade(str(tiny_folder))
    unet = unet_of(cascade.stages[0])

    def deaf(z, log_snr, context):
        return torch.zeros_like(z)

    def reading(z, log_snr, context):
        return torch.zeros_like(z) + context.pooled.mean(1)[:, None, None, None]

    for forward, reads in ((deaf, False), (reading, True)):
        monkeypatch.setattr(unet, "forward", forward)
        for row in captions.measure(cascade, 4)["levels"]:
            assert all((row[name] != 0) == reads for name in ("sides", "depths", "colours", "numbers", "all"))


def test_told_are_the_scenes_whose_loss_an_exchange_raises(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four scenes the first three lose by every exchange, by 1, and the last gains as much."""
    calls = itertools.count()

    def errors(unet, x, log_snr, text, prediction):
        untrue = next(calls) % 2
        return untrue * torch.tensor([1.0, 1.0, 1.0, -1.0])

    monkeypatch.setattr(captions, "errors", errors)
    for row in captions.measure(load_cascade(str(tiny_folder)), 4)["levels"]:
        assert row["loss"] == 0
        for name in ("sides", "depths", "colours", "numbers", "all"):
            assert (row[name], row[f"{name}_told"]) == (0.5, 0.75)


def test_the_noise_is_the_same_whatever_the_text(tiny_folder: Path) -> None:
    unet = unet_of(load_cascade(str(tiny_folder)).stages[0]).eval()
    x = torch.rand(3, 3, 32, 32)
    text = TextEmbedding(torch.randn(3, 4, unet.config.text_width), torch.ones(3, 4, dtype=torch.bool))
    with torch.no_grad():
        a, b = (captions.errors(unet, x, 0.0, text, "v") for _ in range(2))
    assert torch.equal(a, b)


def test_the_verb_reports_every_level(tiny_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(captions, "QUICK_SCENES", 3)
    assert main(["evaluate", "captions", "--quick", "--model", str(tiny_folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["log_snr"] for row in found["levels"]] == list(captions.LEVELS)
    assert (found["scenes"], found["indicative"]) == (3, True)
