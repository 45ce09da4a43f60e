"""The command line of the page: its options, and serving until interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from imagen_core.commands.options import Parser, add_model_argument, loading
from imagen_core.models.opening import FIRST_MODEL, MODELS, locate
from imagen_core.types import UserError

from .folders import remove_left
from .page import build, launching
from .serving.beside import route
from .serving.gate import Gate
from .serving.listening import refusal
from .serving.memory import share_freed_memory
from .serving.model import Model

# How long a server that is told to stop waits for the run at work. Docker kills after 10 s unless told to wait longer
# (docker stop --time 30), Kubernetes after 30 s; our choice.
DRAIN_SECONDS = 25.0
# A browser fetches the pictures of the last run within this.
FETCH_SECONDS = 2.0


class ShippedPage(NamedTuple):
    """The page of the shipped models, the first of them at its root."""

    models: tuple[Model, ...]
    demo: Gate


@cache
def shipped_page(beside: bool = False) -> ShippedPage:
    """Build the page of the shipped models, once; ``beside`` as in :func:`.page.build`.

    Raises:
        UserError: this installation has no weights.
    """
    models = tuple(map(Model, MODELS))
    return ShippedPage(models, build(*models, beside=beside))


def main(prog: str, arguments: list[str] | None = None) -> None:
    """Parse the arguments and serve until interrupted; exit 2 with one line where that cannot be."""
    parser = Parser(prog=prog, description="Imagen Lab: see how text becomes a picture.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1, or GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, help="port, 1 to 65535 (default the first free one from 7860)")
    parser.add_argument("--mcp", action="store_true", help="also serve the API as MCP tools (pip install gradio[mcp])")
    parser.add_argument("--tab", type=Path, help="folder of a page that computes in the visitor's tab (imagen-lab tab)")
    add_model_argument(parser)
    args = parser.parse_args(arguments)
    if args.port is not None and not 1 <= args.port <= 65535:
        parser.error(f"argument --port: must be between 1 and 65535, got {args.port}")
    if args.mcp and find_spec("mcp") is None:
        parser.error("argument --mcp: needs a package that is missing: pip install 'gradio[mcp]'")
    share_freed_memory()
    remove_left()
    try:
        locate(args.model)
        routes = [] if args.tab is None else [route(args.tab, args.model)]
        models, page = shipped_page(bool(routes) and args.model == FIRST_MODEL)
        if args.model != FIRST_MODEL:
            other = Model(args.model)
            other.use(args.model, loading(args))
            # The shipped models stay one click away.
            page = build(other, *(model for model in models if model.name != args.model), beside=bool(routes))
        # A service or container stops with SIGTERM.
        signal.signal(signal.SIGTERM, drainer(page))
        page.launch(server_name=args.host, server_port=args.port, mcp_server=args.mcp, **launching(*routes))
    except (UserError, OSError) as error:
        parser.exit(2, f"{prog}: {refusal(error, args.host, args.port)}\n")


def drainer(page: Gate) -> Callable[[int, Any], None]:
    """The signal's handler that ends a page: what runs ends, what waits is told, then all goes as with Ctrl-C."""

    def drain(signum: int, frame: Any) -> None:
        # A second signal ends at once.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        page.waiting.drain()
        deadline = time.monotonic() + DRAIN_SECONDS
        while page.waiting.working and time.monotonic() < deadline:
            time.sleep(0.1)
        if page.is_running:
            time.sleep(FETCH_SECONDS)
        # Ending so removes visitors' pictures.
        raise KeyboardInterrupt

    return drain
