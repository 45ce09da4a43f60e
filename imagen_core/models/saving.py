"""Writing a cascade: its parts and its cascade.json, a whole copy, or a repository on the hub."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import hub
from ..files.checked import read_checked
from ..files.digests import file_digest
from ..files.writing import UNFINISHED, write_text, written_whole
from ..networks.classifier import ClassifierConfig
from ..networks.text import LAST, TextEncoder
from ..networks.unet import UNetConfig
from ..settings import DEFAULT_SIZES, are_shipped_sizes
from ..types import StageSpec, UserError
from ..worlds.collected.collected import Collected, description
from ..worlds.world import World
from .cascade import Cascade
from .checkpoints import CLASSIFIER, FORMAT, NOT_A_DESCRIPTION, WEAKER, WORLD, digests_of, unet_of

# A Space takes files up to 10 MB without large-file storage.
SHARD_BYTES = 9_500_000


def save_stage(
    folder: Path,
    spec: StageSpec,
    config: UNetConfig,
    weights: dict[str, Tensor],
    training: dict[str, Any],
    *,
    weaker: bool = False,
) -> None:
    """Write one stage below a cascade's ``folder``, replacing what was there; then call :func:`write_cascade`.

    ``weaker`` makes it the weaker version of the base, for autoguidance.
    """
    facts = {"stage": dataclasses.asdict(spec), "unet": dataclasses.asdict(config), "training": training}
    _save_network(folder / (WEAKER if weaker else spec.name), weights, facts)


def save_classifier(
    folder: Path, config: ClassifierConfig, weights: dict[str, Tensor], training: dict[str, Any]
) -> None:
    """Write a cascade's classifier below its ``folder``; then call :func:`write_cascade`."""
    _save_network(folder / CLASSIFIER, weights, {"classifier": dataclasses.asdict(config), "training": training})


def _save_network(place: Path, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
    from huggingface_hub import save_torch_state_dict

    half = {name: value.detach().half().contiguous().cpu() for name, value in weights.items()}
    place.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and then exchanged: an interruption leaves the old files or the new ones.
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".", suffix=UNFINISHED) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        save_torch_state_dict(half, new, max_shard_size=SHARD_BYTES)
        write_text(new / "config.json", json.dumps(facts, indent=1) + "\n")
        if place.exists():
            place.rename(old)
        try:
            new.rename(place)
        except BaseException:
            if old.exists():
                old.rename(place)
            raise


def write_cascade(
    folder: Path, name: str, encoder: TextEncoder, world: World | None, sizes: Sequence[int] = DEFAULT_SIZES
) -> None:
    """Write cascade.json for the stages that lie in ``folder``: their order, and the digest of every file.

    ``world`` is the one that they were trained on; None where it is none of this program's. ``sizes`` are those of the
    whole cascade, trained or not.
    """
    named = None if world is None else {"name": world.name, "version": world.version}
    own: list[Path] = []
    if isinstance(world, Collected):
        # Nobody else knows such a world, so its words travel with the weights.
        own, named = [folder / WORLD], {"name": world.name, "digest": world.digest}
        write_text(folder / WORLD, json.dumps(description(world), indent=1, ensure_ascii=False) + "\n")
    layer = {} if encoder.layer == LAST else {"layer": encoder.layer}
    configs = {path.parent.name: json.loads(path.read_bytes()) for path in folder.glob("*/config.json")}
    classifier = CLASSIFIER if configs.pop(CLASSIFIER, None) else None
    weaker = WEAKER if configs.pop(WEAKER, None) else None
    stages = sorted(configs, key=lambda stage: configs[stage]["stage"]["size"])
    parts = [*stages, *filter(None, (classifier, weaker))]
    files = sorted([*own, *(path for part in parts for path in (folder / part).iterdir())])
    facts = {
        "format": FORMAT,
        "name": name,
        "text_encoder": {"name": encoder.name, "digest": encoder.digest, "width": encoder.width, **layer},
        "world": named,
        **({} if are_shipped_sizes(sizes) else {"sizes": list(sizes)}),
        "stages": stages,
        "classifier": classifier,
        "digests": {path.relative_to(folder).as_posix(): file_digest(path) for path in files},
    }
    write_text(folder / "cascade.json", json.dumps(facts, indent=1) + "\n")


def check_others(folder: Path, part: str) -> None:
    """Check every file of a cascade against its digest, but for those of ``part``, which is to be replaced.

    Raises:
        UserError: cascade.json cannot be read, a file is missing, altered or outside the folder, or there is a stage
            that is not on record.
    """
    path = folder / "cascade.json"
    try:
        digests = digests_of(json.loads(path.read_bytes()))
    except NOT_A_DESCRIPTION as error:
        raise UserError(f"model: {path} is not a cascade's description ({type(error).__name__})") from error
    known = {part, *(file.partition("/")[0] for file in digests)}
    if strange := sorted({config.parent.name for config in folder.glob("*/config.json")} - known):
        raise UserError(f"model: {folder / strange[0]} is none of the cascade's stages; put it elsewhere")
    for file in digests:
        if not file.startswith(f"{part}/"):
            read_checked(folder, file, digests)


def save_cascade(cascade: Cascade, folder: Path | str) -> None:
    """Copy a cascade to a folder that ``--model`` takes, each file checked; its digest stays.

    Raises:
        UserError: it is not a cascade of this project. Others stay in their own layout.
    """
    if cascade.folder is None:
        raise UserError(f"model: {cascade.name} is not a cascade of this project; its files stay in their own layout")
    facts = read_checked(cascade.folder, "cascade.json", {"cascade.json": cascade.digest})
    digests = json.loads(facts)["digests"]
    copies = {"cascade.json": facts, **{file: read_checked(cascade.folder, file, digests) for file in digests}}
    there = (cascade.folder / "README.md").is_file()
    copies["README.md"] = hub.inside(cascade.folder, "README.md").read_bytes() if there else _card(cascade).encode()
    for file, data in copies.items():
        (Path(folder) / file).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(Path(folder) / file) as aside:
            aside.write_bytes(data)


def push_to_hub(cascade: Cascade, repository: str, *, private: bool = True) -> str:
    """Create or update a repository on the hub (token from HF_TOKEN) and return its commit's address.

    Raises:
        UserError: it is not a cascade of this project, or the hub refuses; one line says why.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as place:
        save_cascade(cascade, place)
        try:
            HfApi().create_repo(repository, private=private, exist_ok=True)
            return str(HfApi().upload_folder(repo_id=repository, folder_path=place, commit_message=cascade.name))
        except Exception as error:
            raise UserError(f"hub: {repository} cannot be written ({hub.reason(error, repository)})") from error


def _card(cascade: Cascade) -> str:
    """A model card for a cascade that has none: the hub's header and a table of its stages."""
    lines = [
        f"| {stage.spec.name} | {stage.spec.size} × {stage.spec.size} | {stage.spec.schedule}, {stage.spec.prediction} "
        f"| {sum(p.numel() for p in unet_of(stage).parameters()):,} |"
        for stage in cascade.stages
    ]
    head = ("---", "pipeline_tag: text-to-image", "library_name: imagen-lab", "tags: [imagen, diffusion]", "---")
    table = ("| stage | picture | schedule, prediction | parameters |", "|---|---|---|---|", *lines)
    about = f"A cascade of diffusion models on the frozen text encoder {cascade.encode.name}."
    facts = "Each stage's `config.json` says how it was trained; `cascade.json` holds the digest of every file."
    return "\n".join((*head, f"# {cascade.name}", "", about, "", *table, "", facts, ""))
