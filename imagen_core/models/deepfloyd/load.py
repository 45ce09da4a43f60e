"""Loading one to three pipelines as a Cascade, whose parts load when they are first needed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...files import hub
from ...files.digests import file_digest, sha256
from ...types import UserError
from ..cascade import Cascade, Loading, Stage
from . import folder as layout
from . import safety
from .folder import Pipeline
from .network import DiffusersUNet, enough_memory, from_folder
from .t5 import MAX_TOKENS, CaptionEncoder, cache_folder, clean

NEEDED = ("diffusers", "sentencepiece", "google.protobuf", "bs4", "ftfy")
# Scale of the upscaler's latents. diffusers' pipeline uses this, not the value in its decoder's config.json.
LATENT_SCALE = 0.08333
# Small files that are fetched of every repository.
SMALL = ["*.json", "tokenizer/*"]


def load(sources: Sequence[str], loading: Loading) -> Cascade:
    """DeepFloyd IF's stages in order, as a cascade: ``sources`` are folders or hub ids.

    Descriptions and the headers of the weights are read now. The text encoder is loaded for each new prompt, and each
    network when its stage begins.

    Raises:
        UserError: a package is missing, or a source is no such pipeline, damaged, out of order or out of reach.
    """
    pipelines = find(sources, loading)
    encoder = _encoder(next((p for p in pipelines[:2] if "text_encoder" in p.weights), pipelines[0]), loading)
    for pipeline in pipelines:
        if pipeline.kind != "latent" and pipeline.text_width != encoder.width:
            wide = f"{pipeline.text_width} wide; the encoder makes {encoder.width}"
            raise UserError(f"model: {pipeline.source} was trained on text {wide}")
    finish, guard = safety.finisher(pipelines, loading)
    stages = tuple(replace(_stage(pipeline, loading), finish=finish) for pipeline in pipelines)
    drawn_by = ("unet", "vae")
    facts = [
        [p.kind, p.unet, p.scheduler, *(p.weights[part].digest() for part in drawn_by if part in p.weights)]
        for p in pipelines
    ]
    texts = [encoder.digest, *(stage.encode.digest for stage in stages if stage.encode is not None)]
    digest = sha256(json.dumps([facts, texts], sort_keys=True).encode())
    name = " + ".join(pipeline.source for pipeline in pipelines)
    defaults = {pipeline.spec.size: layout.defaults(pipeline.source) for pipeline in pipelines}
    return Cascade(name, stages, encoder, digest, guard=guard, defaults=defaults, dtype=dtype_of(loading))


def find(sources: Sequence[str], loading: Loading) -> list[Pipeline]:
    """The pipelines, fetched where necessary, checked and in the order of their stages."""
    check_packages(loading)
    half = dtype_of(loading) != torch.float32
    # Without safety, its parts are skipped as if an earlier pipeline had them.
    before = frozenset[str]() if loading.safety else frozenset({"safety_checker", "watermarker"})
    pipelines: list[Pipeline] = []
    for source in sources:
        pipelines.append(layout.read(_fetch(source, before, half), source, before, half=half))
        before |= pipelines[-1].parts
    layout.check_order(sources, [pipeline.spec.size for pipeline in pipelines])
    return pipelines


def _fetch(source: str, before: frozenset[str], half: bool) -> Path:
    """A pipeline's folder. Of a repository only one variant of its own parts' weights is fetched, never a pickle."""
    folder = hub.fetch(source, SMALL)
    kind, index = layout.kind_of(folder, source)
    if Path(source).is_dir():
        return folder
    for part in layout.own_parts(layout.parts_of(index, source), kind, before):
        for mark in (".fp16", "") if half else ("", ".fp16"):
            stem = f"{part}/{layout.STEMS[part]}{mark}"
            folder = hub.fetch(source, [*SMALL, f"{stem}.safetensors", f"{stem}-*-of-*.safetensors"])
            if any((folder / part).glob(f"*{mark}*.safetensors" if mark else "*.safetensors")):
                break
    return folder


def check_packages(loading: Loading) -> None:
    """Refuse a missing package or device that this model or ``loading`` needs.

    Raises:
        UserError: it is missing; the message says how to get it.
    """
    for package in NEEDED:
        try:
            there = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            there = None
        if there is None:
            raise UserError(f"model: {package} is missing; pip install -r requirements-deepfloyd.txt")
    if loading.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device: {loading.device} is not there, or torch was built without it; use auto or cpu")
    if loading.eight_bit and not (torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes")):
        raise UserError("--eight-bit: needs an NVIDIA card and pip install bitsandbytes; --dtype float16 needs neither")
    import diffusers
    import transformers

    # Their warnings are replaced by this project's one-line refusals.
    for logging in (transformers.utils.logging, diffusers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def dtype_of(loading: Loading) -> torch.dtype:
    """The networks' dtype: as given, else float16 on a GPU and float32 elsewhere."""
    if loading.dtype != "auto":
        return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[loading.dtype]
    return torch.float16 if on_card(loading) else torch.float32


