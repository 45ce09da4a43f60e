"""ZeroGPU: a Space's server whose runs compute in a process that is lent a card. The card itself is played here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import torch
from PIL import Image

from app.serving import zero
from app.serving.model import Model
from app.serving.pace import Pace
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.run.experiments import compare
from imagen_core.run.generate import generate
from imagen_core.run.passing import packed, unpacked
from imagen_core.settings import Request, request
from imagen_core.types import StepRecord

ROOT = Path(__file__).parents[3]
# Seconds until a test gives up on something that should come.
PATIENCE = 300.0
# The page of a ZeroGPU Space. There is no card to begin with, and nothing to move to it.
SPACE = """
import sys, spaces.zero.torch as card
card.init, card.size, card.move = lambda uuid: None, lambda: 0, lambda callback: None
from app.launch import main
main("app.py", sys.argv[1:])
"""


def test_events_cross_with_every_tensor(tiny: Cascade) -> None:
    asked = request("a red ball", size=256, seed=2, steps=2)
    for row in compare([asked, asked], tiny):
        for sent, got in zip(row, unpacked(packed(row))):
            assert type(sent) is type(got) and sent.stage == got.stage
            if isinstance(sent, StepRecord):
                assert torch.equal(sent.z, got.z) and sent.next == got.next
                assert torch.equal(sent.out.x0_hat, got.out.x0_hat) and sent.out.w == got.out.w
            else:
                assert torch.equal(sent.image, got.image) and sent.withheld == got.withheld


def test_time_is_asked_for_by_the_pace(tiny: Cascade) -> None:
    pace, asked = Pace(), request("a red ball", size=256, steps=2)
    card, work = zero.Card(lambda: tiny, pace), zero.Work(generate, asked)
    assert card._seconds(work, (asked,)) == zero.UNKNOWN_SECONDS
    for record in generate(asked, tiny):
        if isinstance(record, StepRecord):
            pace.note(record, 1000.0 if record.stage == "base64" else 10.0, [asked], "cosine")
    assert card._seconds(work, (asked,)) == zero.LOADING_SECONDS + zero.MARGIN * pace.seconds([asked])
    # A picture that is there already is not paid for again.
    onward = zero.Work(generate, asked, image=torch.zeros(1, 3, 64, 64))
    assert zero.LOADING_SECONDS < card._seconds(onward, (asked,)) < 1000 < card._seconds(work, (asked,))


def test_without_the_package_runs_compute_here(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero, "find_spec", lambda name: None)
    asked = request("a red ball", seed=3, steps=2)
    *_, (there, seconds) = zero.Card(model.get, Pace()).run(zero.Work(generate, asked), asked)
    *_, here = generate(asked, model.get())
    assert torch.equal(there.image, here.image) and seconds > 0


def test_with_the_package_but_no_zerogpu_nothing_changes(model: Model) -> None:
    pytest.importorskip("spaces", reason="pip install spaces")
    card = zero.Card(model.get, Pace())
    assert card._lent == card._compute and not zero.ON_ZERO


class Lender(BaseHTTPRequestHandler):
    """ZeroGPU's service on the machine: it lends the same card to whoever asks."""

    asked: list[tuple[str, dict[str, str]]]

    def do_POST(self) -> None:
        address = urlparse(self.path)
        self.asked.append((address.path, {name: values[0] for name, values in parse_qs(address.query).items()}))
        body = b'{"idle": true, "nvidiaIndex": 0, "nvidiaUUID": "", "allowToken": "one"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def lender() -> Iterator[ThreadingHTTPServer]:
    Lender.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lender)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def space(lender: ThreadingHTTPServer, stage_1: Path, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A ZeroGPU Space of a tiny DeepFloyd IF: its address, and the server's process."""
    pytest.importorskip("spaces", reason="pip install spaces")
    if torch.version.cuda is None:
        pytest.skip("spaces reads the version of CUDA, which this build of torch has not")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{lender.server_port}",
        "HOME": str(tmp_path),
        "IMAGEN_LAB_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-c", SPACE, "--model", str(stage_1), "--dtype", "float32", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=file, stderr=file, text=True)
    try:
        wait_for(lambda: server.poll() is not None or "Running on" in log.read_text())
        assert server.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait(PATIENCE)


def test_a_zerogpu_space_draws_stops_and_explains(space: tuple[str, int], stage_1: Path) -> None:
    from gradio_client import Client

    address, pid = space
    client = Client(address, verbose=False)
    cascade = load_cascade(stage_1)
    asked = Request("a red ball", 3, stages=(replace(cascade.defaults[64], steps=3),))
    picture, facts = client.predict("a red ball", 3, more="steps=3", api_name="/sample")
    *_, here = generate(asked, cascade)
    drawn = np.asarray(Image.open(picture), float) / 127.5 - 1
    assert np.abs(drawn - here.image[0].permute(1, 2, 0).numpy()).max() <= 1 / 127 and facts["settings"]["steps"] == 3
    (lent,) = (int(given["pid"]) for path, given in Lender.asked if path == "/allow")
    assert lent != pid
    # Stop ends the run there, the card is given back, and the next run is given it.
    job = client.submit("a red ball", 3, more="steps=250", api_name="/sample")
    wait_for(lambda: len(job.outputs()) > 2)
    job.cancel()
    wait_for(lambda: len(paths("/release")) == 2)
    assert not any(len(out[1].get("settings", ())) for out in job.outputs())
    # A mistake that is found there is told in its own words.
    with pytest.raises(Exception, match=r"^prompt: .*77"):
        client.predict("ball " * 90, 3, more="steps=3", api_name="/sample")
    seconds = [int(given["durationSeconds"]) for given in paths("/schedule")]
    assert len(seconds) == 3 and seconds[0] == zero.UNKNOWN_SECONDS and seconds[2] > zero.LOADING_SECONDS
    assert len(paths("/allow")) == 1 and len(paths("/startup-report")) == 1


def paths(path: str) -> list[dict[str, str]]:
    return [given for asked, given in Lender.asked if asked == path]


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)
