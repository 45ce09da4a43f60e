"""Reading a cascade's folder: JSON and safetensors only, every file under its digest.

```
cascade.json                       format, name, text encoder, world, stages in order, sha256 of each file,
                                   and which folder holds a classifier, if one came with it; sizes where the
                                   whole cascade's are not 64, 256 and 1024
base64/config.json                 what the stage is (StageSpec), its network's sizes, how it was trained
base64/model-0000i-of-0000N.safetensors    float16, no shard over SHARD_BYTES, with model.safetensors.index.json
sr256/ …   sr1024/ …   classifier/ …
world.json                         words, counts and source of pictures that people collected
weaker/ …                          a weaker version of the base, as a stage's folder, where one came with it
README.md                          the model card
```
Nothing is ever unpickled, nothing outside the folder is read, and a file that changed is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.parameterization import PREDICTIONS
from ..diffusion.schedules import SCHEDULES
from ..files import hub
from ..files.checked import read_checked, read_tensors
from ..files.digests import file_digest
from ..networks.classifier import Classifier, ClassifierConfig
from ..networks.text import LAST, TEXT_ENCODERS, TextEncoder, open_encoder
from ..networks.unet import UNet, UNetConfig
from ..settings import DEFAULT_SIZES, are_shipped_sizes, check_sizes, defaults_at
from ..types import StageSpec, UserError
from ..worlds.collected.collected import DAMAGED, Collected, described
from ..worlds.known import FIRST, WORLDS, open_world
from ..worlds.world import World
from .cascade import Cascade, Stage

FORMAT = 1
# The folder of a cascade's classifier.
CLASSIFIER = "classifier"
# The description of a world that people collected; others are known by name.
WORLD = "world.json"
# The folder of the weaker version of the base that autoguidance needs.
WEAKER = "weaker"
# Errors raised by a malformed cascade.json.
NOT_A_DESCRIPTION = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def read_cascade(folder: Path, dtype: torch.dtype = torch.float32) -> Cascade:
    """Read and check a cascade of this project; the text encoder loads when it is first used.

    The stages' weights become ``dtype`` in channels_last. The classifier's become float32: it is small, and its
    gradient is needed.

    Raises:
        UserError: a file is missing, altered, truncated or of another format; the message names it.
    """
    path = hub.inside(folder, "cascade.json")
    digest = file_digest(path)
    try:
        facts = json.loads(path.read_bytes())
        names = [str(stage) for stage in facts["stages"]]
        digests = digests_of(facts)
        text = dict(facts["text_encoder"])
        encoder_name, encoder_digest, layer = str(text["name"]), str(text["digest"]), text.get("layer", LAST)
        version, called, classifier = facts["format"], str(facts["name"]), facts.get("classifier")
        sizes = _sizes_of(facts)
    except UserError:
        raise
    except NOT_A_DESCRIPTION as error:
        raise UserError(f"model: {path} is not a cascade's description ({type(error).__name__})") from error
    if version != FORMAT:
        raise UserError(f"model: {path} has format {version!r}, this program reads {FORMAT}")
    encoder = _encoder(path, encoder_name, layer, encoder_digest)
    if not names:
        raise UserError(f"model: {path} names no stage")
    load = partial(_load_stage, folder, digests=digests, encoder=encoder, sizes=sizes, dtype=dtype)
    stages = tuple(map(load, names))
    if f"{WEAKER}/config.json" in digests:
        weaker = load(stages[0].spec.name, place=WEAKER)
        if weaker.spec != stages[0].spec:
            raise UserError(f"model: {folder / WEAKER} is no version of {stages[0].spec.name}")
        stages = (replace(stages[0], weaker=weaker.network), *stages[1:])
    if any(a.spec.size >= b.spec.size for a, b in pairwise(stages)):
        raise UserError(f"model: {path} must name its stages by rising size")
    if classifier not in (None, CLASSIFIER):
        raise UserError(f"model: {path} names its classifier {classifier!r:.60}, not {CLASSIFIER}")
    judge = _load_classifier(folder, digests) if classifier else None
    return Cascade(
        name=called,
        stages=stages,
        encode=encoder,
        digest=digest,
        classifier=judge,
        folder=folder,
        world=_world_of(facts, path),
        defaults=defaults_at(sizes),
        dtype=dtype,
    )


def _encoder(path: Path, name: str, layer: Any, digest: str) -> TextEncoder:
    """The text encoder that the description at ``path`` names.

    A T5 lies in a folder or on a hub; nothing of it is loaded before its digest is known to be right.
    """
    if name not in TEXT_ENCODERS and not hub.is_hub_id(name) and not _is_local_folder(name):
        raise UserError(f"model: {path} asks for the text encoder {name!r}; known: {', '.join(TEXT_ENCODERS)}")
    if type(layer) is not int:
        raise UserError(f"model: {path} asks for the layer {layer!r:.40}, which is no whole number")
    try:
        encoder = open_encoder(name, layer)
    except UserError as error:
        raise UserError(f"model: {path}: {error}") from error
    if encoder.digest != digest:
        raise UserError(f"model: {path} was trained with another {name} (digest differs)")
    return encoder


def _is_local_folder(name: str) -> bool:
    # A network's path would be asked for over the network.
    return Path(name).is_absolute() and not name.startswith(("//", "\\\\")) and Path(name).is_dir()


def described_sizes(folder: Path) -> tuple[int, ...]:
    """The sizes of a whole cascade, from its cascade.json alone; some of its stages may not be trained yet.

    Raises:
        UserError: the file cannot be read, or they are no way up (settings.check_sizes).
    """
    facts = hub.read_json(folder, "cascade.json")
    try:
        return _sizes_of(facts)
    except UserError:
        raise
    except NOT_A_DESCRIPTION as error:
        path = folder / "cascade.json"
        raise UserError(f"model: {path} is not a cascade's description ({type(error).__name__})") from error


def whole_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the cascade that these begin: the shipped ones, or these themselves."""
    return DEFAULT_SIZES if are_shipped_sizes(sizes) else tuple(sizes)


