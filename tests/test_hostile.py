"""Whatever comes in from outside ends as a value or as one line: files, links, command lines and programs' calls.

Each kind of input is met a few times here, and some thousand times by ``pytest -m slow tests/test_hostile.py``.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from made_pictures import prepare_folder
from PIL import Image, PngImagePlugin
from starlette.applications import Starlette
from starlette.testclient import TestClient
from torch import nn

from app import api
from app.serving.beside import route
from app.serving.model import Model
from imagen_core.__main__ import build_parser
from imagen_core.commands.options import request_from
from imagen_core.models.checkpoints import read_cascade
from imagen_core.models.deepfloyd.folder import read
from imagen_core.models.opening import digest_of
from imagen_core.records import png, recording, trace
from imagen_core.records.own import open_own
from imagen_core.settings import CHOICES, RANGES
from imagen_core.settings.text import from_json, from_query, with_more
from imagen_core.sources.captions import cleaned
from imagen_core.sources.opening import Options, open_source
from imagen_core.sources.source import Place as SourcePlace
from imagen_core.training.recipes import Recipe
from imagen_core.training.state import kept_state, load_state, save_state
from imagen_core.types import UserError
from imagen_core.worlds.collected.collected import open_collected

STORED = Path(__file__).parent / "data" / "stored"
# Examples of each kind; the thorough ones are more than 10,000 together.
QUICK, THOROUGH = 25, 800
NAMES = [*RANGES, *CHOICES, "sr256.steps", "base64.cap", "option", "__proto__", "more", "", "a.b.c"]
texts = st.one_of(
    st.text(max_size=40), st.sampled_from(["<img src=x onerror=alert(1)>", "\0", "\n\n", "𝕏" * 30, "../../x"])
)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 1e308, 2**63, -0.0]))
plain = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
Draw = Callable[[Any], Any]


def altered(draw: Draw, value: Any) -> Any:
    """A JSON value with one of its parts replaced, left out or added."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    keys = [key for key, _ in inside]
    what = draw(st.sampled_from(["into", "into", "into", "replace", "drop", "add"]))
    if not keys or what == "replace":
        return draw(values)
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    key = draw(st.sampled_from(keys))
    if what == "into":
        changed[key] = altered(draw, value[key])
    elif what == "drop":
        del changed[key]
    elif isinstance(changed, dict):
        changed[draw(texts)] = draw(values)
    else:
        changed.append(draw(values))
    return changed


