"""Training: a step is a function of (seed, step); a resumed run is the same run; two processes take one's steps."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from imagen_core.diffusion.schedules import LOG_SNR_MAX, SCHEDULES, alpha_sigma
from imagen_core.networks.text import minilm
from imagen_core.networks.unet import CONFIGS, UNet, from_low_res
from imagen_core.records import png
from imagen_core.settings import DEFAULTS
from imagen_core.training import data, loop
from imagen_core.training.loop import Progress, averaged, example_at, share, train
from imagen_core.training.objective import Objective, drop, make_example
from imagen_core.training.recipes import RECIPES, STAGES, Recipe
from imagen_core.types import TextEmbedding, UserError
from imagen_core.worlds.tabletop.render import render
from imagen_core.worlds.tabletop.scenes import sample_scene
from imagen_core.worlds.tabletop.tabletop import TableTop


def recipe(stage: str = "base", **changes: int | float | str) -> Recipe:
    return dataclasses.replace(Recipe(stage, steps=4, batch=4, size=32, warmup=2, pictures=data.SHARD), **changes)


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_is_a_function_of_seed_and_step(shards: Path, stage: str) -> None:
    pictures = data.Pictures(data.Shards(shards, TableTop(), STAGES[stage].size), data.SHARD)
    a, b, other = (example_at(recipe(stage), pictures, step) for step in (3, 3, 4))
    assert torch.equal(a.x, b.x) and torch.equal(a.eps, b.eps) and torch.equal(a.t, b.t)
    assert not torch.equal(a.x, other.x)
    assert a.x.shape == (4, 3, 32, 32) and float(a.x.abs().max()) <= 1
    assert (a.low_res is None) == (stage == "base")


def test_levels_cover_the_batch_evenly(shards: Path) -> None:
    pictures = data.Pictures(data.Shards(shards, TableTop(), 64), data.SHARD)
    t = example_at(recipe(batch=8), pictures, 0).t.sort().values
    assert_close(t.diff(), torch.full((7,), 1 / 8))


def test_shift_is_taken_from_the_levels_of_training(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees z at exactly the level it is told."""
    example = example_at(recipe(batch=8), data.Pictures(data.Shards(shards, TableTop(), 64), data.SHARD), 0)
    unet, told = UNet(CONFIGS["base64"]).eval(), []
    monkeypatch.setattr(UNet, "forward", lambda _, z, log_snr, *rest: told.append((z, log_snr)) or torch.zeros_like(z))
    for shift in (0.0, 1.5):
        Objective(unet, STAGES["base"], shift)(example)
    (_, plain), (z, shifted) = told
    assert_close(plain - shifted, torch.full((8,), 1.5))
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(shifted))
    assert_close(z, alpha * example.x + sigma * example.eps)


@pytest.mark.parametrize("name", RECIPES)
def test_networks_are_told_no_level_that_training_did_not_show(name: str) -> None:
    """The first step of sampling is at the schedule's lowest level, which ``shift`` may keep out of training."""
    trained = RECIPES[name]
    spec = STAGES[trained.stage]
    lowest = float(SCHEDULES[spec.schedule].fn(torch.ones(()))) - trained.shift
    assert CONFIGS[spec.name].lowest == pytest.approx(max(lowest, -LOG_SNR_MAX), abs=0.1)


def test_dropped_text_is_the_null_text() -> None:
    text = TextEmbedding(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
    dropped = drop(text, torch.tensor([True, False]))
    unet = UNet(dataclasses.replace(CONFIGS["base64"], text_width=8)).eval()
    null = unet.prepare(TextEmbedding(text.tokens[:1], text.mask[:1]).null())
    assert_close(unet.prepare(dropped).pooled[:1], null.pooled)
    assert torch.equal(dropped.tokens[1], text.tokens[1]) and dropped.mask[1].all()
    assert dropped.mask[0].sum() == 1


@pytest.mark.parametrize("stage", ["base", "sr1024"])
def test_a_resumed_run_is_the_same_run(shards: Path, tmp_path: Path, stage: str) -> None:
    whole = train(recipe(stage), shards, tmp_path / "whole", cpu=True)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(stage), shards, tmp_path / "cut", cpu=True, save_minutes=0, watch=stop_after(2))
    resumed = train(recipe(stage), shards, tmp_path / "cut", cpu=True)
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert_close(a, b, atol=0, rtol=0)


