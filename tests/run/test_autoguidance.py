"""Autoguidance: away from a weaker version of the network, which the cascade's folder must hold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY, edit, redigest
from torch import nn
from torch.testing import assert_close

from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.models.saving import save_cascade, save_stage, write_cascade
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import UNet
from imagen_core.records import trace
from imagen_core.run.branch import branch, reapply
from imagen_core.run.generate import check, generate
from imagen_core.settings import Plan, request
from imagen_core.training.recipes import STAGES
from imagen_core.types import StepRecord, UserError
from imagen_core.worlds.tabletop.tabletop import TableTop

ASKED = request("a red ball", steps=3, guidance=3.0, guidance_rule="auto", w_schedule="constant", threshold="none")
SMALLER = replace(TINY, channels=(32,), blocks=(1,), attention=("self",))


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cascade with a smaller random network as its weaker base."""
    copy = tmp_path_factory.mktemp("auto") / "cascade"
    shutil.copytree(tiny_folder, copy)
    torch.manual_seed(9)
    unet = UNet(SMALLER)
    for p in unet.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.2)
    save_stage(copy, STAGES["base"], SMALLER, dict(unet.state_dict()), {"steps": 0}, weaker=True)
    write_cascade(copy, "tiny", minilm(), TableTop())
    return copy


@pytest.fixture(scope="module")
def cascade(folder: Path) -> Cascade:
    return load_cascade(folder)


def test_it_moves_away_from_what_the_weaker_network_makes_of_the_same_text(cascade: Cascade) -> None:
    (stage, *_), text = cascade.stages, cascade.encode(["a red ball"])
    assert Plan(ASKED.stages[0], "cosine").rows == (2, 2, 2)
    for record in generate(ASKED, cascade):
        if isinstance(record, StepRecord):
            log_snr = torch.tensor([record.now.log_snr])
            v = [each(record.z, log_snr, each.prepare(text)) for each in (stage.network, stage.weaker)]
            strong, weak = (record.now.alpha * record.z - record.now.sigma * each for each in v)
            assert_close(record.out.x0_cond, strong)
            assert_close(record.out.x0_raw, weak + 3 * (strong - weak), rtol=1e-4, atol=1e-4)


def test_a_network_that_is_its_own_weaker_version_guides_nowhere(tiny: Cascade) -> None:
    base = replace(tiny.stages[0], weaker=tiny.stages[0].network)
    *_, ours = generate(ASKED, replace(tiny, stages=(base, *tiny.stages[1:])))
    *_, plain = generate(request("a red ball", steps=3, guidance=1.0, threshold="none"), tiny)
    assert_close(ours.image, plain.image, rtol=1e-4, atol=1e-4)


def test_a_step_can_be_guided_again_without_the_networks(cascade: Cascade, tiny: Cascade) -> None:
    recorder = trace.Recorder(ASKED, cascade)
    *_, whole = recorder.watch(generate(ASKED, cascade))
    stored = recorder.trace()
    again = reapply(stored, 1, replace(ASKED.stages[0], guidance=5.0))
    assert_close(again.x0_raw, again.x0_uncond + 5 * (again.x0_cond - again.x0_uncond))
    *_, ended = branch(stored, 2, ASKED, cascade)
    assert torch.equal(ended.image, whole.image)
    # The other estimate of another rule is of another kind.
    with pytest.raises(UserError, match="^guidance_rule: .*text, classifier or network"):
        reapply(stored, 1, replace(ASKED.stages[0], guidance_rule="cfg"))


def test_without_a_weaker_network_it_is_refused(tiny: Cascade, cascade: Cascade) -> None:
    with pytest.raises(UserError, match="^guidance_rule: auto needs a weaker version .* base64 of tiny has none"):
        check(ASKED, tiny)
    larger = request("a red ball", size=256)
    later = replace(larger.stages[1], guidance_rule="auto", guidance=2.0)
    with pytest.raises(UserError, match="sr256 of tiny has none"):
        check(replace(larger, stages=(larger.stages[0], later)), cascade)


def test_the_weaker_network_is_copied_and_checked(folder: Path, cascade: Cascade, tmp_path: Path) -> None:
    save_cascade(cascade, tmp_path / "copy")
    assert load_cascade(tmp_path / "copy").stages[0].weaker is not None
    config = tmp_path / "copy" / "weaker" / "config.json"
    with config.open("ab") as file:
        file.write(b" ")
    with pytest.raises(UserError, match="weaker"):
        load_cascade(tmp_path / "copy")
    edit(config, lambda d: d["stage"].update(prediction="eps"))
    redigest(tmp_path / "copy")
    with pytest.raises(UserError, match="weaker is no version of base64"):
        load_cascade(tmp_path / "copy")
