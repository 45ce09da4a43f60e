"""What a screen reader is told of each tab, by Chromium's accessibility tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from test_axe import FOLDED

CONTROLS = {
    "button", "checkbox", "combobox", "link", "listbox", "radio", "searchbox", "slider", "spinbutton", "switch",
    "tab", "textbox",
}  # fmt: skip
PICTURES = {"image", "img", "Canvas"}
GROUPS = {"group", "radiogroup", "region"}


@dataclass(frozen=True)
class Heard:
    """A node of the tree; ``group`` has the names of the groups around it, ``level`` is a heading's."""

    role: str
    name: str
    group: tuple[str, ...]
    level: int


def tree(page: Any) -> list[Heard]:
    """What a screen reader meets, in the order of reading."""
    nodes = {n["nodeId"]: n for n in page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]}

    def below(node: Any, group: tuple[str, ...]) -> Iterator[Heard]:
        if not node["ignored"]:
            role, name = node["role"]["value"], " ".join(node["name"]["value"].split())
            levels = [prop["value"]["value"] for prop in node["properties"] if prop["name"] == "level"]
            yield Heard(role, name, group, *(levels or [0]))
            group = (*group, name) if role in GROUPS and name else group
        for child in node.get("childIds", ()):
            if child in nodes:
                yield from below(nodes[child], group)

    return list(below(next(iter(nodes.values())), ()))


def faults(heard: list[Heard]) -> list[str]:
    """What would be said badly: parts without a name, controls of one name, headings that leave a level out."""
    named = Counter(node for node in heard if node.role in CONTROLS)
    levels = [node.level for node in heard if node.role == "heading"]
    return [
        *(f"{node.role} without a name" for node in heard if node.role in CONTROLS | PICTURES and not node.name),
        *(f"{times} × {node.role} {node.name!r}" for node, times in named.items() if times > 1),
        *(f"heading {b} after {a}" for a, b in zip([0, *levels], levels) if b > a + 1),
        *(["no heading but the page's"] if len(levels) < 2 else []),
    ]


def test_faults_are_found() -> None:
    two = [Heard("button", "Copy", ("A run",), 0), Heard("button", "Copy", (), 0)]
    assert faults([*two, Heard("heading", "Lab", (), 1), Heard("heading", "A run", (), 2)]) == []
    bad = [two[1], two[1], Heard("image", "", (), 0), Heard("heading", "A run", (), 2)]
    assert faults(bad) == [
        "image without a name", "2 × button 'Copy'", "heading 2 after 0", "no heading but the page's",
    ]  # fmt: skip


def unfold(page: Any, tab: str) -> None:
    """Open a tab and all that is folded away on it."""
    page.get_by_role("tab", name=tab, exact=True).click()
    page.get_by_role("tabpanel").filter(visible=True).first.wait_for()
    for name, inside in FOLDED.get(tab, ()):
        page.locator("button, summary").filter(has_text=name).first.click()
        page.locator(inside).first.wait_for()


@pytest.mark.slow
def test_a_screen_reader_hears_what_every_part_is(visit: Any, url: str) -> None:
    page = visit(url)
    page.locator(".pl-card").first.wait_for()
    page.get_by_text("ready", exact=False).first.wait_for()
    found = {}
    for tab in ("See it", "Learn", "Cascade", "Compare", "Inspect"):
        unfold(page, tab)
        if tab == "Learn":
            page.locator(".learn-answer").first.click()
            page.locator("#learn .pl-card").first.wait_for()
        found[tab] = faults(tree(page))
    assert found == {tab: [] for tab in found}
