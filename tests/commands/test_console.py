"""Consoles: every encoding takes what is printed, and a reader that stops early ends a command in silence."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagen_core.__main__ import VERBS, main
from imagen_core.commands import console
from imagen_core.commands.console import READER_GONE, for_any_console

ENCODINGS = ("ascii", "cp437", "cp1252", "latin-1", "shift-jis", "utf-8")


def console_of(encoding: str, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Standard output and error in an encoding, strict as Python's own; returns what standard output gets."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, errors="strict"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
    return out


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_help_prints_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], *([verb] for verb in VERBS)):
        out = console_of(encoding, monkeypatch)
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--help"])
        assert stop.value.code == 0 and out.getvalue().startswith(b"usage: ")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_facts_print_in_every_encoding(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, json: list[str]
) -> None:
    out, file = console_of(encoding, monkeypatch), tmp_path / "红球 é σ.png"
    line = ["sample", "a 红 ball", "--steps", "1", "--model", str(tiny_folder), "--out", str(file), *json]
    assert main(line) == 0 and file.is_file()
    assert b"seeds" in out.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_refusals_print_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console_of(encoding, monkeypatch)
    assert main(["sample", "a ball", "--model", "红 \udcff", "--out", "x.png"]) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize(
    "arguments",
    [
        ["info"],
        *(
            pytest.param(a, marks=pytest.mark.slow)
            for a in (["sample", "--help"], ["info", "--json"], ["page", "--help"])
        ),
    ],
)
def test_a_reader_that_goes_early_ends_it_in_silence(arguments: list[str]) -> None:
    """The pipe is closed before the command prints: what ``| head -0`` does."""
    module = "app.entry" if arguments[0] == "page" else "imagen_core.__main__"
    code = f"import sys; from {module} import main; sys.exit(main({arguments!r}))"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, timeout=300)
    finally:
        os.close(writer)
    # Newer versions of argparse end a help that nobody reads with 0.
    ends = {READER_GONE, 0} if "--help" in arguments else {READER_GONE}
    assert done.returncode in ends and done.stderr == b""


def test_another_error_of_a_command_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    @for_any_console
    def wrong() -> int:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        wrong()
    # A program without a console has no streams.
    monkeypatch.setattr(console.sys, "stdout", None)
    monkeypatch.setattr(console.sys, "stderr", None)
    assert for_any_console(lambda: 3)() == 3
