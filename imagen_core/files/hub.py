"""A model's files, from a folder or a hub: always data. Nothing is unpickled, nothing outside the folder is read."""

from __future__ import annotations

import errno
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ..types import UserError
from .digests import file_digest, sha256

# owner/name, and @revision to pin one.
HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,96})?", re.ASCII)
# safetensors' own limit on a header's bytes.
MAX_HEADER = 100_000_000
MAX_JSON = 20_000_000


def is_hub_id(source: str) -> bool:
    """Whether ``source`` could be the name of a hub's repository, ``owner/name`` or ``owner/name@revision``."""
    return HUB_ID.fullmatch(source) is not None and ".." not in source


def fetch(source: str, patterns: Sequence[str], *, what: str = "model") -> Path:
    """A folder, or a copy of those files of a hub's repository that match ``patterns``.

    The hub's variables HF_TOKEN, HF_HOME and HF_HUB_OFFLINE apply. A file is fetched once; an interrupted download
    continues.

    Raises:
        UserError: neither a folder nor a repository that can be read; one line says what to do.
    """
    if Path(source).is_dir():
        return Path(source)
    if not is_hub_id(source):
        raise UserError(f"{what}: {source!r:.80} is not a folder and cannot be fetched (not a repository's owner/name)")
    from huggingface_hub import snapshot_download

    repository, _, revision = source.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(patterns)))
    except Exception as error:
        why = reason(error, repository)
        raise UserError(f"{what}: {source} is not a folder and cannot be fetched ({why})") from error


def reason(error: Exception, repository: str) -> str:
    """Why the hub failed and what to do about it, in one line."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"it is gated: accept its licence at huggingface.co/{repository}, then set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private: then set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled | ConnectionError):
        return "the hub is out of reach, and the cache (HF_HOME) does not hold it"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; HF_HOME says where the cache is"
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of a model's folder.

    Raises:
        UserError: it is missing, or a path or link leads out of the folder.
    """
    # A hub's snapshot is made of links to its own blobs, two folders up.
    root = folder.parents[1] if folder.parent.name == "snapshots" else folder
    path = folder / name
    try:
        within = ".." not in Path(name).parts and path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):
        within = False
    if not within:
        raise UserError(f"model: {name!r:.80} leads out of {folder}")
    if not path.is_file():
        raise UserError(f"model: {path} is missing")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object among a model's files."""
    path = inside(folder, name)
    try:
        data = json.loads(path.read_bytes()) if path.stat().st_size <= MAX_JSON else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UserError(f"model: {path} is not a JSON object")
    return data


@dataclass(frozen=True)
class Weights:
    """The safetensors files of one network, known from their headers alone; ``variant`` is "fp16" or None."""

    files: tuple[Path, ...]
    variant: str | None
    parameters: int
    bytes: int

    def digest(self) -> str:
        """sha256 over the files' sha256."""
        return sha256("".join(map(file_digest, self.files)).encode())


def weights(folder: Path, part: str, stem: str, *, half: bool = False) -> Weights:
    """The weights ``part/stem*.safetensors``, whole or in shards; the fp16 variant where ``half`` and there is one.

    Raises:
        UserError: there are none, one is truncated or no safetensors, or the index names what it must not.
    """
    for variant in ("fp16", None) if half else (None, "fp16"):
        mark = f".{variant}" if variant else ""
        index = f"{part}/{stem}.safetensors.index{mark}.json"
        if (folder / part / f"{stem}{mark}.safetensors").is_file():
            names = [f"{stem}{mark}.safetensors"]
            # diffusers would read the index, transformers the file; only one of them is checked here.
            if (folder / index).exists() or (folder / part / f"{stem}{mark}.safetensors.index.json").exists():
                raise UserError(f"model: {folder / part} holds both {names[0]} and an index of shards; delete one")
        elif (folder / index).is_file():
            shards = read_json(folder, index).get("weight_map")
            names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
            if not names or any("/" in name or "\\" in name or not name.endswith(".safetensors") for name in names):
                raise UserError(f"model: {folder / index} names files that are not its shards")
        else:
            continue
        files = tuple(inside(folder, f"{part}/{name}") for name in names)
        sizes = [_header(file) for file in files]
        return Weights(files, variant, sum(n for n, _ in sizes), sum(size for _, size in sizes))
    others = any((folder / part).glob("*.bin"))
    hint = "; .bin files are pickles and are never read" if others else ""
    raise UserError(f"model: {folder / part} holds no {stem}.safetensors{hint}")


def remote_weights(source: str, part: str, stem: str, *, half: bool = False) -> tuple[int, int]:
    """Parameters and stored bytes of weights on a hub, from its listing and their headers; nothing is fetched.

    Raises:
        UserError: there are none, or the hub is out of reach.
    """
    from huggingface_hub import HfApi

    repository, _, revision = source.partition("@")
    try:
        facts = HfApi().model_info(repository, revision=revision or None, files_metadata=True)
        listed = {file.rfilename: int(file.size or 0) for file in facts.siblings or ()}
        for mark in (".fp16", "") if half else ("", ".fp16"):
            wanted = re.compile(rf"{part}/{stem}{re.escape(mark)}(-[0-9]+-of-[0-9]+)?\.safetensors")
            names = [name for name in listed if wanted.fullmatch(name)]
            if names:
                heads = [
                    HfApi().parse_safetensors_file_metadata(repository, name, revision=facts.sha) for name in names
                ]
                return sum(sum(head.parameter_count.values()) for head in heads), sum(listed[name] for name in names)
    except Exception as error:
        raise UserError(f"model: {source} cannot be looked up ({reason(error, repository)})") from error
    raise UserError(f"model: {source} holds no {part}/{stem}.safetensors")


def _header(path: Path) -> tuple[int, int]:
    """Parameters and bytes of a safetensors file, whose length must be what its header says."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > MAX_HEADER:
                raise ValueError
            header = json.loads(file.read(length))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
        if path.stat().st_size != 8 + length + end:
            raise ValueError
        parameters = sum(prod(map(int, entry["shape"])) for entry in tensors)
        # No dtype takes less than half a byte.
        if not 0 <= parameters <= 2 * end:
            raise ValueError
        return parameters, end
    except (
        ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, struct.error, RecursionError,
    ) as error:  # fmt: skip
        raise UserError(f"model: {path} is not a whole safetensors file") from error
