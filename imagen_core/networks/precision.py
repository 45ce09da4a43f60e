"""What this machine computes fast in."""

from __future__ import annotations

import torch


def bf16_is_fast(*, cpu: bool = True) -> bool:
    """Whether bfloat16 is faster here than float32. Without avx512_bf16 it is emulated, several times slower."""
    if torch.cuda.is_available() and not cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()
