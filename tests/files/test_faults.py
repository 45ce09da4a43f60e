"""Faults of the machine: full disks, killed writers, no home, too little memory. One line is said, nothing is half."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from full_disk import full_disk

from imagen_core.__main__ import main
from imagen_core.evaluation import paper_figures, plots
from imagen_core.files import writing
from imagen_core.files.writing import written_whole
from imagen_core.models.cascade import Cascade
from imagen_core.models.deepfloyd.t5 import cache_folder
from imagen_core.models.saving import save_cascade
from imagen_core.records import png, recording, trace
from imagen_core.run.generate import generate
from imagen_core.settings import request
from imagen_core.training.recipes import Recipe
from imagen_core.training.state import save_state
from imagen_core.types import UserError, in_words

pytest.importorskip("resource", reason="Windows has no limits of this kind")
STORED = Path(__file__).parents[1] / "data" / "stored"


ROW: dict[str, Any] = {"inputs": "true", "w": 1.0, "aug_level": 0.1, "frechet": 1.0, "frechet_bicubic": 2.0}
WRITERS: dict[str, Callable[[Path], object]] = {
    "x.png": lambda path: png.save(torch.rand(3, 64, 64), path, request("a ball")),
    "grid.png": lambda path: png.save_grid([torch.rand(3, 64, 64)], ["a"], 1, path),
    "run.npz": lambda path: trace.save(trace.load(STORED / "run.npz"), path),
    "recording.npz": lambda path: recording.save(recording.load(STORED / "recording.npz"), path),
    "text.json": lambda path: writing.write_text(path, "x" * 1000),
    "table.csv": lambda path: paper_figures.write_table([{"a": "x" * 1000}], path),
    "plot.png": lambda path: plots.aug_level([ROW, {**ROW, "inputs": "generated"}], "note", path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    with full_disk(), pytest.raises(OSError) as caught:
        WRITERS[name](path)
    assert in_words(caught.value) == f"{path}: File too large"
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    WRITERS[name](path)
    assert path.read_bytes() != b"before"


def test_why_a_writer_of_a_library_failed_is_said(tmp_path: Path) -> None:
    """torch hides the disk's error behind its own; numpy says only that a file is short."""

    def torchs() -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904

    def numpys() -> None:
        raise OSError("100 requested and 8 written")

    for write, says in ((torchs, "No space left on device"), (numpys, r"cannot be written whole \(100 requested .*")):
        with pytest.raises(OSError) as caught, written_whole(tmp_path / "x"):
            write()
        assert re.fullmatch(f".*x: {says}", in_words(caught.value))
    with pytest.raises(RuntimeError, match="shapes differ"), written_whole(tmp_path / "x"):
        raise RuntimeError("shapes differ")


def test_a_cascade_on_a_full_disk_has_no_half_file(tiny: Cascade, tmp_path: Path) -> None:
    with full_disk(room=20_000), pytest.raises(OSError):
        save_cascade(tiny, tmp_path)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tiny.folder is not None and found
    assert all(path.read_bytes() == (tiny.folder / path.relative_to(tmp_path)).read_bytes() for path in found)


def test_a_run_keeps_its_state_on_a_full_disk(tmp_path: Path) -> None:
    network = torch.nn.Linear(99, 99)
    state = (network, network, torch.optim.SGD(network.parameters()))
    save_state(tmp_path, Recipe("base", steps=9), 1, *state)
    before = (tmp_path / "state.pt").read_bytes()
    with full_disk(room=5000), pytest.raises(OSError) as caught:
        save_state(tmp_path, Recipe("base", steps=9), 2, *state)
    assert in_words(caught.value).endswith("state.pt: File too large")
    assert (tmp_path / "state.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "a ball", "--steps", "1", "--out", "x.png"],
        ["sample", "a ball", "--steps", "1", "--out", "x.png", "--trace", "x.npz"],
        ["compare", "a ball", "--steps", "1", "--rules", "none", "--guidances", "1", "--out", "x.png"],
        ["render", "--count", "1", "--size", "64", "--out", "scenes"],
    ],
)
def test_a_verb_on_a_full_disk_says_so_in_one_line(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with full_disk():
        assert main([*arguments, *(["--model", str(tiny_folder)] if arguments[0] != "render" else [])]) == 2
    err = capsys.readouterr().err
    assert err.endswith(": File too large\n") and "Traceback" not in err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_a_killed_writer_leaves_the_old_file_and_the_next_one_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    code = (
        "import sys, time; from pathlib import Path; from imagen_core.files.writing import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as aside, aside.open('w') as file:\n"
        "    file.write('half'); file.flush(); print('now', flush=True); time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"now\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (left,) = tmp_path.glob(".*.part")
    assert path.read_text() == "before" and left.read_text() == "half"
    # What another writer works on now must stay.
    writing.write_text(path, "after")
    assert left.exists() and path.read_text() == "after"
    os.utime(left, (0, 0))
    writing.write_text(path, "again")
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "again"


def test_an_error_between_leaves_no_temporary_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with written_whole(tmp_path / "x") as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory.\nmany lines"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_names_the_stage_and_the_next_run_works(
    tiny: Cascade, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked = request("a ball", size=256, steps=1)

    def full(*args: object, **options: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(tiny.stage(256).network, "forward", full)
        with pytest.raises(UserError, match="^memory: too little for sr256; choose fewer pictures or a smaller size$"):
            list(generate(asked, tiny))
    assert list(generate(asked, tiny))


def test_another_error_of_a_network_is_passed_on(tiny: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: object, **options: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(tiny.stage(64).network, "forward", wrong)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(generate(request("a ball", steps=1), tiny))


def test_without_a_home_texts_are_kept_in_the_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("IMAGEN_LAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", none)
    assert cache_folder().name == "imagen-lab"


@pytest.mark.parametrize("home", [pytest.param(None, marks=pytest.mark.slow), "/nowhere"])
def test_a_run_needs_no_home(tiny_folder: Path, tmp_path: Path, home: str | None) -> None:
    """As a service runs: without HOME, or with one that cannot be written to."""
    kept = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME", "HF_HOME"}}
    command = [sys.executable, "-m", "imagen_core", "sample", "a ball", "--steps", "1", "--model", str(tiny_folder)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "x.png")],
        cwd=Path(__file__).parents[2],
        env=kept if home is None else {**kept, "HOME": home},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "x.png").is_file()
