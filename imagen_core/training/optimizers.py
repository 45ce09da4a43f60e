"""Optimisers by name: AdamW for all weights, or Muon for matrices and kernels with AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..networks.precision import bf16_is_fast

BETAS = (0.9, 0.99)
# Muon turns only what has both sides at least this long; below, a direction says little. Our choice.
SHORTEST = 32
MOMENTUM = 0.95
# Parts near the picture and the conditioning stay with AdamW, as Jordan et al. keep first and last layers.
WITH_ADAM = ("stem", "detail", "time", "aug", "text_in", "text_pool", "out", "unfold")
# Of the rate; what docs/LOG.md tried.
ADAM_SHARE = 0.33
# A Newton-Schulz step turns a singular value s into a s + b s^3 + c s^5 (Jordan et al. 2024).
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315


def adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); weight decay for matrices and kernels only, not for biases and norms."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=True)


def muon(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Muon (Jordan et al. 2024) for large matrices and kernels, AdamW at a third of the rate for all else."""
    turned: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in network.named_parameters():
        large = p.ndim > 1 and min(p.shape[0], p[0].numel()) >= SHORTEST and not name.startswith(WITH_ADAM)
        (turned if large else rest).append(p)
    groups = [
        {"params": turned, "turned": True, "share": 1.0, "weight_decay": weight_decay},
        {"params": rest, "turned": False, "share": ADAM_SHARE, "weight_decay": 0.0},
    ]
    return Muon(groups, lr)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is made orthogonal before each step; groups without ``turned`` take AdamW's step."""

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.mul_(1 - group["lr"] * group["weight_decay"])
                change = self._turned(p, p.grad) if group["turned"] else self._adam(p, p.grad)
                p.add_(change, alpha=-group["lr"])

    def _turned(self, p: Tensor, grad: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].mul_(MOMENTUM).add_(grad)
        matrix = (grad + MOMENTUM * state["momentum"]).reshape(p.shape[0], -1)
        # The scale gives steps as large as AdamW's (Liu et al. 2025, eq. 4).
        return (orthogonal(matrix) * 0.2 * math.sqrt(max(matrix.shape))).reshape(p.shape)

    def _adam(self, p: Tensor, grad: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state |= {"step": torch.zeros(()), "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
        state["step"] += 1
        state["mean"].lerp_(grad, 1 - BETAS[0])
        state["square"].lerp_(grad.square(), 1 - BETAS[1])
        mean, square = (state[name] / (1 - b ** state["step"].item()) for name, b in zip(("mean", "square"), BETAS))
        return mean / (square.sqrt() + 1e-8)


def orthogonal(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Nearly the orthogonal factor of a matrix, by five Newton-Schulz steps (Jordan et al. 2024).

    Singular values end between 0.7 and 1.2, but for those that were tiny. bfloat16 is exact enough, where it is fast:
    a processor that emulates it would spend most of each step here.
    """
    x = matrix.bfloat16() if bf16_is_fast(cpu=not matrix.is_cuda) else matrix.float()
    x = (x.T if len(x) > x.shape[1] else x) / (x.norm() + 1e-7)
    # Squared singular values need the digits of float32.
    by_gram = x.dtype == torch.float32 and x.shape[1] >= 2 * len(x)
    x = _steps_of_gram(x) if by_gram else _steps(x)
    return (x.T if len(matrix) > matrix.shape[1] else x).to(matrix)


def _steps(x: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    for _ in range(5):
        x = NEWTON_SCHULZ[0] * x + _higher_terms(x @ x.T) @ x
    return x


def _steps_of_gram(x: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The same, faster where n is far above m: the steps run on x x^T [m m] alone, and x is multiplied once."""
    gram = x @ x.T
    product = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(5):
        step = _higher_terms(gram)
        step.diagonal().add_(NEWTON_SCHULZ[0])
        product, gram = step @ product, step @ gram @ step
    return product @ x


def _higher_terms(gram: Float[Tensor, "m m"]) -> Float[Tensor, "m m"]:
    _, b, c = NEWTON_SCHULZ
    return b * gram + c * gram @ gram


# Takes (network, lr, weight_decay).
OPTIMIZERS: dict[str, Callable[[nn.Module, float, float], torch.optim.Optimizer]] = {"adamw": adamw, "muon": muon}
