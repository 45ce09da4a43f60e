"""A static host for one folder: what it was asked for, and files that it serves otherwise or cuts short."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Host:
    """``asked`` are the requests as (method, path); ``instead`` has other bytes for a path; ``cut`` paths break off."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.instead: dict[str, bytes] = {}
        self.cut: set[str] = set()

    def names(self, folder: str) -> list[str]:
        """The files of a folder that were asked for, in order."""
        return [path.rpartition("/")[2] for _, path in self.asked if path.startswith(f"/{folder}/")]


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, host: Host, *args: Any) -> None:
        self.host = host
        super().__init__(*args, directory=str(host.folder))

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def parse_request(self) -> bool:
        """Note every request, whatever its method."""
        good = super().parse_request()
        if good:
            self.host.asked.append((self.command, self.path))
        return good

    def do_GET(self) -> None:
        """Serve a file, or what stands in its place."""
        path = self.path.lstrip("/").partition("?")[0]
        if path in self.host.cut:
            data = (self.host.folder / path).read_bytes()
            self._begin(data)
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif path in self.host.instead:
            data = self.host.instead[path]
            self._begin(data)
            self.wfile.write(data)
        else:
            super().do_GET()

    def _begin(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(self.path))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    """Serve a folder on this machine."""
    host = Host(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, host))
    host.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
