"""A short run of each shipped stage, kept so that an accidental change of what they draw is seen.

After the weights or the engine were changed on purpose: ``python -m tests.short_runs`` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from imagen_core.diffusion.augmentation import resize
from imagen_core.models.opening import load_cascade
from imagen_core.run.generate import Inputs, run_stage
from imagen_core.settings import DEFAULTS, Plan
from imagen_core.types import StageResult
from imagen_core.worlds.tabletop.render import render
from imagen_core.worlds.tabletop.scenes import sample_scene

FILE = Path(__file__).parent / "data" / "short_runs.safetensors"
PROMPT, SEED, STEPS = "a large red sphere to the left of a small blue cube on grass at sunset", 7, 3
# Of a large picture, its middle is enough.
KEPT = 96


def results() -> Iterator[tuple[str, torch.Tensor]]:
    """Each stage by itself on a rendered input, so that one stage's change does not show up as another's."""
    cascade = load_cascade("tabletop")
    text = cascade.encode([PROMPT])
    with torch.no_grad():
        for stage in cascade.stages:
            config = replace(DEFAULTS[stage.spec.size], steps=STEPS)
            low_res = None
            if stage.spec.low_res_size is not None:
                low_res = resize(render(sample_scene(0), 256)[None], stage.spec.low_res_size)
            *_, result = run_stage(stage, Plan(config, stage.spec.schedule), Inputs(text, (SEED,), low_res))
            assert isinstance(result, StageResult)
            edge = max(0, (result.size - KEPT) // 2)
            yield stage.spec.name, result.image[..., edge : result.size - edge, edge : result.size - edge]


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    save_file({name: image.half().contiguous() for name, image in results()}, FILE)
