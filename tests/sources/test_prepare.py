"""Preparation: a report that counts everything, parts that survive an interruption, and no file destroyed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_pictures import png, write_folder
from PIL import Image

from imagen_core.__main__ import main
from imagen_core.sources import prepare as preparing
from imagen_core.sources.finish import finish
from imagen_core.sources.opening import Options, open_source
from imagen_core.sources.prepare import Plan, prepare
from imagen_core.types import UserError


class AtOnce:
    """Stands for the pool of processes, so that small parts can be tried without starting any."""

    def __init__(self, workers: int) -> None: ...

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable, *given: object) -> AtOnce:
        self.done = work(*given)
        return self

    def result(self) -> int:
        return self.done


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PART", 4)
    monkeypatch.setattr(preparing, "pool", AtOnce)


def prepared(place: Path, to: Path, **changes: int) -> dict:
    source, plan = open_source(str(place), Options()), Plan(str(place), "train", 32, **changes)
    prepare(source, plan, to, 1)
    return finish(source, plan, to, "CC0", "")


def test_the_command_prepares_in_processes_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "things", 6, (80, 100))
    (folder / "003.png").write_bytes(png(2, (80, 100)))
    (folder / "004.png").write_bytes(b"broken")
    command = ["data", str(folder), "--to", str(tmp_path / "data"), "--licence", "CC0", "--json"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pictures"], facts["held_back"], facts["side"]) == (3, 1, 64)
    assert facts["counts"] == {"broken": 1, "cropped": 5, "duplicate": 1, "entries": 6}
    report = (tmp_path / "data" / "report.md").read_text()
    assert "| 1 | broken | cannot be decoded whole |" in report and "- `004.png`: broken" in report and "CC0" in report
    assert Image.open(tmp_path / "data" / "contact.png").size == (8 * 128, 142)
    known = json.loads((tmp_path / "data" / "words.json").read_text())
    assert len(known["examples"]) == 1 and known["words"]["thing"] == 4


def test_an_interrupted_preparation_goes_on_and_ends_the_same(tmp_path: Path, small_parts: None) -> None:
    folder = write_folder(tmp_path / "things", 11)
    whole = prepared(folder, tmp_path / "whole")
    prepared(folder, tmp_path / "cut")
    for lost in ("0001.jsonl", "0002.npy"):
        (tmp_path / "cut" / "parts" / lost).unlink()
    (tmp_path / "cut" / "parts" / "0002.jsonl").unlink()
    kept = (tmp_path / "cut" / "parts" / "0000.npy").stat().st_mtime_ns
    assert prepared(folder, tmp_path / "cut") == whole
    assert (tmp_path / "cut" / "parts" / "0000.npy").stat().st_mtime_ns == kept
    for name in ("train.npy", "held.npy", "words.json", "parts/0001.npy"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_those_held_back_stay_so_when_data_grows(tmp_path: Path, small_parts: None) -> None:
    folder = write_folder(tmp_path / "things", 9)
    assert prepared(folder, tmp_path / "few", most=7)["counts"]["entries"] == 7
    facts = prepared(folder, tmp_path / "all")
    train, held = (np.load(tmp_path / "all" / f"{name}.npy").tolist() for name in ("train", "held"))
    assert len(train) == facts["pictures"] == 8 and sorted(train + held) == [[n // 4, n % 4] for n in range(9)]


def test_another_plan_or_foreign_files_are_refused(tmp_path: Path, small_parts: None) -> None:
    folder = write_folder(tmp_path / "things", 5)
    prepared(folder, tmp_path / "data")
    with pytest.raises(UserError, match="^--to: .* was begun with most 0, not 3; name a new folder"):
        prepared(folder, tmp_path / "data", most=3)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").touch()
    with pytest.raises(UserError, match="^--to: .* holds other files"):
        prepared(folder, tmp_path / "thesis")
    (tmp_path / "data" / "plan.json").write_text("[")
    with pytest.raises(UserError, match="^--to: .*plan.json is damaged"):
        prepared(folder, tmp_path / "data")


def test_too_little_is_refused_and_says_why(tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "things", 2)
    (folder / "001.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"^data: must have at least 2 usable pictures, got 1 \(1 broken\)"):
        prepared(folder, tmp_path / "data")
    monkeypatch.setattr(preparing, "disk_usage", lambda _: shutil.disk_usage(tmp_path)._replace(free=100))
    with pytest.raises(UserError, match=r"^--to: needs 0.0 GB, .* use --most or --side"):
        prepared(folder, tmp_path / "new")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--workers", "0"], "--workers: must be between 1 and 61"),
        (["--most", "-1"], "--most: must be between 0 (all) and"),
        (["--name", "a\nb"], "--name: must be at most 100 printable characters"),
        (["--to", "inside"], "--to: must not lie inside"),
    ],
)
def test_bad_options_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], says: str
) -> None:
    folder = write_folder(tmp_path / "things", 2)
    option = [str(folder / "inside") if value == "inside" else value for value in option]
    assert main(["data", str(folder), "--to", str(tmp_path / "data"), *option]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
