"""ES modules joined into one script, so that the page needs no build step and a report opens from disk, offline.

Browsers refuse to import one file from another over file://, and a report's policy forbids data: scripts. So each
module becomes a function with its own scope, placed after the modules that it imports.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}(?:/\w+)?/(\w+)\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:const|function|class) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def script(entry: Path, name: str, given: object = None) -> str:
    """A script that sets ``window.NAME`` to what the entry module's ``create(given)`` returns; ``given`` is JSON.

    Raises:
        ValueError: a module imports or exports in a form that is not understood, modules import each other, or two
            have one name.
    """
    modules: dict[str, tuple[Path, str]] = {}
    _add(entry.resolve(), modules, ())
    value = json.dumps(given, ensure_ascii=False).replace("<", "\\u003c")
    body = "\n".join(text for _, text in modules.values())
    return f'(() => {{\n"use strict";\n{body}\nwindow.{name} = $main.create({value});\n}})();\n'


def _add(path: Path, modules: dict[str, tuple[Path, str]], importers: tuple[str, ...]) -> None:
    """Add a module after those that it imports."""
    name = path.stem
    if name in importers:
        raise ValueError(f"{path}: imports itself by way of {importers[-1]}.js")
    if name in modules:
        if modules[name][0] != path:
            raise ValueError(f"{path}: has the name of {modules[name][0]}")
        return
    text = path.read_text(encoding="utf-8")
    for _, place, _ in _IMPORT.findall(text):
        _add((path.parent / place).resolve(), modules, (*importers, name))
    exports = ", ".join(exported for _, exported in _EXPORT.findall(text))
    text = _EXPORT.sub(r"\1", _IMPORT.sub(r"const {\1} = $\3;", text))
    if line := _OTHER.search(text):
        raise ValueError(f"{path}: this form of import or export is not understood: {line.group()}")
    modules[name] = path, f"const ${name} = (() => {{\n{text}return {{ {exports} }};\n}})();"
