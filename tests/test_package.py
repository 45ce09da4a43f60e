"""The installed package: one wheel that holds the shipped files, and the command ``imagen-lab``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from app import entry

ROOT = Path(__file__).parents[1]
# A Space takes larger files through large-file storage only.
LARGEST = 10_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", str(ROOT), "--no-build-isolation", "-w", str(folder))
    return next(folder.glob("imagen_lab-*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package alone; its requirements come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", str(wheel), "--target", str(folder))
    return folder


def pip(verb: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", verb, "-q", "--no-deps", *arguments], check=True, capture_output=True)


def imagen_lab(site: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder that has nothing of the checkout."""
    command = [sys.executable, str(site / "bin" / "imagen-lab"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=120)


def shipped(path: Path) -> bool:
    """Whether a file of the checkout belongs into the wheel."""
    return "__pycache__" not in path.parts and not path.name.endswith(".test.js")


def test_the_wheel_holds_code_static_files_and_assets_in_files_below_10_mb(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    for folder, inside in (("app", "app"), ("imagen_core", "imagen_core"), ("assets", "imagen_core/assets")):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and shipped(path)]
        assert files and all(f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in sizes for path in files)
    assert not any(name.endswith(".test.js") for name in sizes)
    assert max(sizes.values()) < LARGEST


def test_no_file_of_documents_or_assets_is_too_large_for_a_space() -> None:
    files = [path for folder in ("assets", "docs", "tests") for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < LARGEST


def test_the_installed_command_samples_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    done = imagen_lab(site, tmp_path, "sample", "a red ball", "--steps", "2", "--out", "x.png")
    assert (done.returncode, [path.name for path in tmp_path.iterdir()]) == (0, ["x.png"]), done.stderr
    assert Image.open(tmp_path / "x.png").size == (64, 64)


@pytest.mark.parametrize("arguments", [("sample", "a red ball", "--out", "x.png"), ("page",)], ids=lambda a: a[0])
def test_an_installation_without_weights_says_so_in_one_line(
    site: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    bare = tmp_path / "site"
    shutil.copytree(site, bare, ignore=lambda folder, names: {"tabletop"} if Path(folder).name == "assets" else set())
    done = imagen_lab(bare, tmp_path, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"imagen-lab {arguments[0]}: assets: ") and "tabletop is missing" in done.stderr


def test_bad_input_is_refused_in_one_line_under_the_commands_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["nonsense"], ["page", "--port", "0"], ["--port", "0"], ["sample"]):
        with pytest.raises(SystemExit, match="2"):
            entry.main(arguments)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("imagen-lab")


def test_help_names_the_page_and_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        entry.main(["--help"])
    text = capsys.readouterr().out
    assert "imagen-lab page" in text and "sample" in text
