"""A model on a hub: asked for once, only for what is used, and refused in one line; against a hub of our own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest

from imagen_core.files import hub
from imagen_core.models.opening import load_cascade, locate
from imagen_core.types import UserError


def test_locate_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "fetch", lambda *_, **__: pytest.fail("no network"))
    assert locate("DeepFloyd/IF-I-M-v1.0, DeepFloyd/IF-II-M-v1.0@main") == (
        "DeepFloyd/IF-I-M-v1.0",
        "DeepFloyd/IF-II-M-v1.0@main",
    )
    for name in ("", "../x", "a b/c", "x" * 2000, "https://example.com/a/b", "a/b/c", "a\0b/c"):
        with pytest.raises(UserError, match=r"^model: "):
            locate(name)


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as its client asks for: listings, heads and ranges of files; one repository is gated."""

    folder: Path
    asked: ClassVar[list[str]] = []
    COMMIT = "0123456789012345678901234567890123456789"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(head=True)

    def do_GET(self) -> None:
        self.answer(head=False)

    def answer(self, *, head: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        if "gated" in path:
            return self.send(403, {"X-Error-Code": "GatedRepo"}, b"{}", head)
        if "owner/if" not in path:
            return self.send(404, {"X-Error-Code": "RepoNotFound"}, b"{}", head)
        if "no-such-revision" in path:
            return self.send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}", head)
        files = {f.relative_to(self.folder).as_posix(): f for f in self.folder.rglob("*") if f.is_file()}
        if path.startswith("api/"):
            if "/tree/" in path:
                listed: Any = [
                    {"type": "file", "path": n, "size": f.stat().st_size, "oid": "1"} for n, f in files.items()
                ]
            else:
                siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in files.items()]
                listed = {"id": "owner/if", "modelId": "owner/if", "sha": self.COMMIT, "siblings": siblings}
            return self.send(200, {"Content-Type": "application/json"}, json.dumps(listed).encode(), head)
        name = path.split("/", 4)[-1]
        data = files[name].read_bytes()
        if wanted := self.headers.get("Range"):
            start, end = (int(n) if n else len(data) - 1 for n in wanted.removeprefix("bytes=").split("-"))
            whole, data = len(data), data[start : end + 1]
            return self.send(206, {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{whole}"}, data, head)
        if not head:
            self.asked.append(name)
        return self.send(200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'}, data, head)

    def send(self, code: int, headers: dict[str, str], data: bytes, head: bool) -> None:
        self.send_response(code)
        for name, value in {"X-Repo-Commit": self.COMMIT, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(data)


def test_a_hub_is_fetched_from_once_and_its_refusals_are_one_line(published: Path, tmp_path: Path) -> None:
    """One client process: a plan without weights, a run, the same offline, and refusals."""
    folder = Path(shutil.copytree(published / "I", tmp_path / "I"))
    unwanted = folder / "unet/diffusion_pytorch_model.bin"
    unwanted.write_bytes(b"a pickle")
    hub_folder = type("Here", (Hub,), {"folder": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), hub_folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = """
import json, os
from imagen_core.files import hub
from imagen_core.models.opening import load_cascade
from imagen_core.models.cascade import Loading
from imagen_core.models.deepfloyd.memory import plan
from imagen_core.types import UserError
told = [plan(("owner/if",), Loading())["parts"]["owner/if: unet"]["parameters"]]
cascade = load_cascade("owner/if@main")
told.append([cascade.digest, cascade.stages[0].network.unet.config.sample_size])
for name in ("owner/gated", "owner/missing", "owner/if@no-such-revision"):
    try:
        load_cascade(name)
    except UserError as error:
        told.append(str(error))
from huggingface_hub import constants
constants.HF_HUB_OFFLINE = True
told.append(load_cascade("owner/if@main").digest)
print(json.dumps(told))
"""
    environment = {
        **os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home"),
        "IMAGEN_LAB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    server.shutdown()
    assert done.returncode == 0, done.stderr
    parameters, (digest, size), gated, missing, revision, offline = json.loads(done.stdout)
    assert parameters == hub.weights(folder, "unet", "diffusion_pytorch_model").parameters and size == 64
    assert digest == offline == load_cascade(folder).digest
    assert "it is gated: accept its licence at huggingface.co/owner/gated, then set HF_TOKEN" in gated
    assert "there is no such repository, or it is private: then set HF_TOKEN" in missing
    assert "it has no such revision" in revision and not any("\n" in line for line in (gated, missing, revision))
    assert "unet/diffusion_pytorch_model.bin" not in hub_folder.asked
    wanted = {"unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "tokenizer/spiece.model"}
    assert wanted <= set(hub_folder.asked) and len(hub_folder.asked) == len(set(hub_folder.asked))
