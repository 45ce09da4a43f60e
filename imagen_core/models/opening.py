"""Opening what ``--model`` names: the shipped cascade, a folder, a hub id, or pipelines of DeepFloyd IF."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from ..files import hub
from ..files.assets import ASSETS, shipped
from ..files.digests import file_digest
from ..networks.precision import bf16_is_fast
from ..settings import StageConfig, defaults_at
from ..types import UserError
from ..worlds.world import World
from .cascade import Cascade, Loading
from .checkpoints import WORLD, described_sizes, described_world, read_cascade
from .deepfloyd import folder as pipelines
from .deepfloyd.load import load
from .deepfloyd.memory import plan

# The weights that come with the repository, and the model that is used where none is named.
MODELS = {"tabletop": ASSETS / "tabletop", "emoji": ASSETS / "emoji"}
FIRST_MODEL = "tabletop"
# The file that describes a model: this project's, or the one of diffusers' layout.
DESCRIPTIONS = ("cascade.json", "model_index.json")
# Files that are fetched of a cascade on a hub.
OWN = ["cascade.json", WORLD, "README.md", "*/config.json", "*/model*.safetensors", "*/model.safetensors.index.json"]


def load_cascade(name: Path | str, loading: Loading | None = None) -> Cascade:
    """Read and check a model, as ``--model`` names it; the text encoder loads when it is first used.

    A name is a cascade of this project (shipped, a folder, or ``owner/name@revision`` on the hub), or one to three
    pipelines of DeepFloyd IF in diffusers' layout, joined by commas. ``loading`` is for those pipelines, but for its
    dtype: a cascade of this project computes in float32, or in bfloat16 where :func:`falls_back` does not say no.

    Raises:
        UserError: a file is missing, altered, truncated or of another format; the message names it. Or a cascade of
            this project is asked for in float16.
    """
    sources, loading = locate(str(name)), loading or Loading()
    if is_deepfloyd(str(name)):
        return load(sources, loading)
    if loading.dtype == "float16":
        raise UserError("dtype: float16 is for DeepFloyd IF; this model takes auto, float32 or bfloat16")
    half = loading.dtype == "bfloat16" and not falls_back(str(name), loading)
    return read_cascade(hub.fetch(sources[0], OWN), torch.bfloat16 if half else torch.float32)


def falls_back(name: str, loading: Loading) -> str:
    """Why a cascade of this project does not compute in the dtype that is asked for; empty if it does."""
    if loading.dtype != "bfloat16" or bf16_is_fast() or is_deepfloyd(name):
        return ""
    return "dtype: this processor has no bfloat16 (avx512_bf16, amx_bf16); computing in float32"


def is_deepfloyd(name: str) -> bool:
    """Whether ``--model`` names pipelines in diffusers' layout, not a cascade of this project.

    Raises:
        UserError: neither is there, or it cannot be reached.
    """
    sources = locate(name)
    if len(sources) > 1:
        return True
    folder = hub.fetch(sources[0], DESCRIPTIONS)
    if (folder / "cascade.json").is_file():
        return False
    if (folder / "model_index.json").is_file():
        return True
    raise UserError(f"model: {sources[0]:.200} holds no {' and no '.join(DESCRIPTIONS)}")


def memory_plan(name: str, loading: Loading | None = None) -> dict[str, Any] | None:
    """The memory that a large model needs, before it is loaded or fetched; None for this project's, which are small.

    Parts with their parameters, bytes and places, the free memory, and what is done to finished pictures: see
    :func:`.deepfloyd.memory.plan`.

    Raises:
        UserError: there is no such model, it is damaged, or it cannot be reached.
    """
    if not is_deepfloyd(name):
        return None
    return plan(locate(name), loading or Loading())


def defaults_of(name: str) -> Mapping[int, StageConfig]:
    """The default settings of a model, by size, without loading it.

    Raises:
        UserError: there is no such model, or it cannot be reached.
    """
    if not is_deepfloyd(name):
        return defaults_at(described_sizes(hub.fetch(locate(name)[0], DESCRIPTIONS)))
    sources = locate(name)
    configs = [pipelines.defaults(source) for source in sources]
    pipelines.check_order(sources, [config.size for config in configs])
    return {config.size: config for config in configs}


def unbroken(defaults: Mapping[int, StageConfig], there: Container[int]) -> tuple[int, ...]:
    """The sizes that stages ``there`` can draw: from the base on, as far as each stage has the one before."""
    return tuple(takewhile(there.__contains__, defaults))


def sizes_of(name: str) -> tuple[int, ...]:
    """The sizes that a model can draw (:func:`unbroken`), without loading it.

    Raises:
        UserError: there is no such model, it has no base, or it cannot be reached.
    """
    defaults = defaults_of(name)
    if is_deepfloyd(name):
        return tuple(defaults)
    stages = hub.read_json(hub.fetch(locate(name)[0], DESCRIPTIONS), "cascade.json").get("stages")
    named = stages if isinstance(stages, list) else []
    if not (sizes := unbroken(defaults, {size for size, stage in defaults.items() if stage.name in named})):
        raise UserError(f"model: {name:.200} has no base")
    return sizes


def world_of(name: str) -> World | None:
    """The world of a model, without loading it; None where it has none.

    Raises:
        UserError: there is no such model, it names a world that is not here, or it cannot be reached.
    """
    if is_deepfloyd(name):
        return None
    return described_world(hub.fetch(locate(name)[0], (*DESCRIPTIONS, WORLD)))


def digest_of(name: str) -> str:
    """The digest of a cascade of this project (Cascade.digest), without loading it; empty for DeepFloyd IF.

    Raises:
        UserError: there is no such model, or it cannot be reached.
    """
    if is_deepfloyd(name):
        return ""
    return file_digest(hub.fetch(locate(name)[0], DESCRIPTIONS) / "cascade.json")


def locate(name: str) -> tuple[str, ...]:
    """The folders or hub ids that ``--model`` names, without loading or fetching any.

    Raises:
        UserError: a folder holds no model, or a name is neither a folder nor a hub id.
    """
    if not name or len(name) > 1000:
        raise UserError(f"model: must be {' or '.join(MODELS)}, a model's folder or a hub id")
    if name in MODELS:
        return (str(shipped(MODELS[name])),)
    sources = (name,) if os.path.isdir(name) else tuple(part.strip() for part in name.split(","))
    for source in sources:
        held = any(os.path.isfile(os.path.join(source, file)) for file in DESCRIPTIONS)
        if not held and (os.path.exists(source) or not hub.is_hub_id(source)):
            raise UserError(f"model: {source:.200} holds no {' and no '.join(DESCRIPTIONS)}")
    return sources