def stop_after(steps: int):
    def watch(progress) -> None:
        if progress.step == steps:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_loses_no_step(shards: Path, tmp_path: Path, number: signal.Signals) -> None:
    # In the background of a script the tests themselves would ignore Ctrl-C.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def interrupt(progress: Progress) -> None:
        if progress.step == 1:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train(recipe("base"), shards, tmp_path, cpu=True, watch=interrupt)
    # The signal came while step 1 was being watched: step 2 was still whole.
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    signal.signal(signal.SIGINT, outside)


def test_a_run_keeps_to_its_own_recipe(shards: Path, tmp_path: Path) -> None:
    train(recipe(steps=1), shards, tmp_path, cpu=True)
    with pytest.raises(UserError, match=r"^lr: .*begun with 0\.001"):
        train(recipe(steps=2, lr=1e-4), shards, tmp_path, cpu=True)
    # More steps are fine: the decay moves. Fewer than were taken are not.
    train(recipe(steps=2), shards, tmp_path, cpu=True)
    with pytest.raises(UserError, match=r"^steps: must be at least 2, "):
        train(recipe(steps=1), shards, tmp_path, cpu=True)


@pytest.mark.parametrize("name", ["recipe.json", "state.pt"])
def test_a_damaged_run_is_refused_in_one_line(shards: Path, tmp_path: Path, name: str) -> None:
    train(recipe(steps=1), shards, tmp_path, cpu=True)
    whole = (tmp_path / name).read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"{}"):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(UserError, match="^run: the state in|^stage: .*begun with None"):
            train(recipe(steps=2), shards, tmp_path, cpu=True)


def test_a_run_can_begin_from_weights(shards: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    weights = UNet(CONFIGS["base64"]).state_dict()
    made = train(recipe(steps=1, lr=0.0), shards, tmp_path, cpu=True, start=weights).state_dict()
    assert all(torch.equal(made[name], value) for name, value in weights.items())


def test_the_average_begins_anew_at_the_full_side(shards: Path, tmp_path: Path) -> None:
    """The first step at the full side copies the weights; before and after it, the average differs from them."""
    for steps, alike in ((2, False), (3, True), (4, False)):
        made = train(recipe(steps=steps, small_steps=2, lr=1e-3), shards, tmp_path / str(steps), cpu=True).state_dict()
        last = torch.load(tmp_path / str(steps) / "state.pt", weights_only=True)["unet"]
        assert all(torch.equal(made[name], value) for name, value in last.items()) == alike


def test_recipe_refuses_nonsense() -> None:
    for wrong, field in (
        ({"stage": "sr512"}, "stage"),
        ({"steps": 0}, "steps"),
        ({"batch": 0}, "batch"),
        ({"size": 60}, "size"),
        ({"precision": "fp8"}, "precision"),
        ({"shift": 16.0}, "shift"),
        ({"shift": float("nan")}, "shift"),
        ({"lr": float("nan")}, "lr"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"one_colour": -1.0}, "one_colour"),
    ):
        with pytest.raises(UserError, match=f"^{field}:"):
            dataclasses.replace(recipe(), **wrong)


def test_learning_rate_rises_holds_and_falls() -> None:
    r = Recipe("base", steps=1000, warmup=100, decay=0.3, lr=1.0)
    assert_close(
        torch.tensor([r.rate(s) for s in (0, 49, 99, 500, 700, 850)]), torch.tensor([0.01, 0.5, 1.0, 1.0, 1.0, 0.5])
    )
    assert r.rate(999) < 0.01


