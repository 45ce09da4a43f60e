"""Training at scale: parts of a batch, Muon and resumes take the steps of one run; held-back pictures are looked at."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS
from torch.testing import assert_close

from imagen_core.networks import sizes
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import UNet
from imagen_core.training import data, loop
from imagen_core.training import validation as validating
from imagen_core.training.loop import train
from imagen_core.training.recipes import Recipe
from imagen_core.training.validation import BEST, Validation, load_best
from imagen_core.types import UserError
from imagen_core.worlds.tabletop.tabletop import TableTop


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's small network in the place of the shipped size."""
    monkeypatch.setitem(sizes.SIZES["S"], "base64", CONFIGS["base"])


def recipe(**changes: int | float | str) -> Recipe:
    return dataclasses.replace(Recipe("base", steps=3, batch=4, size=32, warmup=2, pictures=data.SHARD), **changes)


def weights(unet: UNet) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in unet.parameters()])


def test_parts_of_a_batch_take_the_step_of_the_whole(shards: Path, tmp_path: Path, small: None) -> None:
    whole = weights(train(recipe(), shards, tmp_path / "1", cpu=True))
    parts = weights(train(recipe(accumulate=2), shards, tmp_path / "2", cpu=True))
    assert_close(parts, whole, atol=1e-5, rtol=1e-3)
    # How many parts is no matter of the run: another machine may have another memory.
    train(recipe(accumulate=4, steps=4), shards, tmp_path / "2", cpu=True)
    with pytest.raises(UserError, match="^batch: must be a multiple of --accumulate 3, got 4"):
        recipe(accumulate=3)


def test_recomputing_takes_the_same_steps(shards: Path, tmp_path: Path, small: None) -> None:
    usual = weights(train(recipe(), shards, tmp_path / "usual", cpu=True))
    again = weights(train(recipe(), shards, tmp_path / "again", cpu=True, recompute=True))
    assert torch.equal(again, usual)


def test_a_run_with_muon_resumes_as_the_same_run(shards: Path, tmp_path: Path, small: None) -> None:
    def stop(progress: loop.Progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    muon = recipe(optimizer="muon")
    whole = weights(train(muon, shards, tmp_path / "whole", cpu=True))
    with pytest.raises(KeyboardInterrupt):
        train(muon, shards, tmp_path / "cut", cpu=True, save_minutes=0, watch=stop)
    assert torch.equal(weights(train(muon, shards, tmp_path / "cut", cpu=True)), whole)
    with pytest.raises(UserError, match="^optimizer: .* was begun with 'muon'"):
        train(recipe(), shards, tmp_path / "cut", cpu=True)


def test_a_rising_loss_is_said_early(capsys: pytest.CaptureFixture[str]) -> None:
    with loop.tqdm(disable=False, file=open(os.devnull, "w")) as bar:
        loop._warn(bar, 1.4, 1.0)
        assert capsys.readouterr().out == ""
        loop._warn(bar, 1.6, 1.0)
    assert capsys.readouterr().out.startswith("loss: has risen from 1.0000 to 1.6000; if it stays up, start anew")


def test_held_back_pictures_give_the_same_loss_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "PICTURES", 3)
    monkeypatch.setattr(validating, "AT_ONCE", 2)
    unet = UNet(CONFIGS["base"]).train()
    first = Validation(recipe(), TableTop(), minilm())
    loss = first.log(unet, 5, tmp_path)
    assert loss == first.log(unet, 6, tmp_path) == round(Validation(recipe(), TableTop(), minilm()).loss(unet), 5)
    # A network that says 0 has the mean square of v for its loss, which is near 1 where noise prevails.
    assert 0.3 < loss < 1.5 and unet.training
    lines = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 6]


def test_the_best_weights_are_kept_and_said_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validating, "PICTURES", 1)
    validation, losses = Validation(recipe(), TableTop(), minilm()), iter([0.5, 0.3, 0.4])
    monkeypatch.setattr(validation, "loss", lambda network: next(losses))
    networks = [UNet(CONFIGS["base"]) for _ in range(4)]
    for step, network in enumerate(networks[:3]):
        with torch.no_grad():
            network.out.bias.fill_(step)
        validation.log(network, step, tmp_path)
    assert load_best(tmp_path, networks[3]) == 1
    assert_close(networks[3].state_dict(), networks[1].state_dict(), atol=0, rtol=0)
    with pytest.raises(UserError, match="^--best: .* is of another network"):
        load_best(tmp_path, UNet(dataclasses.replace(CONFIGS["base"], detail=4)))
    (tmp_path / BEST).write_bytes(b"damaged")
    with pytest.raises(UserError, match="^run: .* is damaged; delete it"):
        load_best(tmp_path, networks[3])


