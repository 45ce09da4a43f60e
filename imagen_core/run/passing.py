"""A run's events on their way from one process to another: tensors as arrays, which need no shared memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch


def packed(event: Any) -> Any:
    """An event, or a tuple of events in lockstep, with every tensor as an array. Torch would send a handle to shared
    memory instead, of which a container may have 64 MB."""
    return _changed(event, torch.Tensor, lambda tensor: tensor.cpu().numpy())


def unpacked(event: Any) -> Any:
    """The event of :func:`packed` with its tensors."""
    return _changed(event, np.ndarray, torch.from_numpy)


def _changed(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(part, kind, change) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _changed(getattr(value, f.name), kind, change) for f in fields(value)})
    return value
