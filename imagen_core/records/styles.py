"""How each threshold rule is drawn, in still figures and in the player alike: one place for both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A rule's colours, dash and marker; dash and marker differ too, so that no rule is told apart by hue alone.

    ``color`` is for figures on white paper (Okabe & Ito 2008). ``light`` and ``dark`` are for text on the page's light
    and dark background: the same hues at a contrast of at least 4.5. ``dash`` and ``marker`` are in matplotlib's
    notation, which app/static/player/styles.js translates to SVG.
    """

    color: str
    light: str
    dark: str
    dash: str
    marker: str

    @property
    def plot(self) -> dict[str, str]:
        """The style as keyword arguments of matplotlib's ``plot``."""
        return {"color": self.color, "linestyle": self.dash, "marker": self.marker}


STYLES = {
    "none": Style("#D55E00", light="#b84a00", dark="#ff9a52", dash=":", marker="o"),
    "static": Style("#0072B2", light="#00619a", dark="#6cc0f2", dash="--", marker="s"),
    "dynamic": Style("#009E73", light="#00795a", dark="#3fd0a4", dash="-", marker="^"),
}
# Every other rule.
OTHER = Style("#CC79A7", light="#8a3d74", dark="#e7a3cf", dash="-.", marker="D")
