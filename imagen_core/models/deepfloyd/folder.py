"""A pipeline's folder, read as data: its class names are compared with a list, never imported.

```
model_index.json                     pipeline's class, and the class of each part
unet/config.json, *.safetensors      UNet2DConditionModel
scheduler/scheduler_config.json      DDPM's schedule, what the network predicts, how x0_hat is thresholded
tokenizer/, text_encoder/            T5 (stage III: CLIP)
image_noising_scheduler/             stage II;  low_res_scheduler/, vae/ stage III
safety_checker/, feature_extractor/, watermarker/       where the authors ship them
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...diffusion.schedules import DISCRETE, TRAIN_STEPS
from ...files import hub
from ...files.hub import Weights
from ...settings import DEFAULT_SIZES, StageConfig
from ...types import StageSpec, UserError

# The kind of stage that each pipeline class is.
KINDS = {"IFPipeline": "base", "IFSuperResolutionPipeline": "sr", "StableDiffusionUpscalePipeline": "latent"}
# The classes that each part may have. Of the latent pipeline's scheduler only the numbers are read.
PARTS: dict[str, set[tuple[str, str]]] = {
    "unet": {("diffusers", "UNet2DConditionModel")},
    "scheduler": {("diffusers", f"{name}Scheduler") for name in ("DDPM", "DDIM", "PNDM", "EulerDiscrete")},
    "image_noising_scheduler": {("diffusers", "DDPMScheduler")},
    "low_res_scheduler": {("diffusers", "DDPMScheduler")},
    "vae": {("diffusers", "AutoencoderKL")},
    "tokenizer": {("transformers", f"{name}Tokenizer{fast}") for name in ("T5", "CLIP") for fast in ("", "Fast")},
    "text_encoder": {("transformers", "T5EncoderModel"), ("transformers", "CLIPTextModel")},
    "safety_checker": {("deepfloyd_if", "IFSafetyChecker")},
    "feature_extractor": {("transformers", f"CLIP{name}") for name in ("ImageProcessor", "FeatureExtractor")},
    "watermarker": {("deepfloyd_if", "IFWatermarker")},
}
# diffusers' timestep_spacing and this project's spacing.
SPACING = {"leading": "leading", "trailing": "trailing", "linspace": "uniform"}
PREDICTION = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
# File name of each part's weights.
STEMS = {"text_encoder": "model", "safety_checker": "model"} | dict.fromkeys(
    ("unet", "vae", "watermarker"), "diffusion_pytorch_model"
)
# Parts that stages share: they are loaded from the first stage that has them.
SHARED = frozenset({"text_encoder", "safety_checker", "watermarker"})
# Picture size, channels of z and of the low-resolution image, and latent factor of each kind.
SIZES = {"base": (64, 3, 0, 1), "sr": (256, 3, 3, 1), "latent": (1024, 4, 3, 4)}
LOW_RES = {"base": None, "sr": 64, "latent": 256}
AUGMENTATION = {"base": "cosine", "sr": "deepfloyd", "latent": "upscaler"}
LEARNED = "learned_range"
# The network's input that says how noisy its low-resolution image is, and the schedule of that noise.
NOISE_INPUT = {"base": None, "sr": "timestep", "latent": None}
NOISED_BY = {"sr": ("image_noising_scheduler", "squaredcos_cap_v2"), "latent": ("low_res_scheduler", "scaled_linear")}
# A network without a learned variance uses DDPM's small or large one: the sampler's gamma.
GAMMA = {"fixed_small": 0.0, "fixed_small_log": 0.0, "fixed_large": 1.0, "fixed_large_log": 1.0}
# Our choice for every stage; diffusers' own defaults are 100, 50 and 75.
STEPS = 50


@dataclass(frozen=True)
class Pipeline:
    """One stage's folder, checked but not loaded. ``parts`` are those that its model_index.json lists."""

    folder: Path
    source: str
    kind: str
    parts: frozenset[str]
    spec: StageSpec
    unet: dict[str, Any]
    scheduler: dict[str, Any]
    weights: dict[str, Weights]

    @property
    def text_width(self) -> int:
        """Width of the embeddings that the network was trained on."""
        return int(self.unet.get("encoder_hid_dim") or self.unet["cross_attention_dim"])