def _sizes_of(facts: dict[str, Any]) -> tuple[int, ...]:
    sizes = facts.get("sizes", DEFAULT_SIZES)
    # A text and an object have elements too.
    if not isinstance(sizes, list | tuple):
        raise UserError(f"model: sizes: must be a list of whole numbers, got {sizes!r:.60}")
    check_sizes("model: sizes", sizes)
    return whole_sizes(sizes)


def described_world(folder: Path) -> World | None:
    """The world that a cascade was trained on, from its cascade.json alone; None where it names none.

    Raises:
        UserError: the file cannot be read, or it names a world or a version that this program does not have.
    """
    return _world_of(hub.read_json(folder, "cascade.json"), folder / "cascade.json")


def _world_of(facts: dict[str, Any], path: Path) -> World | None:
    # Cascades from before worlds had names are of the first one, and record its version.
    old = {"name": FIRST, "version": facts["world_version"]} if "world_version" in facts else None
    named = facts.get("world", old)
    if named is None:
        return None
    if isinstance(named, dict) and "digest" in named:
        return _collected(facts, path)
    if not isinstance(named, dict) or not {"name", "version"} <= named.keys():
        raise UserError(f"model: {path}: world must be null, or have a name and a version")
    if named["name"] not in tuple(WORLDS):
        raise UserError(f"model: {path} names the world {named['name']!r:.60}; known: {', '.join(WORLDS)}")
    world = open_world(named["name"])
    if named["version"] != world.version:
        raise UserError(
            f"model: {path} is of version {named['version']!r:.20} of the world {world.name}; "
            f"this program has version {world.version}"
        )
    return world


