"""One training loop for all stages, on accelerate: alone, or as many processes as torchrun or accelerate starts.

A step is a pure function of (seed, step): its pictures, captions, levels and noise are drawn for the whole batch and
then divided among the processes. So a resumed run takes the same steps, and so does a run on more processes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..networks.text import open_encoder
from ..networks.unet import UNet
from ..processes import on_cpu
from ..types import TextEmbedding, UserError
from ..worlds.known import open_world
from ..worlds.world import scenes_of
from .data import CAPTIONS, Pictures, Shards
from .objective import Example, Objective, make_example
from .optimizers import OPTIMIZERS
from .recipes import Recipe
from .state import kept_state, load_state, save_state

if TYPE_CHECKING:
    from accelerate import Accelerator

# Where a run can be followed, beside its log.jsonl: packages that accelerate writes to. The project's name there.
TRACKERS = ("tensorboard", "trackio", "wandb")
PROJECT = "imagen-lab"
# Ways of accelerate to divide a network among processes.
SHARDING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
# Steps between two lines of the log.
LOG_EVERY = 50
# A mean loss this many times its lowest so far is a warning: our choice.
RISEN = 1.5
Weights = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``watch`` of :func:`train` gets it after each step."""

    step: int
    loss: float
    images_per_second: float
    averaged: UNet


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of the weights, with a shorter memory in the first steps."""

    @torch.no_grad()
    def update(mean: Weights, current: Weights, count: Tensor | int) -> None:
        n = int(count)
        torch._foreach_lerp_(mean, current, 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(network, multi_avg_fn=update)


def _follow(ema: AveragedModel, unet: UNet, *, anew: bool) -> None:
    """Bring the average up to date; ``anew`` begins it with these weights.

    It begins anew at the full side: weights that never saw it would stay in the average for long (docs/LOG.md).
    """
    if anew:
        ema.n_averaged.zero_()
    ema.update_parameters(unet)


def example_at(recipe: Recipe, pictures: Pictures, step: int) -> Example:
    """The whole batch of a step, on the CPU."""
    random = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    if recipe.crowded:
        world = scenes_of(open_world(recipe.world), "crowded")
        chances = world.odds(recipe.pictures, recipe.crowded, recipe.one_colour)
        indices = torch.multinomial(chances, recipe.batch, replacement=True, generator=random)
    else:
        indices = torch.randint(recipe.pictures, (recipe.batch,), generator=random)
    captions = torch.randint(CAPTIONS, (recipe.batch,), generator=random)
    batch = pictures.batch(indices, captions)
    return make_example(batch, recipe.spec, recipe.size_at(step), random)


def share(example: Example, rank: int, processes: int, device: torch.device) -> Example:
    """The rows of a batch that one process works on."""

    def mine(x: Tensor) -> Tensor:
        return x[rank::processes].to(device)

    return Example(
        x=mine(example.x),
        text=TextEmbedding(mine(example.text.tokens), mine(example.text.mask)),
        t=mine(example.t),
        eps=mine(example.eps),
        low_res=None if example.low_res is None else mine(example.low_res),
        aug_level=None if example.aug_level is None else mine(example.aug_level),
    )


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Let a step finish on Ctrl-C or SIGTERM; yields a function that says whether one came. A second stops at once."""
    came = False
    before: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        nonlocal came
        came = True
        signal.signal(number, before[number])

    # Only the main thread may handle signals.
    if threading.current_thread() is threading.main_thread():
        for wanted in (signal.SIGINT, signal.SIGTERM):
            # A background job of a script ignores Ctrl-C, and continues to.
            if signal.getsignal(wanted) is not signal.SIG_IGN:
                before[wanted] = signal.signal(wanted, note)
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    recipe: Recipe,
    data: Path | Shards,
    run: Path,
    *,
    cpu: bool = False,
    save_minutes: float = 10.0,
    start: Mapping[str, Tensor] | None = None,
    watch: Callable[[Progress], Mapping[str, float] | None] | None = None,
    tracker: str | None = None,
    recompute: bool = False,
) -> UNet:
    """Train or resume ``run`` and return the averaged network; a new run begins from the weights ``start`` if given.

    ``data`` is the folder of the rendered pictures of the recipe's world, or pictures that people collected.
    The run's folder keeps recipe.json, log.jsonl and state.pt (weights, average, optimiser, step). They are written
    every ``save_minutes``, at the end and on an interrupt. ``tracker``, one of TRACKERS, is told the log as well, and
    the numbers that ``watch`` returns. ``recompute`` takes less memory and more time, for the same steps.

    Raises:
        UserError: the run cannot be resumed (:func:`kept_state`), has no such tracker, or its loss is not finite.
        KeyboardInterrupt: one process was interrupted; all stop after the same step.
    """
    accelerator, state = _begin(recipe, run, cpu, tracker)
    unet = _network(recipe, start, recompute).to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = averaged(unet, recipe.ema)
    optimizer = OPTIMIZERS[recipe.optimizer](unet, recipe.lr, recipe.weight_decay)
    first = load_state(state, unet, ema, optimizer) if state else 0
    del state
    model, optimizer = accelerator.prepare(Objective(unet, recipe.spec, recipe.shift), optimizer)
    pictures = _pictures(recipe, data)
    mean_loss, lowest, saved = math.nan, math.inf, time.monotonic()
    with interrupts() as interrupted:
        for step in (bar := _bar(recipe, first, shown=accelerator.is_main_process)):
            began = time.monotonic()
            loss, norm = _take_step(accelerator, model, optimizer, recipe, example_at(recipe, pictures, step), step)
            _follow(ema, unet, anew=step == recipe.small_steps)
            # One exchange for all: every process stops after the same step.
            shared = torch.stack([loss, norm, loss.new_tensor(interrupted())])
            now, steep, stop = accelerator.reduce(shared, "mean").tolist()
            _check_finite(now, steep, step)
            mean_loss = now if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * now
            lowest = min(lowest, mean_loss)
            if accelerator.is_main_process:
                speed = recipe.batch / (time.monotonic() - began)
                bar.set_postfix_str(f"loss {mean_loss:.4f}, {speed:.0f} images/s", refresh=False)
                if step % LOG_EVERY == 0:
                    accelerator.log(_log(run, step, now, mean_loss, speed), step=step)
                    _warn(bar, mean_loss, lowest)
                if time.monotonic() - saved > 60 * save_minutes or stop or step + 1 == recipe.steps:
                    save_state(run, recipe, step + 1, unet, ema, optimizer)
                    saved = time.monotonic()
                if watch and (told := watch(Progress(step + 1, mean_loss, speed, cast(UNet, ema.module)))):
                    accelerator.log(dict(told), step=step)
            if stop:
                accelerator.wait_for_everyone()
                raise KeyboardInterrupt
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return cast(UNet, ema.module)


