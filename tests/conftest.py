"""What the tests share: a cascade small enough to build in a second, with every part of a real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import nn

from imagen_core.checkpoints import Cascade, load_cascade, save_stage, write_cascade
from imagen_core.text import minilm
from imagen_core.training.loop import STAGES
from imagen_core.unet import UNet, UNetConfig

# The first call of a torch function may take a second; that says nothing about the rule under test.
hypothesis.settings.register_profile("lab", deadline=None)
hypothesis.settings.load_profile("lab")

TINY = UNetConfig((32, 32), (1, 1), ("none", "self"), embed=32, text=32, positions=True)
CONFIGS = {
    "base": TINY,
    "sr256": replace(TINY, attention=("none", "text"), low_res=True, positions=False, detail=8),
    "sr1024": replace(TINY, attention=("none", "text"), low_res=True, positions=False, detail=8, fold=4),
}


def write_tiny(folder: Path, stages: tuple[str, ...] = ("base", "sr256", "sr1024")) -> Path:
    """A cascade of random networks in ``folder``, their zeroed layers filled so that everything matters."""
    for number, stage in enumerate(stages):
        torch.manual_seed(number)
        unet = UNet(CONFIGS[stage])
        for p in unet.parameters():
            if not p.any():
                nn.init.normal_(p, std=0.2)
        save_stage(folder, STAGES[stage], CONFIGS[stage], dict(unet.state_dict()), {"steps": 0})
    write_cascade(folder, "tiny", minilm(), world_version=1)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Cascade:
    return load_cascade(tiny_folder)