def test_average_follows_the_weights_with_a_short_memory_at_first() -> None:
    """After the first update, which copies: mean ← d mean + (1 - d) weights with d = min(decay, (1 + n) / (10 + n))."""
    line = torch.nn.Linear(1, 1, bias=False)
    ema = averaged(line, 0.5)  # type: ignore[arg-type]
    expected = 0.0
    for n in range(20):
        torch.nn.init.constant_(line.weight, n)
        ema.update_parameters(line)
        d = min(0.5, (1 + n) / (10 + n)) if n else 0.0
        expected = d * expected + (1 - d) * n
        assert_close(ema.module.weight.item(), expected)


@pytest.mark.parametrize("stage", STAGES)
def test_shares_average_to_the_whole(shards: Path, stage: str) -> None:
    """Two processes' mean loss is the loss of one: what gradient averaging relies on."""
    torch.manual_seed(0)
    objective = Objective(UNet(CONFIGS[STAGES[stage].name]), STAGES[stage])
    example = example_at(
        recipe(stage), data.Pictures(data.Shards(shards, TableTop(), STAGES[stage].size), data.SHARD), 0
    )
    with torch.no_grad():
        halves = [objective(share(example, rank, 2, torch.device("cpu"))) for rank in (0, 1)]
        assert_close(objective(example), torch.stack(halves).mean(), atol=1e-5, rtol=1e-5)


def test_the_loss_of_a_perfect_network_is_zero(shards: Path) -> None:
    """The objective's z, target and parameterization agree: an oracle that knows eps and x scores 0."""
    spec = STAGES["base"]
    example = example_at(recipe(), data.Pictures(data.Shards(shards, TableTop(), 64), data.SHARD), 0)

    class Oracle(torch.nn.Module):
        def prepare(self, text):
            return None

        def forward(self, z, log_snr, context, low_res, aug_level):
            alpha, sigma = (torch.sigmoid(s * log_snr).sqrt()[:, None, None, None] for s in (1, -1))
            assert_close(z, alpha * example.x + sigma * example.eps)
            return alpha * example.eps - sigma * example.x

    assert float(Objective(Oracle(), spec)(example)) < 1e-8  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", ["sr256", "sr1024"])
def test_an_error_of_one_unit_costs_a_super_resolution_stage_alike_at_every_level(shards: Path, stage: str) -> None:
    """The loss is on F of v = guess - factor F: sure levels must not drown the noisy ones."""
    spec = STAGES[stage]
    example = example_at(recipe(stage), data.Pictures(data.Shards(shards, TableTop(), spec.size), data.SHARD), 0)
    config = CONFIGS[spec.name]

    class Off(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = config

        def prepare(self, text):
            return None

        def forward(self, z, log_snr, context, low_res, aug_level):
            alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(log_snr))
            factor = from_low_res(z, log_snr, low_res, aug_level, config)[2]
            return alpha * example.eps - sigma * example.x + factor

    for shift in (-6.0, 0.0, 6.0):
        assert_close(Objective(Off(), spec, shift)(example).item(), 1.0, atol=1e-3, rtol=0)  # type: ignore[arg-type]


def test_super_resolution_sees_its_own_crop_shrunk(shards: Path) -> None:
    pictures = data.Pictures(data.Shards(shards, TableTop(), 256), data.SHARD)
    random = torch.Generator().manual_seed(1)
    batch = pictures.batch(torch.arange(32), torch.zeros(32, dtype=torch.long))
    example = make_example(batch, STAGES["sr256"], 64, random)
    calm = int(example.aug_level.argmin())
    alpha = torch.cos(example.aug_level * torch.pi / 2)[calm]
    shrunk = torch.nn.functional.interpolate(example.x, size=16, mode="area")[calm]
    seen = torch.nn.functional.interpolate(example.low_res, size=16, mode="area")[calm]
    correlation = torch.corrcoef(torch.stack([shrunk.flatten(), (seen / alpha).flatten()]))[0, 1]
    assert float(correlation) > 0.7


