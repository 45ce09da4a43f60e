"""The folder of a Space: what is in it, and what its check refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from full_disk import full_disk

from imagen_core.__main__ import main
from imagen_core.commands import space
from imagen_core.types import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once; tests that change a file put it back."""
    place = tmp_path_factory.mktemp("space")
    space.write(place)
    return place


def test_the_verb_writes_a_folder_whose_page_can_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", "--to", str(tmp_path / "lab"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["checked"]) == {"card", "links", "versions", "sizes", "imports"}
    assert said["checked"]["imports"]["events"] > 20 and said["checked"]["sizes"]["largest_mb"] <= 10
    assert said["push"].endswith("--repo-type space")
    assert not list((tmp_path / "lab").rglob("__pycache__")) and not list((tmp_path / "lab").rglob("*.test.js"))


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert main(["space", "--to", str(tmp_path)]) == 2
    assert "--to: " in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_a_killed_verb_left_is_removed_and_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its own tests have the checks.
    monkeypatch.setattr(space, "CHECKS", {})
    with full_disk():
        assert main(["space", "--to", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("README.md: File too large\n") and list(tmp_path.iterdir()) == []
    (tmp_path / ".1-1.part").mkdir()
    (tmp_path / ".1-1.part" / "half").touch()
    assert main(["space", "--to", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*.part")) and (tmp_path / "app" / "page.py").is_file()


def test_torch_comes_without_cuda_and_binaries_by_large_file_storage(folder: Path) -> None:
    assert (
        (folder / "requirements.txt").read_text().startswith("--extra-index-url https://download.pytorch.org/whl/cpu")
    )
    attributes = (folder / ".gitattributes").read_text()
    assert "*.safetensors filter=lfs" in attributes and "*.npz filter=lfs" in attributes


def test_a_folder_for_deepfloyd_opens_it_with_all_that_it_needs(tmp_path: Path) -> None:
    space.write(tmp_path, "DeepFloyd/IF-I-M-v1.0,DeepFloyd/IF-II-M-v1.0")
    app = (tmp_path / "app.py").read_text()
    assert 'main)("app.py", ["--model", "DeepFloyd/IF-I-M-v1.0,DeepFloyd/IF-II-M-v1.0"])' in app
    needed = (tmp_path / "requirements.txt").read_text()
    assert (
        "diffusers" in needed
        and "sentencepiece" in needed
        and "whl/cpu" not in "".join(line for line in needed.splitlines() if not line.startswith("#"))
    )
    for check in (space.check_card, space.check_links, space.check_versions, space.check_sizes):
        check(tmp_path)


@pytest.mark.parametrize("ids", ["", "models", "DeepFloyd/IF-I-M-v1.0, ../mine"])
def test_a_folder_for_deepfloyd_needs_hub_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str], ids: str) -> None:
    assert main(["space", "--to", str(tmp_path / "lab"), "--deepfloyd", ids]) == 2
    assert "--deepfloyd: must be hub ids" in capsys.readouterr().err and not (tmp_path / "lab").exists()


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("README.md", lambda text: text.replace("sdk: gradio", "sdk: docker"), "sdk must be gradio"),
        ("README.md", lambda text: text.replace("colorTo: green", "colorTo: teal"), "colorTo must be one of"),
        ("README.md", lambda text: text.replace("license: apache-2.0\n", ""), "has no license"),
        ("README.md", lambda text: text.replace("short_description: ", "short_description: " + "x" * 60), "at most 60"),
        ("README.md", lambda text: text.replace("sdk_version: 6", "sdk_version: 5"), "is not within gradio"),
        ("README.md", lambda text: text.replace("docs/images/page", "docs/images/lost"), "leads to docs/images/lost"),
        ("requirements.txt", lambda text: text.replace("matplotlib>=", "# "), "imports matplotlib"),
        ("requirements.txt", lambda text: text + "a package\n", "requirements.txt: "),
        ("LICENSE", lambda text: text + "\0", "is binary"),
        ("LICENSE", lambda text: text + "x" * 10_000_001, "at most 10 MB"),
    ],
)  # fmt: skip
def test_what_the_hub_would_refuse_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, change: Callable[[str], str], says: str
) -> None:
    path, before = folder / file, (folder / file).read_text()
    changed = change(before)
    assert changed != before
    path.write_text(changed)
    # That the page can be built is tested above.
    monkeypatch.setattr(space.subprocess, "run", lambda *_, **__: pytest.fail("the check went on"))
    try:
        with pytest.raises(UserError, match=says):
            [check(folder) for check in space.CHECKS.values()]
    finally:
        path.write_text(before)