def _begin(recipe: Recipe, run: Path, cpu: bool, tracker: str | None) -> tuple[Accelerator, dict[str, Any] | None]:
    """The accelerator of a run, and the state that it is resumed from, if any."""
    from accelerate import Accelerator

    check_tracker(tracker)
    check_launcher()
    accelerator = Accelerator(cpu=on_cpu(cpu), mixed_precision=recipe.precision, log_with=tracker, project_dir=run)
    state = kept_state(run, recipe, accelerator.num_processes)
    # Only now: a refused run's folder stays as it was.
    if tracker:
        accelerator.init_trackers(PROJECT, config=asdict(recipe))
    return accelerator, state


def _pictures(recipe: Recipe, data: Path | Shards) -> Pictures:
    if not isinstance(data, Shards):
        data = Shards.of(data, open_world(recipe.world), recipe.spec)
    return Pictures(data, recipe.pictures)


def _network(recipe: Recipe, start: Mapping[str, Tensor] | None, recompute: bool) -> UNet:
    """The stage's network with the recipe's random weights, or with the weights ``start``."""
    torch.manual_seed(recipe.seed)
    unet = UNet(recipe.config(open_encoder(recipe.encoder, recipe.layer)))
    unet.set_recompute(recompute)
    if start is not None:
        unet.load_state_dict(start)
    return unet


def _bar(recipe: Recipe, first: int, *, shown: bool) -> tqdm:
    return tqdm(
        range(first, recipe.steps), initial=first, total=recipe.steps, desc=recipe.spec.name, unit="step",
        disable=not shown, mininterval=5.0,
    )  # fmt: skip


def _take_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    example: Example,
    step: int,
) -> tuple[Tensor, Tensor]:
    """One step of the optimiser on this process's share of the batch; returns loss and gradient norm."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(step) * group.get("share", 1.0)
    mine = share(example, accelerator.process_index, accelerator.num_processes, accelerator.device)
    losses = []
    for part in range(recipe.accumulate):
        # Processes exchange gradients once, with the last part.
        waits = accelerator.no_sync(model) if part + 1 < recipe.accumulate else nullcontext()
        with waits:
            losses.append(model(share(mine, part, recipe.accumulate, accelerator.device)) / recipe.accumulate)
            accelerator.backward(losses[-1])
    loss = torch.stack(losses).detach().sum()
    norm = cast(Tensor, accelerator.clip_grad_norm_(model.parameters(), recipe.clip)).detach()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, norm.to(loss)


def _check_finite(loss: float, norm: float, step: int) -> None:
    if not math.isfinite(loss + norm):
        raise UserError(
            f"loss: is {loss}, its gradient's norm {norm}, at step {step}; start anew in a new folder with a lower --lr"
        )


def _warn(bar: tqdm, mean_loss: float, lowest: float) -> None:
    """Say early that a run diverges: most that do so rise for hundreds of steps before they are no longer finite."""
    if mean_loss > RISEN * lowest:
        bar.write(f"loss: has risen from {lowest:.4f} to {mean_loss:.4f}; if it stays up, start anew with a lower --lr")


def _log(run: Path, step: int, loss: float, mean_loss: float, speed: float) -> dict[str, float]:
    """Append a line to the run's log.jsonl; returns what it says."""
    facts = {
        "step": step,
        "loss": round(loss, 5),
        "mean_loss": round(mean_loss, 5),
        "images_per_second": round(speed, 1),
    }
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
    return facts


def check_launcher() -> None:
    """Refuse a launch that would give a process parts of the network only, with a UserError: each keeps the whole."""
    for name in SHARDING:
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UserError(f"train: does not divide a network among processes ({name}); launch it without")


def check_tracker(name: str | None) -> None:
    """Refuse a tracker that is not known or not installed, with a UserError."""
    if name is None:
        return
    if name not in TRACKERS:
        raise UserError(f"--tracker: must be one of {', '.join(TRACKERS)}, got {name!r:.40}")
    if find_spec(name) is None:
        raise UserError(f"--tracker: {name} is not installed; pip install {name}")
