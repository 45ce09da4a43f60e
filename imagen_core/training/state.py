"""What a run keeps between its steps: recipe.json and state.pt, never unpickled beyond tensors."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from ..files.writing import write_text, written_whole
from ..types import UserError
from .recipes import BEFORE, Recipe

# Errors raised by a damaged or foreign state.
DAMAGED = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, UnpicklingError, struct.error,
)  # fmt: skip


def save_state(
    run: Path, recipe: Recipe, step: int, unet: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write the recipe and the state after ``step`` steps into the run's folder."""
    run.mkdir(parents=True, exist_ok=True)
    write_text(run / "recipe.json", json.dumps(asdict(recipe), indent=1))
    state = {"step": step, "unet": unet.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict()}
    # An open file, because torch's own does not say that the disk is full.
    with written_whole(run / "state.pt") as aside, aside.open("wb") as file:
        torch.save(state, file)


def kept_state(run: Path, recipe: Recipe, processes: int = 1) -> dict[str, Any] | None:
    """The state that ``run`` kept of a training by this recipe; None for a new run.

    Raises:
        UserError: the run was begun with another recipe or has taken more steps, its state is damaged, or the batch
            cannot be divided among the processes.
    """
    if recipe.batch % (processes * recipe.accumulate):
        parts = f", times --accumulate {recipe.accumulate}" if recipe.accumulate > 1 else ""
        raise UserError(f"batch: must be a multiple of the {processes} processes{parts}, got {recipe.batch}")
    if not (run / "state.pt").exists():
        return None
    try:
        before = {**BEFORE, **json.loads((run / "recipe.json").read_bytes())}
        free = ("steps", "accumulate")
        changed = [name for name, value in asdict(recipe).items() if name not in free and before.get(name) != value]
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


def load_state(state: dict[str, Any], unet: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a run's state; returns the number of steps taken.

    Raises:
        UserError: the state is of another network.
    """
    try:
        unet.load_state_dict(state["unet"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    except DAMAGED as error:
        raise UserError("run: its state is of another network; use a new folder") from error
    return int(state["step"])
