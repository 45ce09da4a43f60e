"""The safety checker and watermark that IF's authors ask for, where they ship them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ...files import hub
from ...types import Image, UserError
from ..cascade import Finish, Finished, Loading
from . import folder as layout
from .folder import Pipeline
from .network import from_folder

CHECKER = frozenset({"safety_checker", "feature_extractor"})
MARKER = frozenset({"watermarker"})


def finisher(pipelines: Sequence[Pipeline], loading: Loading) -> tuple[Finish | None, str]:
    """A function for finished pictures, None where nothing is done, and one sentence about it for the page.

    The parts come from the first pipeline that has them. They are used unless ``loading.safety`` is off. They see
    finished pictures only: the x0_hat of each step is shown unchanged.
    """
    checker = next((p for p in pipelines if p.parts >= CHECKER), None)
    marker = next((p for p in pipelines if p.parts >= MARKER), None)
    about = sentence([p.parts for p in pipelines], loading)
    if not loading.safety or (checker is None and marker is None):
        return None, about
    for part, pipeline in (("safety_checker", checker), ("watermarker", marker)):
        if pipeline is not None and part not in pipeline.weights:
            raise UserError(f"model: {pipeline.folder / part} holds no {layout.STEMS[part]}.safetensors")

    @lru_cache(maxsize=1)
    def parts() -> tuple[Any, Any, Any]:
        return (*(_checker(checker) if checker else (None, None)), _marker(marker) if marker else None)

    def finish(pictures: Image) -> Finished:
        extractor, check, mark = parts()
        withheld = [False] * len(pictures)
        if check is not None:
            pixels = extractor(_pil(pictures), return_tensors="pt").pixel_values.to(check.device, check.dtype)
            blanks = [np.zeros((1, 1, 3)) for _ in pictures]
            _, unsafe, marked = check(clip_input=pixels, images=blanks)
            withheld = [bool(a or b) for a, b in zip(unsafe, marked)]
        black = torch.tensor(withheld, device=pictures.device).reshape(-1, 1, 1, 1)
        unmarked = torch.where(black, -torch.ones_like(pictures), pictures)
        image = _tensor(mark.apply_watermark(_pil(unmarked))).to(pictures) if mark is not None else unmarked
        return Finished(image, unmarked, tuple(withheld))

    return finish, about


def sentence(parts: Sequence[frozenset[str]], loading: Loading) -> str:
    """One sentence on what is done to finished pictures, from the parts of each pipeline."""
    if not loading.safety:
        return "Safety checker and watermark are switched off by the host."
    steps = (("checked for unsafe content", CHECKER), ("watermarked", MARKER))
    done = [what for what, needed in steps if any(needed <= held for held in parts)]
    if not done:
        return "This copy of the model has neither a safety checker nor a watermark."
    return f"Finished pictures are {' and '.join(done)} with the parts that the model's authors ship."


def _checker(pipeline: Pipeline) -> tuple[Any, Any]:
    from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
    from transformers import CLIPImageProcessor

    class Checker(IFSafetyChecker):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            # transformers 5 loads no model without this call, which diffusers leaves out.
            self.post_init()

    hub.inside(pipeline.folder, "feature_extractor/preprocessor_config.json")
    extractor = CLIPImageProcessor.from_pretrained(pipeline.folder / "feature_extractor", local_files_only=True)
    variant = pipeline.weights["safety_checker"].variant
    return extractor, from_folder(Checker, pipeline.folder / "safety_checker", variant, dtype=torch.float32)


def _marker(pipeline: Pipeline) -> Any:
    from diffusers.pipelines.deepfloyd_if.watermark import IFWatermarker

    variant = pipeline.weights["watermarker"].variant
    return from_folder(IFWatermarker, pipeline.folder / "watermarker", variant)


def _pil(pictures: Image) -> list[Any]:
    from PIL import Image as Pillow

    values = ((pictures.float().cpu() / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [Pillow.fromarray(value) for value in values]


def _tensor(pictures: list[Any]) -> Image:
    return torch.stack([torch.from_numpy(np.array(p)).permute(2, 0, 1).float() / 127.5 - 1 for p in pictures])
