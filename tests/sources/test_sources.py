"""Sources: what is found in each kind, always in the same order, and what is refused before any work."""

from __future__ import annotations

import builtins
import io
import json
import tarfile
from pathlib import Path

import pytest
from made_pictures import png, write_folder

from imagen_core.sources import tables
from imagen_core.sources.captions import LONGEST, cleaned
from imagen_core.sources.opening import Options, open_source
from imagen_core.sources.source import Place, Source
from imagen_core.types import UserError
from imagen_core.worlds.world import words


def opened(place: Path | str, **options: str) -> Source:
    return open_source(str(place), Options(**options))


def found(source: Source, start: int = 0) -> list[tuple[str, tuple[str, ...]]]:
    return [(entry.key, entry.captions) for entry in source.entries(start)]


def refused(place: Path | str, says: str, **options: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        opened(place, **options)
    assert "\n" not in str(caught.value)


def test_a_table_gives_several_captions_a_picture(tmp_path: Path) -> None:
    source = opened(write_folder(tmp_path / "things", 3))
    assert source.name == "things" and source.count == 3
    assert found(source)[1] == ("001.png", ("a thing, number 1", "thing 1 again"))
    assert found(source, 2) == found(source)[2:]
    entry = next(iter(source.entries(0)))
    assert isinstance(entry.data, Place) and entry.data.read(10**6) == png(0)


def test_a_jsonl_may_list_captions_and_name_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    rows = ({"photo": "a.png", "says": ["one", "two"]}, {"photo": "gone.png", "says": "three"})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = opened(tmp_path, image_column="photo", caption_column="says")
    assert found(source) == [("a.png", ("one", "two"))] and source.notes == (
        "1 pictures of captions.jsonl are not there",
    )
    refused(tmp_path, "^--image-column: .*line 1 has no column file or .*; it has photo, says")
    refused(tmp_path, "^--caption-column: .* no column 'text'", image_column="photo", caption_column="text")


def test_texts_beside_pictures_and_folders_names_are_captions(tmp_path: Path) -> None:
    for name in ("red_balls", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(0))
    assert found(opened(tmp_path)) == [("b/1.png", ("b",)), ("red_balls/1.png", ("red balls",))]
    (tmp_path / "b" / "1.txt").write_text("one\ntwo\n")
    (tmp_path / "red_balls" / "1.txt").write_bytes(b"caf\xe9")
    source = opened(tmp_path)
    assert found(source) == [("b/1.png", ("one", "two")), ("red_balls/1.png", ())]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(0))
    folder = tmp_path / "in" / "c"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(png(1))
    (folder / "2.png").symlink_to(secret)
    assert [key for key, _ in found(opened(folder.parent))] == ["c/1.png"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("file,caption\n../x.png,a", "line 2: '../x.png' leads out of"),
        ("file,caption\n/etc/passwd,a", "line 2: '/etc/passwd' leads out of"),
        ("file,caption\na.png,caf\udce9", "line 2: must be UTF-8, byte 9 is not"),
        ("file,caption\n", "names no picture that is in"),
        ("file,caption\nb.png,a", "names no picture that is in"),
        ("picture\na.png", "^--image-column: .*has no column file"),
        ("file,caption\n,a", "line 2: file and caption must be text"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "captions.csv").write_bytes(table.encode("utf-8", "surrogateescape"))
    refused(tmp_path, says)


def test_bad_places_are_refused_in_one_line(tmp_path: Path) -> None:
    refused(tmp_path, "has no pictures; they must end in")
    (tmp_path / "a.png").write_bytes(png(0))
    refused(tmp_path, "has pictures without captions; add captions.csv")
    refused(tmp_path, "^--image-column: .*so no columns", image_column="x")
    refused(tmp_path / "a.png", "must be a folder, a .tar file or a hub's data set")
    refused(tmp_path / "nowhere", "is neither there nor a hub's data set")
    (tmp_path / "captions.jsonl").write_text("[]")
    refused(tmp_path, "line 1: is not a JSON object")


def write_tar(file: Path, members: dict[str, bytes], link: bool = False) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo("zz.png")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    return file


def test_tars_are_read_in_place(tmp_path: Path) -> None:
    first = {"0.png": png(0), "0.txt": b"one\ntwo", "1.png": png(1), "1.json": b'{"caption": "three"}', "2.cls": b"7"}
    write_tar(tmp_path / "a.tar", first, link=True)
    write_tar(tmp_path / "b.tar", {"x/0.jpg": png(3), "x/0.json": b"[["})
    source = opened(tmp_path)
    assert source.count == 3 and source.notes == ("1 links or devices in the tars were left out",)
    assert found(source) == [("a.tar:0.png", ("one", "two")), ("a.tar:1.png", ("three",)), ("b.tar:x/0.jpg", ())]
    assert found(source, 1) == found(source)[1:]
    data = [entry.data for entry in source.entries(0)]
    assert [place.read(10**6) for place in data if isinstance(place, Place)] == [png(0), png(1), png(3)]


@pytest.mark.parametrize("damage", ["cut", "gz", "none"])
def test_a_bad_tar_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    file = write_tar(tmp_path / "a.tar", {"0.png": png(0) * 50, "1.txt": b"a"} if damage != "none" else {"1.txt": b"a"})
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:700])
    if damage == "gz":
        with tarfile.open(file, "w:gz") as tar:
            tar.add(__file__)
    refused(file, "hold no picture" if damage == "none" else "is not a whole, uncompressed tar")


def test_a_data_set_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "dataset_info.json").write_text("{}")
    for place in (tmp_path, "someone/pictures"):
        refused(place, "needs a package that is missing: pip install datasets")


def test_a_saved_data_set_gives_bytes_that_came_along_and_opens_no_path(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    rows = {"image": [{"bytes": png(n), "path": None} for n in range(2)], "text": ["one", "two"]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    source = opened(tmp_path / "saved")
    assert source.count == 2 and [entry.data for entry in source.entries(0)] == [png(0), png(1)]
    assert found(source, 1) == [("1", ("two",))]
    hostile = {"image": [{"bytes": None, "path": "/etc/passwd"}], "text": ["one"]}
    named = tables._source("named", "", datasets.Dataset.from_dict(hostile, features=features), (None, None))
    assert [entry.data for entry in named.entries(0)] == [b""]
    refused(tmp_path / "saved", "^--caption-column: must be one of image, text, got says", caption_column="says")
    together = datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows, features=features)})
    together.save_to_disk(str(tmp_path / "both"))
    refused(tmp_path / "both", "^--split: .* has train, got 'test'", split="test")
    assert len(found(opened(tmp_path / "both"))) == 2


def test_captions_are_cleaned_cut_and_told_apart() -> None:
    assert cleaned(["  a\tred\x00 ball\n", "a red ball", "", "\x07"]) == (("a red ball",), False)
    (long,), cut = cleaned(["word " * 2000])
    assert cut and len(long) <= LONGEST and long.endswith("word")
    assert len(cleaned(["x" * 10_000])[0][0]) == LONGEST
    kept, cut = cleaned(str(n) for n in range(40))
    assert cut and len(kept) == 16
    assert words("A red-hot Ball, the cat's café!") == ["a", "red", "hot", "ball", "the", "cat's", "café"]