def damaged(draw: Draw, data: bytes) -> bytes:
    """Bytes of which some are changed, or the end is missing."""
    found = bytearray(data)
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        found[place] = byte
    return bytes(found[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(found)


def archive(draw: Draw, name: str, place: Path) -> Path:
    """A stored trace or recording with a damaged file, another header, or another array."""
    stored, target = STORED / name, place / name
    what = draw(st.sampled_from(["bytes", "header", "array"]))
    if what == "bytes":
        target.write_bytes(damaged(draw, stored.read_bytes()))
        return target
    with np.load(stored) as file:
        arrays = dict(file)
    if what == "header":
        arrays["header"] = np.array(json.dumps(altered(draw, json.loads(str(arrays["header"])))))
    else:
        key = draw(st.sampled_from(sorted(arrays)))
        kind = draw(st.sampled_from(["float32", "float16", "uint8", "U4", "complex64", "float64"]))
        arrays[key] = np.zeros(draw(st.lists(st.integers(0, 4), max_size=5)), kind)
    with target.open("wb") as out:
        np.savez(out, **arrays)  # type: ignore[arg-type]
    return target


def a_link(draw: Draw, place: Path) -> None:
    pairs = draw(st.lists(st.tuples(st.sampled_from(NAMES) | texts, texts | numbers.map(str)), max_size=5))
    from_query(pairs, {"prompt": "a ball", "seed": 1})


def a_request(draw: Draw, place: Path) -> None:
    stored = json.loads(Image.open(STORED / "run.png").text["imagen_lab"])  # type: ignore[attr-defined]
    from_json(json.dumps(altered(draw, stored)) if draw(st.booleans()) else draw(texts))


def a_picture(draw: Draw, place: Path) -> None:
    if draw(st.booleans()):
        data = damaged(draw, (STORED / "run.png").read_bytes())
    else:
        chunks, file = PngImagePlugin.PngInfo(), io.BytesIO()
        for name in ("imagen_lab", "imagen_lab_weights", "imagen_lab_index"):
            chunks.add_text(name, json.dumps(draw(values)) if draw(st.booleans()) else draw(texts))
        Image.new("RGB", (2, 2)).save(file, "png", pnginfo=chunks)
        data = file.getvalue()
    png.read_fact(data, "weights")
    png.read_settings(data)


def a_trace(draw: Draw, place: Path) -> None:
    trace.load(archive(draw, "run.npz", place))


def a_recording(draw: Draw, place: Path) -> None:
    recording.payload(recording.load(archive(draw, "recording.npz", place)))


def a_cascade(draw: Draw, place: Path) -> None:
    folder = place / "cascade"
    shutil.copytree(STORED / "cascade", folder, dirs_exist_ok=True)
    name = draw(st.sampled_from(["cascade.json", "base64/config.json", "base64/model.safetensors"]))
    file = folder / name
    whole = file.read_bytes()
    as_json = file.suffix == ".json" and draw(st.booleans())
    file.write_bytes(json.dumps(altered(draw, json.loads(whole))).encode() if as_json else damaged(draw, whole))
    if draw(st.booleans()):
        redigest(folder)
    read_cascade(folder)


def redigest(folder: Path) -> None:
    """What a hostile author would do: make the digests fit the altered files."""
    import hashlib

    try:
        facts = json.loads((folder / "cascade.json").read_bytes())
        facts["digests"] = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in facts["digests"]}
    except (ValueError, TypeError, KeyError, OSError):
        return
    (folder / "cascade.json").write_text(json.dumps(facts))


def a_command(draw: Draw, place: Path) -> None:
    """Read as far as the request; nothing is run."""
    options = ["--seed", "--size", "--guidance", "--set", "--threshold", "--steps", "--out", "--json", "--percentile"]
    words = draw(st.lists(st.sampled_from(options) | texts | numbers.map(str), max_size=6))
    verb = draw(st.sampled_from(["sample", "compare", "bench"]))
    try:
        args = build_parser("lab").parse_args([verb, draw(texts), *words])
    except SystemExit as left:
        # Bad input leaves with 2, help with 0.
        if left.code not in (0, 2):
            raise AssertionError(f"{shlex.join(words)} left with {left.code}") from left
    else:
        request_from(args)


class NoEngine(Model):
    """The shipped model's settings; asking for its networks ends the call."""

    def get(self) -> Any:
        """Nothing is drawn here."""
        raise UserError("model: none in this test")


def a_call(draw: Draw, place: Path) -> None:
    """A program's call, its arguments of any kind of JSON."""
    name = draw(st.sampled_from(sorted(api.PUBLIC)))
    seed, size = draw(st.sampled_from([1, 64, 256]) | values), draw(st.sampled_from([64, 256]) | values)
    more = [
        draw(st.sampled_from(["1, 5", "guidance", "steps=2", None, 5.0]) | values)
        for _ in range(draw(st.integers(0, 4)))
    ]
    arguments = [draw(texts | values)] if name == "describe" else [draw(texts | values), seed, size, *more]
    found = api.PUBLIC[name](NoEngine("tabletop"), *arguments[: 5 if name == "sweep_augmentation" else 8])
    if isinstance(found, Iterator):
        next(found)


def more_settings(draw: Draw, place: Path) -> None:
    request, _ = from_query([("seed", "1")], {"prompt": "a ball", "seed": 1})  # type: ignore[misc]
    word = st.tuples(st.sampled_from(NAMES) | texts, texts | numbers.map(str)).map("=".join)
    with_more(request, draw(st.lists(word, max_size=4).map(" ".join) | values))


@contextmanager
def spoilt(draw: Draw, file: Path) -> Iterator[None]:
    """A file with other bytes or, where it is JSON, with other values, until the block ends."""
    whole = file.read_bytes()
    as_json = file.suffix == ".json" and draw(st.booleans())
    file.write_bytes(json.dumps(altered(draw, json.loads(whole))).encode() if as_json else damaged(draw, whole))
    try:
        yield
    finally:
        file.write_bytes(whole)


def a_pipeline(draw: Draw, place: Path) -> None:
    """A folder of DeepFloyd IF's, as far as it is read before its weights are loaded."""
    names = ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"]
    names += ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
    with spoilt(draw, place / "given" / draw(st.sampled_from(names))):
        read(place / "given", "given", half=False)


def a_caption_table(draw: Draw, place: Path) -> None:
    """Captions and names of files; whatever they are called, files of other folders are not opened."""
    folder = place / "things"
    folder.mkdir(exist_ok=True)
    (place / "secret.png").touch()
    (folder / "a.png").touch()
    cells = st.sampled_from(["a.png", "../secret.png", str(place / "secret.png"), "file", "caption"]) | texts
    rows = [["file", "caption"], *draw(st.lists(st.lists(cells, max_size=3), max_size=4))]
    written = io.StringIO()
    csv.writer(written, escapechar="\\").writerows(rows)
    data = written.getvalue().encode("utf-8", "replace")
    (folder / "captions.csv").write_bytes(damaged(draw, data) if draw(st.booleans()) else data)
    for entry in open_source(str(folder), Options()).entries(0):
        assert isinstance(entry.data, SourcePlace) and entry.data.file.resolve().is_relative_to(folder.resolve())
        captions, _ = cleaned(entry.captions)
        assert all(caption.isprintable() and len(caption) <= 300 for caption in captions)


def an_own_picture(draw: Draw, place: Path) -> None:
    """A picture that a visitor uploads."""
    kind, file = draw(st.sampled_from(["png", "jpeg", "gif", "webp", "bmp", "tiff"])), io.BytesIO()
    Image.radial_gradient("L").resize((70, 66)).convert(draw(st.sampled_from(["RGB", "L"]))).save(file, kind)
    target = place / "own"
    target.write_bytes(damaged(draw, file.getvalue()) if draw(st.integers(0, 9)) else draw(st.binary(max_size=99)))
    assert open_own(target).image.isfinite().all()


def prepared_data(draw: Draw, place: Path) -> None:
    """A folder that `train --data` opens; each under a name of its own, since the last ones are kept open."""
    folder = Path(tempfile.mkdtemp(dir=place))
    shutil.copytree(place / "given", folder, dirs_exist_ok=True)
    names = ["data.json", "words.json", "train.npy", "held.npy", "parts/0000.npy", "parts/0000.jsonl"]
    try:
        with spoilt(draw, folder / draw(st.sampled_from(names))):
            world = open_collected(folder)
            assert world.picture(0, 64).isfinite().all() and isinstance(world.caption(0, 1), str)
    finally:
        shutil.rmtree(folder)


def a_run(draw: Draw, place: Path) -> None:
    """The folder of a training that is to go on."""
    recipe, network = Recipe("base", steps=9), nn.Linear(2, 2)
    save_state(place, recipe, 1, network, network, torch.optim.SGD(network.parameters()))
    with spoilt(draw, place / draw(st.sampled_from(["recipe.json", "state.pt"]))):
        state = kept_state(place, recipe)
        load_state(state or {}, network, network, torch.optim.SGD(network.parameters()))


def a_page_for_a_tab(draw: Draw, place: Path) -> None:
    """The folder of `--tab`, and what is asked of it: nothing beside it is given away."""
    folder = place / "site"
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    (place / "secret.txt").write_text("secret")
    (folder / "index.html").write_text("page")
    manifest = folder / "weights" / "manifest.json"
    manifest.write_text(json.dumps({"digest": digest_of("tabletop"), "files": {}}))
    parts = st.sampled_from(["..", "%2e%2e", "secret.txt", "weights", "index.html", "//", "\\", "%00"]) | texts
    client = TestClient(Starlette(routes=[route(folder, "tabletop")]))
    answer = client.get("/tab/" + quote("/".join(draw(st.lists(parts, max_size=5))), safe="/%\\"))
    assert answer.status_code in (200, 307, 404, 405) and "secret" not in answer.text
    with spoilt(draw, manifest):
        route(folder, "tabletop")


# Each with the fixture, if any, whose folder is copied to ``given`` below its place.
KINDS: dict[Callable[[Draw, Path], None], str] = {
    **dict.fromkeys((a_link, a_request, a_picture, a_trace, a_recording, a_cascade, a_command, a_call), ""),
    **dict.fromkeys((more_settings, a_caption_table, an_own_picture, a_run, a_page_for_a_tab), ""),
    a_pipeline: "stage_1",
    prepared_data: "prepared",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_folder(tmp_path_factory.mktemp("prepared"), 6)


@pytest.fixture
def place(kind: Callable[[Draw, Path], None], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder for one kind of input, with what it needs."""
    if KINDS[kind]:
        shutil.copytree(request.getfixturevalue(KINDS[kind]), tmp_path / "given")
    return tmp_path


def meet(kind: Callable[[Draw, Path], None], times: int, place: Path) -> None:
    """Let hypothesis make up an input of this kind so many times; only a line may come back."""

    @hypothesis.settings(max_examples=times, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(data=st.data())
    def once(data: st.DataObject) -> None:
        try:
            kind(data.draw, place)
        except (UserError, gr.Error) as error:
            said = error.message if isinstance(error, gr.Error) else str(error)
            assert said and "\n" not in said and len(said) < 1000, said

    once()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_any_input_is_a_value_or_a_line(kind: Callable[[Draw, Path], None], place: Path) -> None:
    before = {path: path.read_bytes() for path in STORED.rglob("*") if path.is_file()}
    meet(kind, QUICK, place)
    assert before == {path: path.read_bytes() for path in STORED.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_thousands_of_inputs_are_values_or_lines(kind: Callable[[Draw, Path], None], place: Path) -> None:
    meet(kind, THOROUGH, place)