def _collected(facts: dict[str, Any], path: Path) -> Collected:
    """The world of pictures that people collected, by the words that came with the weights."""
    try:
        world = described(json.loads(read_checked(path.parent, WORLD, digests_of(facts))))
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"model: {path.parent / WORLD} does not describe a world ({type(error).__name__})") from error
    if world.digest != facts["world"]["digest"]:
        raise UserError(f"model: {path.parent / WORLD} describes another world than {path} names")
    return world


def unet_of(stage: Stage) -> UNet:
    """A stage's network, if it is this project's U-Net.

    Raises:
        UserError: it is another one.
    """
    if not isinstance(stage.network, UNet):
        raise UserError(f"model: {stage.spec.name} is not one of this project's networks")
    return stage.network


def _load_stage(
    folder: Path,
    name: str,
    *,
    digests: dict[str, str],
    encoder: TextEncoder,
    sizes: tuple[int, ...],
    dtype: torch.dtype,
    place: str = "",
) -> Stage:
    """The stage of this name, from the cascade's folder of the same name or from that called ``place``.

    ``sizes`` are those of the whole cascade.
    """
    place = place or name
    data, path = read_checked(folder, f"{place}/config.json", digests), folder / place / "config.json"
    try:
        config = json.loads(data)
        spec, unet = StageSpec(**config["stage"]), UNetConfig(**config["unet"])
        training = dict(config["training"])
        known = spec.schedule in SCHEDULES and spec.prediction in PREDICTIONS
        # On "meta", since random weights would be replaced at once.
        with torch.device("meta"):
            network = UNet(unet)
        placed = type(spec.size) is int and type(spec.low_res_size) in (int, type(None))
        placed &= (spec.size, spec.low_res_size) in zip(sizes, (None, *sizes))
        fits = spec.name == name and (unet.text_width, unet.text_states) == (encoder.state_width, encoder.states)
        fits &= not placed or spec.size % unet.multiple == 0
        fits &= unet.low_res == (not spec.is_base)
        fits &= not placed or spec.low_res_size is None or spec.size == unet.factor * spec.low_res_size
        # This project's networks work on pixels with this project's augmentation, and learn no variance.
        fits &= spec == StageSpec(spec.name, spec.size, spec.low_res_size, spec.schedule, spec.prediction)
        # from_low_res guesses v only.
        fits &= spec.prediction == "v" or not unet.low_res
    except UserError as error:
        raise UserError(f"model: {path}: {error}") from error
    except (KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError, RecursionError) as error:
        raise UserError(f"model: {path} does not describe a stage ({type(error).__name__})") from error
    if not known:
        raise UserError(f"model: {path} names an unknown schedule or prediction")
    if not placed:
        raise UserError(
            f"model: {path}: size and low_res_size must be one of the cascade's sizes {', '.join(map(str, sizes))} and "
            f"the one before, got {spec.size!r:.40} and {spec.low_res_size!r:.40}"
        )
    if not fits:
        raise UserError(f"model: {path}: stage, network and text encoder do not belong together")
    _fill(network, folder, place, digests)
    return Stage(spec, network.to(dtype), training)


def _load_classifier(folder: Path, digests: dict[str, str]) -> Classifier:
    data, path = read_checked(folder, f"{CLASSIFIER}/config.json", digests), folder / CLASSIFIER / "config.json"
    try:
        with torch.device("meta"):
            network = Classifier(ClassifierConfig(**json.loads(data)["classifier"]))
    except UserError as error:
        raise UserError(f"model: {path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise UserError(f"model: {path} does not describe a classifier ({type(error).__name__})") from error
    _fill(network, folder, CLASSIFIER, digests)
    return network


def _fill(network: nn.Module, folder: Path, name: str, digests: dict[str, str]) -> None:
    """Load the weights of one part of a cascade into its network; refuse weights that do not fit."""
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


def digests_of(facts: dict[str, Any]) -> dict[str, str]:
    """The sha256 of each file, as a cascade.json records them."""
    return {str(file): str(digest) for file, digest in facts["digests"].items()}
