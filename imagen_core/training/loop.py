"""One training loop for all stages, on accelerate: alone, or as many processes as torchrun or accelerate starts.

A step is a pure function of (seed, step): its pictures, captions, levels and noise are drawn for the
whole batch and then shared out, so that a resumed run, or one on more processes, takes the same steps.
"""

from __future__ import annotations

import json
import math
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..diffusion.schedules import LOG_SNR_MAX
from ..files.writing import written_whole
from ..networks.unet import CONFIGS, UNet
from ..types import StageSpec, TextEmbedding, UserError
from .data import CAPTIONS, CROP, Pictures, odds
from .objective import Example, Objective, make_example

STAGES = {
    "base": StageSpec("base64", 64, None, "cosine", "v"),
    "sr256": StageSpec("sr256", 256, 64, "cosine", "v"),
    "sr1024": StageSpec("sr1024", 1024, 256, "linear", "v"),
}

# What a recipe's numbers may be; ``steps`` and the like are whole.
LIMITS: dict[str, tuple[float, float]] = {
    "steps": (1, 100_000_000),
    "batch": (1, 65_536),
    "small_steps": (0, 100_000_000),
    "lr": (0.0, 1.0),
    "warmup": (0, 100_000_000),
    "decay": (0.0, 1.0),
    "ema": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "clip": (1e-6, 1e6),
    "pictures": (1, 10_000_000),
    "seed": (0, 2**32 - 1),
    "shift": (-LOG_SNR_MAX, LOG_SNR_MAX),
    "crowded": (0.0, 1.0),
    "one_colour": (0.0, 100.0),
}
# What reading a damaged or foreign state raises.
DAMAGED = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, UnpicklingError, struct.error,
)  # fmt: skip
# How the network is computed; its weights, their average and the loss are always float32.
PRECISIONS = ("no", "bf16")

