"""Imports go one way, and the engine knows neither the page nor its plots."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each module may import from the layers above its own, and from its own.
LAYERS = (
    {"types", "processes"},
    {"files", "sources", "worlds"},
    {"diffusion"},
    {"networks", "settings"},
    {"models"},
    {"records"},
    {"run"},
    {"training", "evaluation", "export"},
    {"commands"},
    {"__main__"},
)
# The same of the page's rooms and of the files beside them.
PAGE_LAYERS = (
    {"theme", "folders"},
    {"handlers"},
    {"serving", "lessons"},
    {"parts"},
    {"controls"},
    {"tabs", "api"},
    {"page", "pack"},
    {"site"},
    {"launch", "load"},
    {"entry"},
)
# What the page may use: values, the whole way, and statistics; never the arithmetic between them.
FOR_THE_PAGE = {"settings", "run", "models", "records", "types", "worlds", "diffusion.saturation"}
# What opens the page, or runs a verb instead, is a command line too.
FOR_THE_COMMAND_LINE = {
    "app/entry.py": {"__main__", "commands.console"},
    "app/launch.py": {"commands.options"},
    "app/load.py": {"commands.options", "files.writing"},
    "app/pack.py": {"commands.options", "files.writing"},
    "app/site.py": {"commands.export", "commands.options"},
}
FILES = sorted((ROOT / "imagen_core").rglob("*.py"))
PAGE_FILES = sorted((ROOT / "app").rglob("*.py"))
TABLETOP = "imagen_core.worlds.tabletop"


def imports(path: Path) -> set[str]:
    """Absolute dotted names of everything a file imports, at any depth."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            # What is imported from a package may be a module of it.
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return found


def dotted(path: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def module(name: str, package: str = "imagen_core") -> str | None:
    """The package's module or sub-package that a dotted name belongs to."""
    parts = name.split(".")
    return parts[1] if parts[0] == package and len(parts) > 1 else None


def layer(name: str, layers: tuple[set[str], ...] = LAYERS) -> int:
    return next(i for i, names in enumerate(layers) if name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    parts = path.relative_to(ROOT / "imagen_core").with_suffix("").parts
    if parts == ("__init__",):
        # Only what must be said before torch is loaded.
        assert not imports(path) - {"__future__", "os"}
        return
    here = layer(parts[0])
    for name in imports(path):
        other = module(name)
        assert other is None or layer(other) <= here, f"{parts[0]} imports {other}"


@pytest.mark.parametrize("path", PAGE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_page_imports_one_way(path: Path) -> None:
    parts = path.relative_to(ROOT / "app").with_suffix("").parts
    if parts == ("__init__",):
        assert not imports(path) - {"__future__"}
        return
    rooms = {room for name in imports(path) if (room := module(name, "app"))}
    above = {room for room in rooms if layer(room, PAGE_LAYERS) > layer(parts[0], PAGE_LAYERS)}
    assert not above, f"{parts[0]} imports {above}"


@pytest.mark.parametrize("path", sorted((ROOT / "app" / "tabs").glob("*.py")), ids=lambda path: path.name)
def test_no_tab_imports_another(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("app.tabs.")} - {dotted(path)}


def test_imports_go_in_no_circle() -> None:
    """Imports inside functions count: they would only hide a circle."""
    files = {dotted(path): path for path in [*FILES, *PAGE_FILES]}
    graph = {name: (imports(path) & files.keys()) - {name} for name, path in files.items()}
    # Raises CycleError, which names the circle.
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_knows_no_page(path: Path) -> None:
    # One file draws the figures of an evaluation; nothing else of the engine plots.
    allowed = {"matplotlib"} if path.parts[-2:] == ("evaluation", "plots.py") else set()
    assert not {name.split(".")[0] for name in imports(path)} & ({"gradio", "matplotlib", "app"} - allowed)
    assert not any(name.startswith("matplotlib.pyplot") for name in imports(path))


@pytest.mark.parametrize("path", PAGE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_page_does_no_arithmetic(path: Path) -> None:
    used = {name.removeprefix("imagen_core.") for name in imports(path) if name.startswith("imagen_core.")}
    rooms = FOR_THE_PAGE | FOR_THE_COMMAND_LINE.get(path.relative_to(ROOT).as_posix(), set())
    assert not {name for name in used if not any(f"{name}.".startswith(f"{room}.") for room in rooms)}
    assert "torch" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", PAGE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_page_imports_tabs(path: Path) -> None:
    """No tab imports another, and the API needs none of them: what they share is in parts or in the engine."""
    if path != ROOT / "app" / "page.py":
        names = imports(path)
        assert not {name for name in names if name.startswith("app.tabs")}


def test_a_world_stands_alone() -> None:
    """Scenes, captions and renderer need nothing of the engine, so that another world can take their place."""
    of_the_world = sorted((ROOT / "imagen_core" / "worlds" / "tabletop").glob("*.py"))
    assert of_the_world
    for path in of_the_world:
        assert {module(name) for name in imports(path)} <= {None, "worlds"}


def test_only_worlds_and_their_evaluation_know_a_world_by_name() -> None:
    knowing = {path for path in FILES if any(name.startswith(TABLETOP) for name in imports(path))}
    assert {path.relative_to(ROOT).parts[1] for path in knowing} == {"worlds", "evaluation"}
    assert PAGE_FILES
    for path in PAGE_FILES:
        assert not any(name.startswith(TABLETOP) for name in imports(path)), path
