"""Modules joined into one script: each keeps a scope of its own, and what cannot be joined is refused by name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from app.parts.bundle import script


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = folder / f"{name}.js"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "main.js"


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: on Debian, apt-get install nodejs")
def test_modules_of_equal_names_do_not_meet_and_each_runs_once(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        count='const name = "count";\nglobalThis.runs = (globalThis.runs ?? 0) + 1;\nexport const runs = () => name;\n',
        left='import { runs } from "./count.js";\nconst name = "left";\nexport const left = () => runs() + name;\n',
        main=(
            'import {\n  left,\n} from "./left.js";\nimport { runs } from "./count.js";\n'
            "export const create = (given) => [left(), runs(), globalThis.runs, given];\n"
        ),
    )
    source = "const window = {};\n" + script(entry, "It", ["</script>"]) + "console.log(JSON.stringify(window.It));"
    shown = subprocess.run(["node", "-"], input=source, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == '["countleft","count",1,["</script>"]]' and "</script>" not in source


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ({"main": 'import { a } from "./a.js";\n', "a": 'import { create } from "./main.js";\n'}, "imports itself"),
        ({"main": "export default 1;\n"}, "not understood: export default 1;"),
        ({"main": 'import * as a from "./a.js";\n'}, "not understood"),
        ({"main": 'import { a } from "https://example.org/a.js";\n'}, "not understood"),
        (
            {
                "main": 'import { b } from "./a.js";\nimport { c } from "./other/a.js";\n',
                "a": "export const b = 1;\n",
                "other/a": "export const c = 1;\n",
            },
            "has the name of",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path: Path, modules: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        script(write(tmp_path, **modules), "It")
