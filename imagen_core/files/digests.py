"""sha256 of what a file says: of text, whatever its line ends are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

# Git and editors may write these with other line ends. None of them holds a carriage return that matters.
TEXT = frozenset({".json", ".jsonl", ".md", ".py", ".txt"})
# Read at once; large enough for every disk.
BLOCK = 1 << 22


def sha256(data: bytes) -> str:
    """The sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def blocks(path: Path) -> Iterator[bytes]:
    """What a file's digest is of: its bytes in blocks; of a text file, with every line end as one line feed."""
    if path.suffix in TEXT:
        yield with_line_feeds(path.read_bytes())
        return
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def file_digest(path: Path) -> str:
    """sha256 of a file's :func:`blocks`. The hub names large files after theirs, which saves reading them."""
    name = path.resolve().name
    if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", name):
        return name
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()


def agrees(name: str, data: bytes, digest: str | None) -> bool:
    """Whether the content of a file of this name has the recorded digest.

    Programs before this one digested text as they wrote it: with CRLF on Windows. Those digests still hold.
    """
    if Path(name).suffix not in TEXT:
        return sha256(data) == digest
    text = with_line_feeds(data)
    return digest in (sha256(text), sha256(text.replace(b"\n", b"\r\n")))


def with_line_feeds(data: bytes) -> bytes:
    """Text with every CRLF as one line feed."""
    return data.replace(b"\r\n", b"\n")
