"""The installed command ``imagen-lab``: alone, with options or with ``page`` it opens the page, else it runs a verb."""

from __future__ import annotations

import sys

from imagen_core.commands.console import for_any_console

HELP = """imagen-lab opens the page, and so does imagen-lab page; imagen-lab page --help names the page's options.
imagen-lab pack --to FOLDER writes the lessons as static files for a class.
imagen-lab tab --to FOLDER writes a page that computes in the browser's own tab.
Every other verb is the engine's:
"""


@for_any_console
def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 for bad input, or 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    alone = not arguments or (arguments[0].startswith("--") and arguments[0] != "--help")
    if alone or arguments[0] == "page":
        from .launch import main as serve

        serve("imagen-lab page", arguments if alone else arguments[1:])
        return 0
    if arguments[0] == "pack":
        from .pack import main as pack

        pack("imagen-lab pack", arguments[1:])
        return 0
    if arguments[0] == "tab":
        from .site import main as tab

        tab("imagen-lab tab", arguments[1:])
        return 0
    from imagen_core.__main__ import main as run_verb

    if arguments[0] in ("-h", "--help"):
        print(HELP)
    return run_verb(arguments, prog="imagen-lab")


if __name__ == "__main__":
    sys.exit(main())