Weights = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Recipe:
    """What a run does. Only ``steps`` may change when a run is resumed (it moves the decay).

    ``shift`` moves the levels of training (:class:`~.objective.Objective`); ``crowded``, if above 0, is the share of
    draws that show several things, and ``one_colour`` how much oftener one of a single colour is drawn than each other
    (:func:`~.data.odds`).
    ``started_from`` is the digest of the weights that a run began from, if any.
    """

    stage: str
    steps: int
    batch: int = 32
    size: int = 64
    small_steps: int = 0
    lr: float = 1e-3
    warmup: int = 200
    decay: float = 0.33
    ema: float = 0.998
    weight_decay: float = 0.01
    clip: float = 1.0
    pictures: int = 24_000
    seed: int = 0
    precision: str = "no"
    shift: float = 0.0
    crowded: float = 0.0
    one_colour: float = 1.0
    started_from: str = ""

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise UserError(f"stage: {self.stage!r} is not one of {', '.join(STAGES)}")
        if self.precision not in PRECISIONS:
            raise UserError(f"precision: {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name}: must be between {low} and {high}, got {value!r:.40}")
        multiple = 2 * CONFIGS[STAGES[self.stage].name].multiple
        most = min(CROP, STAGES[self.stage].size)
        if self.size % multiple or not multiple <= self.size <= most:
            raise UserError(f"size: must be a multiple of {multiple} between {multiple} and {most}, got {self.size}")

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, flat, linear decay to zero over the last ``decay`` of the run."""
        rise = (step + 1) / max(1, self.warmup)
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.lr * min(1.0, rise, fall)

    def size_at(self, step: int) -> int:
        """The first ``small_steps`` steps run at half the side, for a quarter of the cost."""
        return self.size // 2 if step < self.small_steps else self.size


@dataclass(frozen=True)
class Progress:
    """Where a run is: handed to the callers of :func:`train` after each step."""

    step: int
    loss: float
    images_per_second: float
    averaged: UNet


def bf16_is_fast(*, cpu: bool = True) -> bool:
    """Whether bfloat16 is faster here than float32: emulated (no avx512_bf16), it is several times slower."""
    if torch.cuda.is_available() and not cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of the weights; short memory at first, so that early grids are honest."""

    @torch.no_grad()
    def update(mean: Weights, current: Weights, count: Tensor | int) -> None:
        n = int(count)
        torch._foreach_lerp_(mean, current, 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(network, multi_avg_fn=update)


def example_at(recipe: Recipe, pictures: Pictures, step: int) -> Example:
    """The whole batch of a step, on the CPU."""
    random = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    if recipe.crowded:
        chances = odds(recipe.pictures, recipe.crowded, recipe.one_colour)
        indices = torch.multinomial(chances, recipe.batch, replacement=True, generator=random)
    else:
        indices = torch.randint(recipe.pictures, (recipe.batch,), generator=random)
    captions = torch.randint(CAPTIONS, (recipe.batch,), generator=random)
    batch = pictures.batch(indices, captions)
    return make_example(batch, STAGES[recipe.stage], recipe.size_at(step), random)


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
    """Let a step finish: yields what tells whether Ctrl-C or torchrun's SIGTERM came. A second one does not wait."""
    came = False
    before: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        nonlocal came
        came = True
        signal.signal(number, before[number])

    # Python hands signals to the main thread alone.
    if threading.current_thread() is threading.main_thread():
        for wanted in (signal.SIGINT, signal.SIGTERM):
            # A job that was put in the background of a script ignores Ctrl-C, and goes on ignoring it.
            if signal.getsignal(wanted) is not signal.SIG_IGN:
                before[wanted] = signal.signal(wanted, note)
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    cpu: bool = False,
    save_minutes: float = 10.0,
    start: Mapping[str, Tensor] | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> UNet:
    """Train or resume ``run`` and return the averaged network; a new run begins from the weights ``start`` if given.

    The run's folder keeps recipe.json, log.jsonl and state.pt (weights, average, optimiser, step), which is
    only ever read back by its own run and never unpickled beyond tensors. It is written every ``save_minutes``, at the
    end and on an interrupt.

    Raises:
        UserError: the run cannot be resumed (:func:`kept_state`), or the loss is no longer finite.
        KeyboardInterrupt: one process was interrupted; all stop after the same step.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=cpu, mixed_precision=recipe.precision)
    state = kept_state(run, recipe, accelerator.num_processes)
    spec = STAGES[recipe.stage]
    torch.manual_seed(recipe.seed)
    unet = UNet(CONFIGS[spec.name]).to(accelerator.device)
    if start is not None:
        unet.load_state_dict(start)
    unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = averaged(unet, recipe.ema)
    optimizer = torch.optim.AdamW(_groups(unet, recipe.weight_decay), lr=recipe.lr, betas=(0.9, 0.99), fused=True)
    first = _resume(state, unet, ema, optimizer) if state else 0
    del state
    model, optimizer = accelerator.prepare(Objective(unet, spec, recipe.shift), optimizer)
    pictures = Pictures(data, spec.size, recipe.pictures)

    bar = tqdm(
        range(first, recipe.steps), initial=first, total=recipe.steps, desc=spec.name, unit="step",
        disable=not accelerator.is_main_process, mininterval=5.0,
    )  # fmt: skip
    mean_loss, saved = math.nan, time.monotonic()
    with interrupts() as interrupted:
        for step in bar:
            began = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            example = share(
                example_at(recipe, pictures, step),
                accelerator.process_index,
                accelerator.num_processes,
                accelerator.device,
            )
            loss = model(example)
            accelerator.backward(loss)
            norm = cast(Tensor, accelerator.clip_grad_norm_(model.parameters(), recipe.clip)).detach()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            ema.update_parameters(unet)

            # One exchange for all: every process stops after the same step.
            told = torch.stack([loss.detach(), norm.to(loss), loss.new_tensor(interrupted())])
            now, steep, stop = accelerator.reduce(told, "mean").tolist()
            if not math.isfinite(now + steep):
                raise UserError(
                    f"loss: is {now}, its gradient's norm {steep}, at step {step}; begin again in a new folder with a "
                    "lower --lr"
                )
            mean_loss = now if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * now
            if accelerator.is_main_process:
                speed = recipe.batch / (time.monotonic() - began)
                bar.set_postfix_str(f"loss {mean_loss:.4f}, {speed:.0f} images/s", refresh=False)
                if step % 50 == 0:
                    _log(
                        run,
                        step=step,
                        loss=round(now, 5),
                        mean_loss=round(mean_loss, 5),
                        images_per_second=round(speed, 1),
                    )
                if time.monotonic() - saved > 60 * save_minutes or stop or step + 1 == recipe.steps:
                    _save(run, recipe, step + 1, unet, ema, optimizer)
                    saved = time.monotonic()
                if watch:
                    watch(Progress(step + 1, mean_loss, speed, cast(UNet, ema.module)))
            if stop:
                accelerator.wait_for_everyone()
                raise KeyboardInterrupt
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return cast(UNet, ema.module)


def _groups(unet: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay for matrices and kernels only, not for biases and norms."""
    decayed = [p for p in unet.parameters() if p.ndim > 1]
    rest = [p for p in unet.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _save(
    run: Path, recipe: Recipe, step: int, unet: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    run.mkdir(parents=True, exist_ok=True)
    with written_whole(run / "recipe.json") as aside:
        aside.write_text(json.dumps(asdict(recipe), indent=1))
    state = {"step": step, "unet": unet.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict()}
    with written_whole(run / "state.pt") as aside:
        torch.save(state, aside)


def kept_state(run: Path, recipe: Recipe, processes: int = 1) -> dict[str, Any] | None:
    """What ``run`` left of a training by this recipe; None where there is nothing yet.

    Raises:
        UserError: the run was begun with another recipe or has taken more steps, its state is damaged, or the batch
            cannot be shared out among the processes.
    """
    if recipe.batch % processes:
        raise UserError(f"batch: must be a multiple of the {processes} processes, got {recipe.batch}")
    if not (run / "state.pt").exists():
        return None
    try:
        before = json.loads((run / "recipe.json").read_text())
        changed = [name for name, value in asdict(recipe).items() if name != "steps" and before.get(name) != value]
        if changed:
            raise UserError(
                f"{changed[0]}: {run} was begun with {before.get(changed[0])!r}; resume with that or use a new folder"
            )
        state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
        step = int(state["step"])
    except DAMAGED as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"run: the state in {run} is damaged; use a new folder") from error
    if step > recipe.steps:
        raise UserError(f"steps: must be at least {step}, which {run} has taken, got {recipe.steps}")
    return state


def _resume(state: dict[str, Any], unet: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a run's state; the step to go on with."""
    try:
        unet.load_state_dict(state["unet"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    except DAMAGED as error:
        raise UserError("run: its state is of another network; use a new folder") from error
    return int(state["step"])


def _log(run: Path, **facts: float) -> None:
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")
