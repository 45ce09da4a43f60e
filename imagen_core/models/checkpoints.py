"""A cascade on disk or on a hub: one folder, JSON and safetensors only, every file under its digest.

```
cascade.json                       format, name, text encoder, world version, stages in order, sha256 of each file,
                                   and which folder holds a classifier, if one came with it
base64/config.json                 what the stage is (StageSpec), its network's sizes, how it was trained
base64/model-0000i-of-0000N.safetensors    float16, no shard over SHARD_BYTES, with model.safetensors.index.json
sr256/ …   sr1024/ …   classifier/ …
README.md                          the model card
```
Nothing is ever unpickled, nothing outside the folder is read, and a file that changed is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.parameterization import PREDICTIONS
from ..diffusion.schedules import SCHEDULES
from ..files import hub
from ..files.assets import ASSETS, shipped
from ..files.writing import written_whole
from ..networks.classifier import Classifier, ClassifierConfig
from ..networks.text import TEXT_ENCODERS, TextEncoder
from ..networks.unet import UNet, UNetConfig
from ..settings import DEFAULT_SIZES, DEFAULTS, StageConfig
from ..types import StageSpec, UserError
from .cascade import Cascade, Loading, Stage

# The weights that come with the repository.
MODELS = {"tabletop": ASSETS / "tabletop"}
FORMAT = 1
# The folder of a cascade's classifier.
CLASSIFIER = "classifier"
# What reading a cascade.json raises that is not one.
NOT_A_DESCRIPTION = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
# A Space takes files up to 10 MB without large-file storage.
SHARD_BYTES = 9_500_000
# By which a model is known: this project's own, or one in diffusers' layout.
DESCRIPTIONS = ("cascade.json", "model_index.json")
# What is fetched of a cascade that lies on a hub.
OWN = ["cascade.json", "README.md", "*/config.json", "*/model*.safetensors", "*/model.safetensors.index.json"]


def save_stage(
    folder: Path, spec: StageSpec, config: UNetConfig, weights: dict[str, Tensor], training: dict[str, Any]
) -> None:
    """Write one stage below a cascade's ``folder``, replacing what was there; then call :func:`write_cascade`."""
    facts = {"stage": dataclasses.asdict(spec), "unet": dataclasses.asdict(config), "training": training}
    _save_network(folder / spec.name, weights, facts)


def save_classifier(
    folder: Path, config: ClassifierConfig, weights: dict[str, Tensor], training: dict[str, Any]
) -> None:
    """Write a cascade's classifier below its ``folder``; then call :func:`write_cascade`."""
    _save_network(folder / CLASSIFIER, weights, {"classifier": dataclasses.asdict(config), "training": training})


