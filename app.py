"""Open the page: ``python app.py [--host HOST] [--port PORT] [--model FOLDER] [--mcp]``. A Space imports ``demo``."""

from __future__ import annotations

from app.launch import main, shipped_page
from imagen_core.commands.console import for_any_console

if __name__ == "__main__":
    for_any_console(main)("app.py")
else:
    demo = shipped_page().demo