def on_card(loading: Loading) -> bool:
    """Whether networks compute on an NVIDIA GPU."""
    return loading.device != "cpu" and torch.cuda.is_available()


def placement(loading: Loading) -> dict[str, Any]:
    """accelerate's options for placing a network: "auto" spreads it over GPUs, memory and disk."""
    if loading.device == "auto":
        offload = cache_folder() / "offload"
        offload.mkdir(parents=True, exist_ok=True)
        return {"device_map": "auto", "offload_folder": str(offload)}
    return {"device_map": {"": loading.device}}


def part(pipeline: Pipeline, name: str, kind: Any, loading: Loading, **options: Any) -> Any:
    """One network of a pipeline, from safetensors, in the chosen dtype and place."""
    options = {"dtype": dtype_of(loading), **placement(loading), **options}
    return from_folder(kind, pipeline.folder / name, pipeline.weights[name].variant, **options)


def _stage(pipeline: Pipeline, loading: Loading) -> Stage:
    def unet() -> nn.Module:
        from diffusers import UNet2DConditionModel

        network: nn.Module = part(pipeline, "unet", UNet2DConditionModel, loading)
        return network

    keys = ("thresholding", "dynamic_thresholding_ratio", "sample_max_value", "variance_type", "timestep_spacing")
    facts = {
        "source": pipeline.source,
        "parameters": pipeline.weights["unet"].parameters,
        "scheduler": {key: pipeline.scheduler[key] for key in keys if key in pipeline.scheduler},
    }
    network = DiffusersUNet(pipeline.spec, unet)
    if pipeline.kind != "latent":
        return Stage(pipeline.spec, network, facts)
    return Stage(pipeline.spec, network, facts, _encoder(pipeline, loading), _decoder(pipeline, loading))


def _encoder(pipeline: Pipeline, loading: Loading) -> CaptionEncoder:
    """The pipeline's text encoder: IF's T5, or the upscaler's CLIP."""
    if "text_encoder" not in pipeline.weights:
        raise UserError(f"model: {pipeline.source} has no text_encoder")
    import transformers

    config = hub.read_json(pipeline.folder, "text_encoder/config.json")
    clip = pipeline.kind == "latent"
    kind, width = config.get("model_type"), config.get("hidden_size" if clip else "d_model")
    if kind != ("clip_text_model" if clip else "t5") or not isinstance(width, int):
        raise UserError(
            f"model: {pipeline.source}: its text_encoder is a {kind!r:.40}, not a {'CLIP' if clip else 'T5'}"
        )
    options: dict[str, Any] = {}
    if loading.eight_bit:
        options["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)

    def load() -> tuple[Any, Any]:
        family = transformers.CLIPTokenizer if clip else transformers.T5Tokenizer
        network = transformers.CLIPTextModel if clip else transformers.T5EncoderModel
        try:
            tokenizer = family.from_pretrained(pipeline.folder / "tokenizer", local_files_only=True)
        except Exception as error:
            raise UserError(
                f"model: {pipeline.folder / 'tokenizer'} cannot be read ({type(error).__name__})"
            ) from error
        return tokenizer, lambda: part(pipeline, "text_encoder", network, loading, **options)

    files = sorted((pipeline.folder / "tokenizer").glob("*"))
    names = [file_digest(hub.inside(pipeline.folder, f"tokenizer/{file.name}")) for file in files if file.is_file()]
    facts = [pipeline.weights["text_encoder"].digest(), config, names, str(dtype_of(loading)), loading.eight_bit]
    digest = sha256(json.dumps(facts, sort_keys=True).encode())
    return CaptionEncoder(
        pipeline.source, digest, width, MAX_TOKENS, load, clean=str if clip else clean, masked=not clip
    )


def _decoder(pipeline: Pipeline, loading: Loading) -> Callable[[Tensor], Tensor]:
    """A function from the upscaler's latents to pictures."""
    if "vae" not in pipeline.weights:
        raise UserError(f"model: {pipeline.source} has no vae")

    @torch.no_grad()
    def decode(latents: Tensor) -> Tensor:
        from diffusers import AutoencoderKL

        # float16 would overflow. It is small, so it is loaded for each picture.
        vae = part(pipeline, "vae", AutoencoderKL, loading, dtype=torch.float32)
        with enough_memory():
            pictures: Tensor = vae.decode(latents.to(vae.device) / LATENT_SCALE, return_dict=False)[0]
        return pictures.to(latents.device)

    return decode