def _save_network(place: Path, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
    from huggingface_hub import save_torch_state_dict

    half = {name: value.detach().half().contiguous().cpu() for name, value in weights.items()}
    place.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and exchanged, so that an interruption leaves the old files or the new ones.
    with TemporaryDirectory(dir=place.parent, prefix=".") as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        save_torch_state_dict(half, new, max_shard_size=SHARD_BYTES)
        (new / "config.json").write_text(json.dumps(facts, indent=1) + "\n")
        if place.exists():
            place.rename(old)
        try:
            new.rename(place)
        except BaseException:
            if old.exists():
                old.rename(place)
            raise


def write_cascade(folder: Path, name: str, encoder: TextEncoder, *, world_version: int) -> None:
    """Write cascade.json for the stages that lie in ``folder``: their order, and the digest of every file."""
    configs = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/config.json")}
    classifier = CLASSIFIER if configs.pop(CLASSIFIER, None) else None
    stages = sorted(configs, key=lambda stage: configs[stage]["stage"]["size"])
    parts = [*stages, classifier] if classifier else stages
    files = sorted(path for part in parts for path in (folder / part).iterdir())
    facts = {
        "format": FORMAT,
        "name": name,
        "text_encoder": {"name": encoder.name, "digest": encoder.digest, "width": encoder.width},
        "world_version": world_version,
        "stages": stages,
        "classifier": classifier,
        "digests": {path.relative_to(folder).as_posix(): _sha256(path.read_bytes()) for path in files},
    }
    with written_whole(folder / "cascade.json") as aside:
        aside.write_text(json.dumps(facts, indent=1) + "\n")


def load_cascade(name: Path | str, loading: Loading | None = None) -> Cascade:
    """Read and check a model, as ``--model`` names it; the text encoder loads when it is first used.

    One of this project's cascades by name, folder or hub id: weights become float32 in channels_last. Or one to three
    pipelines of DeepFloyd IF in diffusers' layout, joined by commas (see :func:`.deepfloyd.load.load`).

    Raises:
        UserError: a file is missing, altered, truncated or of another format; the message names it.
    """
    sources = locate(str(name))
    if not is_deepfloyd(str(name)):
        return _load_own(hub.fetch(sources[0], OWN))
    from .deepfloyd.load import load

    return load(sources, loading or Loading())


def is_deepfloyd(name: str) -> bool:
    """Whether ``--model`` names pipelines in diffusers' layout, rather than a cascade of this project's own.

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
    """What a large model will take, before it is loaded or fetched; None for this project's own, which are small.

    Its parts with their parameters and bytes and where they will sit, the room there is, and what is done to pictures:
    see :func:`.deepfloyd.plan.plan`.

    Raises:
        UserError: there is no such model, it is damaged, or it cannot be reached.
    """
    if not is_deepfloyd(name):
        return None
    from .deepfloyd.memory import plan

    return plan(locate(name), loading or Loading())


def defaults_of(name: str) -> Mapping[int, StageConfig]:
    """The default settings of a model, by size, without loading it.

    Raises:
        UserError: there is no such model, or it cannot be reached.
    """
    if not is_deepfloyd(name):
        return DEFAULTS
    from .deepfloyd.folder import check_order, defaults

    sources = locate(name)
    configs = [defaults(source) for source in sources]
    check_order(sources, [config.size for config in configs])
    return {config.size: config for config in configs}


def locate(name: str) -> tuple[str, ...]:
    """The folders and hub ids of what ``--model`` takes, without loading or fetching any.

    Raises:
        UserError: a folder holds no model, or a name is neither a folder nor a hub id.
    """
    if not name or len(name) > 1000:
        raise UserError("model: must be tabletop, a model's folder or a hub id")
    if name in MODELS:
        return (str(shipped(MODELS[name])),)
    sources = (name,) if os.path.isdir(name) else tuple(part.strip() for part in name.split(","))
    for source in sources:
        held = any(os.path.isfile(os.path.join(source, file)) for file in DESCRIPTIONS)
        if not held and (os.path.exists(source) or not hub.is_hub_id(source)):
            raise UserError(f"model: {source:.200} holds no {' and no '.join(DESCRIPTIONS)}")
    return sources


def check_others(folder: Path, part: str) -> None:
    """Whether all files of a cascade but those of ``part``, which is to be replaced, are the ones on record.

    Raises:
        UserError: cascade.json cannot be read, a file is missing, altered or outside the folder, or there is a stage
            that is not on record.
    """
    path = folder / "cascade.json"
    try:
        digests = _digests(json.loads(path.read_text()))
    except NOT_A_DESCRIPTION as error:
        raise UserError(f"model: {path} is not a cascade's description ({type(error).__name__})") from error
    known = {part, *(file.partition("/")[0] for file in digests)}
    if strange := sorted({config.parent.name for config in folder.glob("*/config.json")} - known):
        raise UserError(f"model: {folder / strange[0]} is none of the cascade's stages; put it elsewhere")
    for file in digests:
        if not file.startswith(f"{part}/"):
            read_checked(folder, file, digests)


def _digests(facts: dict[str, Any]) -> dict[str, str]:
    return {str(file): str(digest) for file, digest in facts["digests"].items()}


def _load_own(folder: Path) -> Cascade:
    path = hub.inside(folder, "cascade.json")
    digest = _sha256(path.read_bytes())
    try:
        facts = json.loads(path.read_text())
        names = [str(stage) for stage in facts["stages"]]
        digests = _digests(facts)
        text = dict(facts["text_encoder"])
        encoder_name, encoder_digest = str(text["name"]), str(text["digest"])
        version, called, classifier = facts["format"], str(facts["name"]), facts.get("classifier")
    except NOT_A_DESCRIPTION as error:
        raise UserError(f"model: {path} is not a cascade's description ({type(error).__name__})") from error
    if version != FORMAT:
        raise UserError(f"model: {path} has format {version!r}, this program reads {FORMAT}")
    if encoder_name not in TEXT_ENCODERS:
        raise UserError(f"model: {path} asks for the text encoder {encoder_name!r}; known: {', '.join(TEXT_ENCODERS)}")
    encoder = TEXT_ENCODERS[encoder_name]()
    if encoder.digest != encoder_digest:
        raise UserError(f"model: {path} was trained with another {encoder_name} (digest differs)")
    if not names:
        raise UserError(f"model: {path} names no stage")
    stages = tuple(_load_stage(folder, stage, digests, encoder) for stage in names)
    if any(a.spec.size >= b.spec.size for a, b in pairwise(stages)):
        raise UserError(f"model: {path} must name its stages by rising size")
    if classifier not in (None, CLASSIFIER):
        raise UserError(f"model: {path} names its classifier {classifier!r:.60}, not {CLASSIFIER}")
    judge = _load_classifier(folder, digests) if classifier else None
    return Cascade(called, stages, encoder, digest, judge, folder)


def unet_of(stage: Stage) -> UNet:
    """A stage's network, which must be our own U-Net for its operations to be counted."""
    if not isinstance(stage.network, UNet):
        raise UserError(f"model: {stage.spec.name} is not one of this project's networks")
    return stage.network


def _load_stage(folder: Path, name: str, digests: dict[str, str], encoder: TextEncoder) -> Stage:
    data, path = read_checked(folder, f"{name}/config.json", digests), folder / name / "config.json"
    try:
        config = json.loads(data)
        spec, sizes = StageSpec(**config["stage"]), UNetConfig(**config["unet"])
        training = dict(config["training"])
        known = spec.schedule in SCHEDULES and spec.prediction in PREDICTIONS
        # On "meta" first: random weights that are replaced at once would cost start-up time.
        with torch.device("meta"):
            network = UNet(sizes)
        fits = spec.name == name and sizes.text_width == encoder.width
        fits &= type(spec.size) is int and (spec.size, spec.low_res_size) in zip(DEFAULT_SIZES, (None, *DEFAULT_SIZES))
        fits = fits and spec.size % sizes.multiple == 0
        fits &= sizes.low_res == (spec.low_res_size is not None)
        # Our networks are of pixels, noised and resized our way, and learn no variance.
        fits &= spec == StageSpec(spec.name, spec.size, spec.low_res_size, spec.schedule, spec.prediction)
        # from_low_res guesses v, and nothing else.
        fits &= spec.prediction == "v" or not sizes.low_res
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError, RecursionError) as error:
        raise UserError(f"model: {path} does not describe a stage ({type(error).__name__})") from error
    if not known:
        raise UserError(f"model: {path} names an unknown schedule or prediction")
    if not fits:
        raise UserError(f"model: {path}: stage, network and text encoder do not belong together")
    _fill(network, folder, name, digests)
    return Stage(spec, network, training)