def own_parts(parts: frozenset[str], kind: str, before: frozenset[str]) -> list[str]:
    """The parts that a pipeline must load itself; those of pipelines ``before`` it are shared.

    The latent stage has a text encoder of its own.
    """
    shared = before & SHARED - ({"text_encoder"} if kind == "latent" else set())
    return [part for part in STEMS if part in parts - shared]


def read(folder: Path, source: str, before: frozenset[str] = frozenset(), *, half: bool) -> Pipeline:
    """Read and check a pipeline's folder, without the parts that pipelines ``before`` it have.

    Of two variants of its weights, fp16 is used where ``half``.

    Raises:
        UserError: not a pipeline this engine knows, a foreign class, parts that do not belong together, or weights that
            are missing or truncated.
    """
    kind, index = kind_of(folder, source)
    parts = parts_of(index, source)
    for part in ("unet", "scheduler"):
        if part not in parts:
            raise UserError(f"model: {source} has no {part}")
    unet = hub.read_json(folder, "unet/config.json")
    scheduler = hub.read_json(folder, "scheduler/scheduler_config.json")
    spec = _spec(kind, unet, scheduler, source)
    if kind in NOISED_BY:
        part, ours = NOISED_BY[kind]
        schedule = _schedule(hub.read_json(folder, f"{part}/scheduler_config.json"), f"{source}: {part}")
        if schedule != ours:
            raise UserError(f"model: {source}: its {part} has the schedule {schedule}, not {ours}")
    if kind == "latent":
        spec = replace(spec, most_aug=_most_aug(index, source))
    # A folder may lack a listed part. A part that is there must have weights that are safe to read.
    there = [part for part in own_parts(parts, kind, before) if part == "unet" or (folder / part).is_dir()]
    weights = {part: hub.weights(folder, part, STEMS[part], half=half) for part in there}
    return Pipeline(folder, source, kind, parts, spec, unet, scheduler, weights)


def check_order(sources: Sequence[str], sizes: Sequence[int]) -> None:
    """Refuse stages that are not 64, then 256, then 1024.

    Raises:
        UserError: a stage is missing or out of order.
    """
    if tuple(sizes) != DEFAULT_SIZES[: len(sizes)]:
        stages = ", ".join(f"{source} makes {size}" for source, size in zip(sources, sizes))
        raise UserError(f"model: stages must be 64, then 256, then 1024, without gaps, joined by commas; {stages}")


def defaults(source: str) -> StageConfig:
    """diffusers' defaults for a pipeline as this engine's settings, but with STEPS steps; reads two small files.

    w and aug_level are the defaults of diffusers' pipelines: w of 7, 4 and 9, noise_level of 250 and 20. Two settings
    are ignored: ``steps_offset``, at most one of 1000 timesteps, and stage III's ``set_alpha_to_one``. So a run ends at
    the clean latent, not at the first timestep's noise of 0.01.

    Raises:
        UserError: not a pipeline this engine knows, a scheduler it cannot follow, or out of reach.
    """
    folder = hub.fetch(source, ["model_index.json", "scheduler/scheduler_config.json"])
    kind, _ = kind_of(folder, source)
    scheduler = hub.read_json(folder, "scheduler/scheduler_config.json")
    try:
        spacing = SPACING[scheduler.get("timestep_spacing", "leading")]
        if kind == "latent":
            return StageConfig(
                1024, STEPS, guidance=9.0, sampler="ddim", spacing=spacing, threshold="none", aug_level=0.02
            )
        if scheduler.get("clip_sample", True) and scheduler.get("clip_sample_range", 1.0) != 1:
            raise ValueError("clip_sample_range is not 1")
        threshold: dict[str, Any] = {"threshold": "static" if scheduler.get("clip_sample", True) else "none"}
        cap = float(scheduler.get("sample_max_value", 1.0))
        if scheduler.get("thresholding"):
            percentile = 100 * float(scheduler.get("dynamic_thresholding_ratio", 0.995))
            # With a cap of 1, as in stage II, s is always 1: that is static.
            capped = {"cap": cap} if cap > 1 else {}
            threshold = {
                "threshold": "dynamic" if capped else "static",
                "options": {"percentile": percentile, **capped},
            }
        variance = scheduler.get("variance_type", "fixed_small")
        if variance != LEARNED:
            threshold["options"] = {**threshold.get("options", {}), "gamma": GAMMA[variance]}
        if kind == "sr":
            return StageConfig(
                256, STEPS, guidance=4.0, sampler="ancestral", spacing=spacing, aug_level=0.25, **threshold
            )
        return StageConfig(64, STEPS, guidance=7.0, sampler="ancestral", spacing=spacing, **threshold)
    except (UserError, TypeError, ValueError, LookupError, OverflowError) as error:
        raise UserError(f"model: {source}: its scheduler_config.json cannot be followed ({error!s:.100})") from error


