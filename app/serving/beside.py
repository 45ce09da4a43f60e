"""The page that computes in a visitor's tab, served below this one from the folder that ``imagen-lab tab`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from imagen_core.models.opening import digest_of
from imagen_core.types import UserError

# Browsers give threads to a page that is isolated.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Windows may know these by other names.
SCRIPTS = (".js", ".mjs")


class Files(StaticFiles):
    """The folder's files, each with the headers that isolate the page."""

    async def get_response(self, path: str, scope: Any) -> Response:
        """One file."""
        answer = await super().get_response(path, scope)
        answer.headers.update(HEADERS)
        if path.endswith(SCRIPTS):
            answer.headers["content-type"] = "text/javascript"
        return answer


def route(folder: Path, model: str) -> Mount:
    """The route of the folder, /tab/.

    Raises:
        UserError: the folder holds no such page, or that of other weights than the model's.
    """
    again = f"; run imagen-lab tab --to {folder}"
    try:
        digest = json.loads((folder / "weights" / "manifest.json").read_bytes())["digest"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"--tab: {folder} holds no page for a tab{again}") from error
    if not (folder / "index.html").is_file():
        raise UserError(f"--tab: {folder} holds weights without a page{again}")
    if digest != digest_of(model):
        raise UserError(f"--tab: {folder} was made of other weights{again} --model {model}")
    return Mount("/tab", Files(directory=folder, html=True))