KILLED = """
import json, os, signal, sys
from pathlib import Path
from accelerate import PartialState
from conftest import CONFIGS
from imagen_core.networks import sizes
from imagen_core.training.loop import train
from imagen_core.training.recipes import Recipe
sizes.SIZES["S"]["base64"] = CONFIGS["base"]
data, run, out = map(Path, sys.argv[1:4])
last = int(sys.argv[4])
def watch(progress):
    with out.open("a") as file:
        file.write(json.dumps([progress.step, progress.loss]) + chr(10))
    if progress.step == last:
        os.kill(os.getpid(), signal.SIGKILL)
recipe = Recipe("base", steps=6, batch=4, size=32, warmup=2, pictures=1000)
train(recipe, data, run, cpu=True, save_minutes=0, watch=watch)
"""


@pytest.mark.slow
def test_a_killed_run_of_two_processes_goes_on_alone_with_the_same_losses(shards: Path, tmp_path: Path) -> None:
    script, here = tmp_path / "run.py", Path(__file__).parents[2]
    script.write_text(KILLED)
    paths = os.pathsep.join((str(here), str(here / "tests")))
    found: list[list[float]] = []
    # (processes, step after which one is killed; 0 for none)
    for name, turns in (("whole", ((1, 0),)), ("killed", ((2, 3), (1, 0)))):
        out = tmp_path / f"{name}.jsonl"
        for processes, last in turns:
            launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
            command = [*launch, str(script), str(shards), str(tmp_path / name), str(out), str(last)]
            code = subprocess.run(command, timeout=300, cwd=here, env={**os.environ, "PYTHONPATH": paths}).returncode
            assert (code != 0) == (last > 0)
        steps, means = zip(*(json.loads(line) for line in out.read_text().splitlines()))
        assert steps == (1, 2, 3, 4, 5, 6)
        found.append(losses(means, {1} if name == "whole" else {1, 4}))
    assert_close(torch.tensor(found[1]), torch.tensor(found[0]), atol=1e-3, rtol=1e-3)


ANY_MOMENT = """
import sys
from pathlib import Path
from conftest import CONFIGS
from imagen_core.networks import sizes
from imagen_core.training.loop import train
from imagen_core.training.recipes import Recipe
sizes.SIZES["S"]["base64"] = CONFIGS["base"]
recipe = Recipe("base", steps=60, batch=4, size=32, warmup=2, pictures=1000)
train(recipe, *map(Path, sys.argv[1:3]), cpu=True, save_minutes=0, watch=lambda progress: print("step", flush=True))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_a_trainer_killed_at_any_moment_goes_on_as_the_same_run(shards: Path, tmp_path: Path, small: None) -> None:
    """Killed four times, in the middle of a step or of writing its state; the steps at hand are taken again."""
    whole = weights(train(recipe(steps=60), shards, tmp_path / "whole", cpu=True))
    script, here, cut = tmp_path / "run.py", Path(__file__).parents[2], tmp_path / "cut"
    script.write_text(ANY_MOMENT)
    paths, moment = os.pathsep.join((str(here), str(here / "tests"))), random.Random(1)
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, str(script), str(shards), str(cut)],
            stdout=subprocess.PIPE, cwd=here, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        assert child.stdout is not None and all(child.stdout.readline() == b"step\n" for _ in range(8))
        time.sleep(moment.uniform(0, 0.3))
        assert child.poll() is None
        child.kill()
        child.wait()
        child.stdout.close()
    assert torch.equal(weights(train(recipe(steps=60), shards, cut, cpu=True)), whole)
    numbers = [json.loads(line) for line in (cut / "log.jsonl").read_text().splitlines()]
    assert numbers == sorted(numbers, key=lambda line: line["step"])


def losses(means: tuple[float, ...], begins: set[int]) -> list[float]:
    """The loss of each step from the running means, which begin anew in a resumed run."""
    return [
        mean if step in begins else (mean - 0.98 * means[step - 2]) / 0.02 for step, mean in enumerate(means, start=1)
    ]
