"""A real browser samples from an export: the engine's own pictures, by wasm alone."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_export import Exported

from imagen_core import settings
from imagen_core.export import folder
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.records.frames import Frame
from imagen_core.records.recording import under
from imagen_core.run.generate import generate
from imagen_core.settings import SIDE_BY_SIDE, Request
from imagen_core.types import StageResult, StepRecord

# A function as an expression: without the semicolon that the formatter adds.
DRIVE = Path(__file__).with_name("drive.js").read_text().strip().rstrip(";")
# What a screen can show: two of 256 grey values, of pictures in [-1, 1].
SEEN = 2 / 127.5
PROMPT = "a small red ball to the left of a large blue cube on grass"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def do_GET(self) -> None:
        """A browser asks for an icon by itself."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def served(place: Path) -> Iterator[str]:
    """The address of a folder on a server of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def drive(visit) -> Callable[..., dict[str, Any]]:
    """``drive(address, messages, until)`` sends messages to the worker of an export and returns what it said."""

    def go(address: str, messages: list[dict[str, Any]], until: str = "done", **options: Any) -> dict[str, Any]:
        page = visit(f"{address}/weights/manifest.json")
        page.set_default_timeout(600_000)
        said: dict[str, Any] = page.evaluate(DRIVE, {"messages": messages, "until": until, "options": options})
        return said

    return go


def ask(request: Request, **more: Any) -> dict[str, Any]:
    """The message for a run."""
    return {"message": {"type": "sample", "run": "r", "request": json.loads(settings.to_json(request)), **more}}


def array(text: str) -> np.ndarray:
    """An array of float32 as drive.js sends it."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def of(events: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in events["events"] if event["type"] == kind]


def compare(said: dict[str, Any], request: Request, cascade: Cascade, rules: tuple[str, ...]) -> None:
    """The tab's last picture under each rule is the engine's, as far as a screen can show."""
    result = of(said, "result")[-1]
    assert tuple(result["rules"]) == rules
    for rule, image in zip(rules, result["images"]):
        *_, last = generate(under(request, [rule])[rule], cascade)
        assert isinstance(last, StageResult)
        difference = np.abs(array(image) - last.image[0].numpy().ravel()).max()
        assert difference <= SEEN, f"{rule}, seed {request.seed}: {127.5 * difference:.2f} of 255"


def test_a_tab_draws_the_picture_of_the_engine(exported: Exported, drive) -> None:
    """64 × 64 under three rules, each with the engine's numbers at each step, and enlarged to 256."""
    cascade = exported.cascade
    request = settings.request(PROMPT, seed=5, steps=5, guidance=9.0, w_schedule="linear", defaults=cascade.defaults)
    large = settings.with_stage(settings.request(PROMPT, seed=5, size=256, defaults=cascade.defaults), 256, steps=2)
    large = replace(large, stages=(request.stages[0], large.stages[1]))
    with served(exported.place) as address:
        said = drive(address, [ask(request, rules=SIDE_BY_SIDE, detail=True)])
        whole = drive(address, [ask(large)])
    compare(said, request, cascade, SIDE_BY_SIDE)
    compare(whole, large, cascade, ("dynamic",))
    assert [(event["stage"], event["steps"]) for event in of(whole, "planned")] == [("base64", 5), ("sr256", 2)]
    for place, rule in enumerate(SIDE_BY_SIDE):
        records = [event for event in generate(under(request, [rule])[rule], cascade) if isinstance(event, StepRecord)]
        assert len(records) == len(of(said, "frame"))
        for record, frame in zip(records, of(said, "frame")):
            track, own = frame["tracks"][place], Frame.of(record)
            assert track["numbers"] == pytest.approx(own.numbers, rel=1e-3, abs=1e-3), (rule, frame["index"])
            assert frame["w"] == pytest.approx(record.out.w) and frame["log_snr"] == pytest.approx(record.now.log_snr)
            assert np.allclose(array(track["raw"]), record.out.x0_raw.numpy().ravel(), atol=SEEN)
            pixels = np.frombuffer(base64.b64decode(track["pixels"]), np.uint8).reshape(64, 64, 4)
            assert np.abs(pixels[..., :3].astype(int) - own.pixels).max() <= 2 and (pixels[..., 3] == 255).all()
    # Of the table of words only the shards are fetched that hold the prompt's words.
    shards = [name for name in said["fetched"] if name.startswith("words-")]
    assert 1 < len(shards) < 15 and len(set(said["fetched"])) == len(said["fetched"])


def test_a_tab_stops_says_what_is_wrong_and_goes_on(exported: Exported, drive) -> None:
    request = settings.request(PROMPT, seed=5, steps=50, sampler="ddim", defaults=exported.cascade.defaults)
    short = settings.request(PROMPT, seed=5, steps=1, sampler="ddim", defaults=exported.cascade.defaults)
    wrong = ask(short)
    wrong["message"]["request"]["stages"][0]["guidance_rule"] = "apg"
    with served(exported.place) as address:
        stop = {"after": "frame", "message": {"type": "stop"}}
        said = drive(address, [wrong, ask(request), stop, {"after": "stopped", **ask(short)}])
        broken = drive(address, [ask(short)], until="error", broken=["base64.network.onnx.bin"])
    assert [event["type"] for event in said["events"]][:2] == ["ready", "error"]
    assert of(said, "error")[0]["kind"] == "input" and of(said, "error")[0]["message"].startswith("guidance_rule: ")
    assert len(of(said, "stopped")) == 1 and len(of(said, "frame")) < 10
    compare(said, short, exported.cascade, ("dynamic",))
    assert of(broken, "error")[0] == {
        "type": "error", "run": "r", "kind": "weights", "message": "This file was altered."
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "ddim"])
def test_the_shipped_cascade_draws_the_same_in_a_tab(sampler: str, drive, shipped_export: Path) -> None:
    cascade = load_cascade("tabletop")
    with served(shipped_export) as address:
        for seed in (1, 2, 3):
            request = settings.request(PROMPT, seed=seed, sampler=sampler, w_schedule="constant")
            compare(drive(address, [ask(request, rules=SIDE_BY_SIDE)]), request, cascade, SIDE_BY_SIDE)


@pytest.fixture(scope="module")
def shipped_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped cascade as files for a tab: a few minutes."""
    place = tmp_path_factory.mktemp("shipped")
    for _ in folder.write(load_cascade("tabletop"), place):
        pass
    return place
