"""axe-core finds nothing to mend on any tab, light and dark, nor in a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.parts import examples

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
FINDINGS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ impact, id, nodes }) => [impact, id, ...nodes.map((node) => node.html.slice(0, 200))])"""
# What is folded away at first, by tab, and what shows that it has unfolded.
FOLDED = {
    "See it": (("More settings", "#steps"), ("Build a prompt", "#builder input"), ("More: the numbers", ".pl-micro")),
    "Cascade": (("A picture of your own", "#cascade-file button"),),
    "Inspect": (("From a program: the API", "#api .cm-content"), ("Another model", "#another .cm-content")),
}


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip("no axe-core here: npm install")
    return AXE.read_text(encoding="utf-8")


def findings(page: Any, axe: str) -> list[Any]:
    """What axe-core finds: impact, rule and elements of each."""
    page.evaluate(axe)
    return page.evaluate(FINDINGS)


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_on_any_tab(visit: Any, url: str, axe: str, theme: str) -> None:
    page = visit(f"{url}?__theme={theme}")
    page.locator(".pl-card").first.wait_for()
    page.get_by_text("ready", exact=False).first.wait_for()
    for tab in ("See it", "Learn", "Cascade", "Compare", "Inspect"):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.get_by_role("tabpanel").filter(visible=True).first.wait_for()
        if tab == "Learn":
            page.locator(".learn-answer").first.click()
            page.locator("#learn .pl-card").first.wait_for()
        for name, inside in FOLDED.get(tab, ()):
            page.locator("button, summary").filter(has_text=name).first.click()
            page.locator(inside).first.wait_for()
        assert findings(page, axe) == [], tab


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_in_a_report(visit: Any, axe: str, scheme: str) -> None:
    _, report = examples.opening()
    page = visit(report.as_uri(), color_scheme=scheme)
    page.locator(".pl-card").first.wait_for()
    assert findings(page, axe) == []