TWO_PROCESSES = """
import json, os, signal, sys
from pathlib import Path
from accelerate import PartialState
from imagen_core.training.loop import train
from imagen_core.training.recipes import Recipe
data, run, out = map(Path, sys.argv[1:])
recipe = Recipe("base", steps=3, batch=4, size=32, warmup=2, pictures=1000, precision="no")
def watch(progress):
    kept = json.loads(out.read_text()) if out.exists() else []
    out.write_text(json.dumps([*kept, [PartialState().num_processes, progress.step, progress.loss]]))
def cut(progress):
    watch(progress)
    if progress.step == 1:
        os.kill(os.getpid(), signal.SIGTERM)
try:
    train(recipe, data, run, cpu=True, watch=cut if not out.exists() else watch)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.slow
def test_two_processes_get_the_losses_of_one_and_resume(shards: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(TWO_PROCESSES)
    here = Path(__file__).parents[2]
    found = {}
    for n in (1, 2):
        out = tmp_path / f"{n}.json"
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n)]
        command = [*launch, str(script), str(shards), str(tmp_path / f"run{n}"), str(out)]
        # In the first call one process is interrupted in step 1: both stop after step 2, which is kept.
        for _ in range(2):
            subprocess.run(command, timeout=300, cwd=here, env={**os.environ, "PYTHONPATH": str(here)})
        processes, steps, losses = zip(*json.loads(out.read_text()))
        assert set(processes) == {n} and steps == (1, 2, 3)
        found[n] = torch.tensor(losses)
    assert_close(found[1], found[2], atol=1e-4, rtol=1e-4)


def test_a_grid_shows_every_prompt(tmp_path: Path) -> None:
    from conftest import CONFIGS as TINY
    from PIL import Image

    from imagen_core.training import grids

    world = TableTop(prompts=("a red ball", "a cube", "a cone on sand"))
    unet = UNet(TINY["base"]).train()
    grids.draw_grid(unet, STAGES["base"], DEFAULTS[64], world, minilm(), tmp_path / "grid.png")
    assert unet.training
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (4 * 256, 256 + 18)
        for i in range(3):
            # The part below the label is not of one colour; the fourth place stays white.
            assert any(low < high for low, high in grid.crop((i * 256, 18, (i + 1) * 256, 256 + 18)).getextrema())
        assert grid.crop((3 * 256, 18, 4 * 256, 256 + 18)).getextrema() == ((255, 255),) * 3


def test_a_grid_of_a_super_resolution_stage_shows_input_output_and_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conftest import CONFIGS as TINY
    from PIL import Image

    from imagen_core.training import grids

    monkeypatch.setattr(grids, "PICTURES", 1)
    grids.draw_grid(UNet(TINY["sr256"]), STAGES["sr256"], DEFAULTS[256], TableTop(), minilm(), tmp_path / "grid.png")
    truth = png.to_pil(render(sample_scene(data.FRESH_SEEDS), 256))
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 256, 256 + 18)
        assert list(grid.crop((512, 18, 768, 256 + 18)).getdata()) == list(truth.getdata())


def test_a_tracker_is_told_what_the_log_says(shards: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(recipe(steps=2), shards, tmp_path, cpu=True, tracker="tensorboard", watch=lambda p: {"seen": p.step})
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    (folder,) = {file.parent for file in tmp_path.rglob("events.out.*") if file.parent.name == "imagen-lab"}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert events.Scalars("loss")[0].value == pytest.approx(line["loss"])
    assert [event.value for event in events.Scalars("seen")] == [1, 2]


def test_a_tracker_that_is_not_there_is_refused_before_any_work(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "find_spec", lambda name: None)
    for name, says in (("wandb", "pip install wandb"), ("paper", "must be one of tensorboard, trackio, wandb")):
        with pytest.raises(UserError, match=f"^--tracker: .*{says}"):
            train(recipe(), tmp_path, tmp_path / "run", cpu=True, tracker=name)
    assert not (tmp_path / "run").exists()


def test_a_launch_that_divides_the_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="^train: does not divide a network among processes .FSDP.; launch it without"):
        train(recipe(), tmp_path, tmp_path / "run", cpu=True)
    assert not (tmp_path / "run").exists()