def _load_classifier(folder: Path, digests: dict[str, str]) -> Classifier:
    data, path = read_checked(folder, f"{CLASSIFIER}/config.json", digests), folder / CLASSIFIER / "config.json"
    try:
        with torch.device("meta"):
            network = Classifier(ClassifierConfig(**json.loads(data)["classifier"]))
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise UserError(f"model: {path} does not describe a classifier ({type(error).__name__})") from error
    _fill(network, folder, CLASSIFIER, digests)
    return network


def _fill(network: nn.Module, folder: Path, name: str, digests: dict[str, str]) -> None:
    """Put the weights of one part of a cascade into its network, which must be made for them."""
    expected = network.state_dict()
    weights = _read_weights(folder, name, digests)
    wrong = sorted(expected.keys() ^ weights.keys()) or [
        key for key, value in weights.items() if value.shape != expected[key].shape
    ]
    if wrong:
        raise UserError(f"model: the weights in {folder / name} do not fit its config.json (first at {wrong[0]})")
    network.load_state_dict(weights, assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)


def _read_weights(folder: Path, name: str, digests: dict[str, str]) -> dict[str, Tensor]:
    files = sorted(file for file in digests if file.startswith(f"{name}/") and file.endswith(".safetensors"))
    if not files:
        raise UserError(f"model: {folder / 'cascade.json'} lists no weights for {name}")
    return read_tensors(folder, files, digests)


def read_tensors(folder: Path, files: Sequence[str], digests: dict[str, str]) -> dict[str, Tensor]:
    """The tensors of safetensors files inside ``folder``, as float32, each file checked against its sha256.

    Raises:
        UserError: a file is missing, altered, truncated or outside the folder; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= {key: value.float() for key, value in load(read_checked(folder, file, digests)).items()}
        except SafetensorError as error:
            raise UserError(f"model: {folder / file} is not a whole safetensors file") from error
    return weights


def read_checked(folder: Path, file: str, digests: dict[str, str]) -> bytes:
    """A file's bytes, once it is known to lie inside the folder and to be the one that was written.

    Raises:
        UserError: it is missing, outside the folder, or not the one on record.
    """
    path = hub.inside(folder, file)
    data = path.read_bytes()
    if _sha256(data) != digests.get(file):
        raise UserError(f"model: {path} was altered (its sha256 is not the one on record)")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
