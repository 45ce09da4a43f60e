"""A tab's status line: what is being done, what was done, and "Stopped." where Stop ended it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ..handlers import QUIET
from . import views


@dataclass(frozen=True)
class Status:
    """The line, and a state that says whether the work it tells of is still being done."""

    line: gr.HTML
    working: gr.State

    @property
    def parts(self) -> list[Any]:
        """The outputs of every handler that changes the status."""
        return [self.line, self.working]

    def progress(self, text: str) -> dict[Any, Any]:
        """The updates that tell of work still being done."""
        return self.showing(views.message(text), working=True)

    def finished(self, text: str) -> dict[Any, Any]:
        """The updates that tell of finished work."""
        return self.showing(views.message(text), working=False)

    def showing(self, html: str, *, working: bool) -> dict[Any, Any]:
        """The same with any HTML as the line."""
        return {self.line: html, self.working: working}

    def stopped(self, working: bool) -> Any:
        """Status after Stop; finished work keeps its own line."""
        return self.finished("Stopped.") if working else gr.skip()

    def stop_with(self, button: gr.Button, events: Sequence[Any]) -> None:
        """Make ``button`` cancel the events, and say so."""
        # Said afterwards, because the last step's own line may still be on its way.
        button.click(None, None, None, cancels=list(events), **QUIET).then(
            self.stopped, self.working, self.parts, **QUIET
        )


def create(elem_id: str, value: str = "", **look: Any) -> Status:
    """A status line at the place where this is called."""
    return Status(gr.HTML(value, elem_id=elem_id, **look), gr.State(False))