def kind_of(folder: Path, source: str) -> tuple[str, dict[str, Any]]:
    """Which of KINDS a pipeline is, and its model_index.json; UserError for any other class."""
    index = hub.read_json(folder, "model_index.json")
    called = index.get("_class_name")
    kind = KINDS.get(called) if isinstance(called, str) else None
    if kind is None:
        raise UserError(f"model: {source} is a {called!r:.60}; known: {', '.join(KINDS)}")
    return kind, index


def parts_of(index: dict[str, Any], source: str) -> frozenset[str]:
    """The parts that a model_index.json lists, each of a class we know."""
    parts = set()
    for part, value in index.items():
        if part.startswith("_") or not isinstance(value, list):
            continue
        if value == [None, None]:
            continue
        if part not in PARTS or not all(isinstance(v, str) for v in value) or tuple(value) not in PARTS[part]:
            raise UserError(f"model: {source} wants {'.'.join(map(str, value))!r:.80} as its {part:.40}; not loaded")
        parts.add(part)
    return frozenset(parts)


def _spec(kind: str, unet: dict[str, Any], scheduler: dict[str, Any], source: str) -> StageSpec:
    size, channels, low_res, factor = SIZES[kind]
    schedule = _schedule(scheduler, f"{source}: scheduler")
    predicts = scheduler.get("prediction_type", "epsilon")
    if not isinstance(predicts, str) or predicts not in PREDICTION:
        raise UserError(f"model: {source} predicts {predicts!r:.40}; known: {', '.join(PREDICTION)}")
    learned = scheduler.get("variance_type") == LEARNED
    if unet.get("in_channels") != channels + low_res:
        raise UserError(
            f"model: {source} says it makes {size} × {size}, but its network takes {unet.get('in_channels')!r:.20} "
            f"channels, not {channels + low_res}: is it another stage?"
        )
    if unet.get("out_channels") not in ((2 * channels,) if learned else (channels, 2 * channels)):
        raise UserError(f"model: {source}: its network's out_channels do not fit its scheduler's variance_type")
    if factor == 1 and unet.get("sample_size") != size:
        raise UserError(f"model: {source} makes pictures of {unet.get('sample_size')!r:.20}; a {kind} must make {size}")
    if unet.get("class_embed_type") != NOISE_INPUT[kind]:
        embedding = unet.get("class_embed_type")
        raise UserError(
            f"model: {source}: its network's class_embed_type is {embedding!r:.40}, not {NOISE_INPUT[kind]!r}"
        )
    width = unet.get("encoder_hid_dim") or unet.get("cross_attention_dim")
    if not isinstance(width, int):
        raise UserError(f"model: {source}: unet/config.json does not say how wide its text is")
    name = f"{'base' if kind == 'base' else 'sr'}{size}"
    return StageSpec(
        name, size, LOW_RES[kind], schedule, PREDICTION[predicts], learned, AUGMENTATION[kind], channels, factor
    )


def _most_aug(index: dict[str, Any], source: str) -> float:
    """The upscaler's largest aug_level: its ``max_noise_level``, 350 where it has none, of 999."""
    most = index.get("max_noise_level", 350)
    if type(most) is not int or not 0 < most < TRAIN_STEPS:
        raise UserError(f"model: {source}: its max_noise_level must be between 1 and {TRAIN_STEPS - 1}")
    return most / (TRAIN_STEPS - 1)


def _schedule(config: dict[str, Any], where: str) -> str:
    """The name of a scheduler's schedule.

    Raises:
        UserError: its numbers are not exactly those of a schedule in DISCRETE.
    """
    name = config.get("beta_schedule")
    ends = (config.get("beta_start", 1e-4), config.get("beta_end", 0.02))
    fits = isinstance(name, str) and name in DISCRETE and config.get("num_train_timesteps", 1000) == TRAIN_STEPS
    fits &= name == "squaredcos_cap_v2" or ends == (1e-4, 0.02)
    if not fits or config.get("trained_betas") is not None or config.get("rescale_betas_zero_snr"):
        raise UserError(f"model: {where} has a schedule ({name!r:.40}) that is not known; known: {', '.join(DISCRETE)}")
    return str(name)
