"""Line ends: what is digested keeps its digest when Git, an editor or Windows changes them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import edit

from imagen_core.evaluation import tabletopbench
from imagen_core.files.digests import TEXT, file_digest
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.models.saving import save_cascade
from imagen_core.types import UserError

ROOT = Path(__file__).parents[2]


def with_crlf(path: Path) -> None:
    """Rewrite a text file as Windows would."""
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@pytest.fixture
def windows(tiny_folder: Path, tmp_path: Path) -> Path:
    """A cascade whose text has CRLF."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "windows"))
    texts = [path for path in folder.rglob("*") if path.suffix in TEXT]
    assert len(texts) > 3
    for path in texts:
        with_crlf(path)
    return folder


def test_a_cascade_is_the_same_with_crlf(windows: Path, tiny: Cascade, tmp_path: Path) -> None:
    cascade = load_cascade(windows)
    assert cascade.digest == tiny.digest
    save_cascade(cascade, tmp_path / "copy")
    assert load_cascade(tmp_path / "copy").digest == tiny.digest


def test_digests_recorded_of_crlf_still_hold(windows: Path) -> None:
    """Earlier versions wrote CRLF on Windows, and digested it."""
    facts = json.loads((windows / "cascade.json").read_bytes())
    raw = {file: hashlib.sha256((windows / file).read_bytes()).hexdigest() for file in facts["digests"]}
    assert raw != facts["digests"]
    edit(windows / "cascade.json", lambda facts: facts.update(digests=raw))
    before = load_cascade(windows)
    config = windows / "base64" / "config.json"
    config.write_bytes(config.read_bytes().replace(b"\r\n", b"\n"))
    assert load_cascade(windows).digest == before.digest
    config.write_bytes(config.read_bytes().replace(b'"steps": 0', b'"steps": 1'))
    with pytest.raises(UserError, match="was altered"):
        load_cascade(windows)


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.py", "x.md", "x.txt"])
def test_the_digest_of_text_is_of_its_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{\n "a": 1\n}\n')
    before = file_digest(path)
    assert before == hashlib.sha256(b'{\n "a": 1\n}\n').hexdigest()
    with_crlf(path)
    assert file_digest(path) == before
    path.write_bytes(b'{\n "a": 2\n}\n')
    assert file_digest(path) != before


def test_the_digest_of_other_files_is_of_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\r\n")
    before = file_digest(path)
    path.write_bytes(b"\n")
    assert file_digest(path) != before == hashlib.sha256(b"\r\n").hexdigest()


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@x")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the files of this checkout as they are now."""
    folder = tmp_path_factory.mktemp("source")
    names = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        # The results are not needed to run, and are large.
        if (ROOT / name).is_file() and not name.startswith(("docs/results/", "tests/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    return folder


def clone(source: Path, folder: Path) -> list[str]:
    """Clone as Git for Windows does; returns how Git sees the line ends of each file."""
    git(source, "clone", "-q", "-c", "core.autocrlf=true", str(source), str(folder))
    return git(folder, "ls-files", "--eol").splitlines()


def test_a_clone_with_autocrlf_has_line_feeds(source: Path, tmp_path: Path) -> None:
    ends = clone(source, tmp_path / "clone")
    assert len(ends) > 150
    assert [line for line in ends if "w/crlf" in line or "w/mixed" in line] == []


@pytest.mark.slow
def test_a_checkout_with_crlf_runs(source: Path, tmp_path: Path) -> None:
    """A copy that .gitattributes did not reach: every text of it has CRLF."""
    bare = Path(shutil.copytree(source, tmp_path / "bare"))
    (bare / ".gitattributes").unlink()
    git(bare, "commit", "-qam", "x")
    folder = tmp_path / "clone"
    ends = clone(bare, folder)
    assert sum("w/crlf" in line for line in ends) > 150
    assert b"\r\n" in (folder / "assets/tabletop/cascade.json").read_bytes()

    def imagen_core(*arguments: str) -> str:
        command = [sys.executable, "-m", "imagen_core", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(imagen_core("info", "--json"))["weights"] == load_cascade("tabletop").digest
    imagen_core("sample", "a red ball on sand", "--steps", "2", "--out", "ball.png")
    assert (folder / "ball.png").is_file()
    assert file_digest(folder / "assets/tabletopbench.jsonl") == tabletopbench.digest()
