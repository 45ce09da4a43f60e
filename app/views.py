"""Views: values of the engine → HTML, SVG and PNG. Nothing here knows gradio, and all user text is escaped."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagen_core.png import to_pil
from imagen_core.saturation import Saturation, measure
from imagen_core.tabletop import vocabulary
from imagen_core.types import StepRecord

# Each rule has a colour (Okabe & Ito), a dash pattern and a marker, so that none is told apart by hue alone.
STYLES = {
    "none": ("var(--lab-none)", "2 3", "circle"),
    "static": ("var(--lab-static)", "7 3", "square"),
    "dynamic": ("var(--lab-dynamic)", "", "triangle"),
}
OTHER = ("var(--lab-other)", "1 4 6 4", "diamond")
CAPTIONS = {
    "none": "x̂₀ as the network says it",
    "static": "clipped to [−1, 1]",
    "dynamic": "clipped to [−s, s], divided by s",
    "channelwise": "dynamic, each channel by its own s",
    "squash": "bent softly below 1",
}


@dataclass(frozen=True)
class Moment:
    """What one rule's run shows at one step: the first picture's statistics before and after thresholding."""

    step: int
    raw: Saturation
    kept: Saturation
    s: float


def moment(record: StepRecord) -> Moment:
    """The statistics of a step, for its first picture."""
    return Moment(
        record.index + 1,
        measure(record.out.x0_raw[:1]),
        measure(record.out.x0_hat[:1]),
        float(record.out.s[0]),
    )


def data_uri(images) -> str:
    """One to four pictures [b, 3, h, w] as one lossless PNG in a data link, two beside each other."""
    from PIL import Image

    side, columns = images.shape[-1], min(2, len(images))
    sheet = Image.new("RGB", (columns * side, -(-len(images) // columns) * side))
    for i, image in enumerate(images):
        sheet.paste(to_pil(image), (i % columns * side, i // columns * side))
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def stage_view(records: dict[str, StepRecord], history: Mapping[str, Sequence[Moment]], steps: int, chosen: str) -> str:
    """The three x̂0 panels, what the numbers say in a sentence, and their course over the steps."""
    panels = "".join(_panel(rule, record, history[rule][-1], rule == chosen) for rule, record in records.items())
    sentence = _sentence({rule: moments[-1] for rule, moments in history.items()}, steps)
    charts = _chart(
        "Share of values outside ±1, before thresholding",
        {rule: [float(m.raw.outside) for m in moments] for rule, moments in history.items()},
        steps,
        floor=0.0,
        percent=True,
    ) + _chart(
        "s, what dynamic thresholding divides by",
        {rule: [m.s for m in moments] for rule, moments in history.items()},
        steps,
        floor=1.0,
        percent=False,
    )
    return (
        f'<div class="lab-panels">{panels}</div>'
        f'<p class="lab-sentence" role="status">{sentence}</p><div class="lab-charts">{charts}</div>'
    )


def _panel(rule: str, record: StepRecord, now: Moment, chosen: bool) -> str:
    colour, _, marker = STYLES.get(rule, OTHER)
    facts = (
        f"burnt {float(now.kept.clipped):.1%} · saturation {float(now.kept.colourfulness):.2f} · "
        f"contrast {float(now.kept.contrast):.2f}"
    )
    picked = '<span class="lab-picked">kept</span>' if chosen else ""
    return (
        f'<figure class="lab-panel" style="--rule:{colour}"><figcaption><b>{_marker_svg(marker)} {rule}{picked}</b>'
        f"<span>{CAPTIONS.get(rule, '')}</span></figcaption>"
        f'<img src="{data_uri(record.out.x0_hat)}" alt="x̂0 at step {now.step} with threshold {rule}">'
        f'<div class="lab-facts">{facts}</div></figure>'
    )


def _sentence(now: dict[str, Moment], steps: int) -> str:
    step = next(iter(now.values())).step
    parts = [f"Step {step} of {steps}:"]
    if "none" in now:
        parts.append(f"without a rule {float(now['none'].raw.outside):.0%} of values lie outside ±1;")
    if "static" in now:
        parts.append(f"static flattens {float(now['static'].raw.outside):.0%} onto the edge;")
    if "dynamic" in now:
        s = now["dynamic"].s
        parts.append(f"dynamic divides by s = {s:.2f}." if s > 1 else "dynamic has nothing to divide by (s = 1).")
    return " ".join(parts)


def _marker_svg(kind: str) -> str:
    return f'<svg class="lab-mark" viewBox="-5 -5 10 10" aria-hidden="true">{_marker(kind, 0, 0, 3.6)}</svg>'


def _marker(kind: str, x: float, y: float, r: float) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'
    if kind == "diamond":
        d = 1.3 * r
        return f'<path d="M{x:.1f} {y - d:.1f}l{d:.1f} {d:.1f}l{-d:.1f} {d:.1f}l{-d:.1f} {-d:.1f}z"/>'
    if kind == "square":
        return f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}"/>'
    return f'<path d="M{x:.1f} {y - 1.2 * r:.1f}l{1.1 * r:.1f} {2 * r:.1f}h{-2.2 * r:.1f}z"/>'


def _chart(title: str, curves: dict[str, list[float]], steps: int, *, floor: float, percent: bool) -> str:
    """A small line chart: one curve a rule, x from the first to the last step."""
    width, height, left, bottom, top = 360.0, 150.0, 40.0, 22.0, 12.0
    most = max([floor + (0.05 if percent else 0.5), *(v for curve in curves.values() for v in curve)])
    label = (lambda v: f"{v:.0%}") if percent else (lambda v: f"{v:.1f}")

    def x(step: int) -> float:
        return left + (width - left - 10) * step / max(1, steps - 1)

    def y(value: float) -> float:
        return height - bottom - (height - bottom - top) * (value - floor) / (most - floor)

    lines = ""
    for value in (floor, (floor + most) / 2, most):
        lines += f'<line class="grid" x1="{left}" x2="{width - 10}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        lines += f'<text x="{left - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{label(value)}</text>'
    lines += f'<text x="{left}" y="{height - 6}">step 1</text>'
    lines += f'<text x="{width - 10}" y="{height - 6}" text-anchor="end">{steps}</text>'
    for rule, curve in curves.items():
        colour, dash, marker = STYLES.get(rule, OTHER)
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(curve))
        tip = _marker(marker, x(len(curve) - 1), y(curve[-1]), 3.4)
        line = f'<polyline points="{points}" stroke-dasharray="{dash}"/>'
        lines += f'<g style="stroke:{colour};fill:{colour}">{line}{tip}</g>'
    return (
        f'<figure class="lab-chart"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{title}">{lines}</svg></figure>'
    )


def words_note(prompt: str) -> str:
    """What the shipped model does not know of a prompt, and what it does know; empty if it knows every word."""
    unknown = vocabulary.unknown_words(prompt)
    if not unknown:
        return ""
    words = ", ".join(f"<b>{html.escape(word)}</b>" for word in unknown[:8])
    known = " · ".join(
        ", ".join(html.escape(phrases[0]) for phrases in concepts.values())
        for concepts in (vocabulary.SHAPES, vocabulary.COLOURS, vocabulary.FLOORS, vocabulary.LIGHTS)
    )
    return f'<p class="lab-words">Never seen in training: {words}. It knows: {known}.</p>'


def message(text: str) -> str:
    """A line of plain text for the viewer."""
    return f'<p class="lab-message" role="status">{html.escape(text)}</p>'


def welcome() -> str:
    """What stands in the viewer before the first run."""
    return (
        '<div class="lab-welcome"><p><b>Press Generate.</b> Three runs start from the same noise and differ in one '
        "thing only: what is done with the estimate x̂₀ when guidance pushes it out of the range [−1, 1].</p>"
        "<ul><li><b>none</b> leaves it: colours run away from step to step.</li>"
        "<li><b>static</b> clips to [−1, 1]: stable, but flat and over-saturated.</li>"
        "<li><b>dynamic</b> (Imagen) shrinks the whole picture back into range: natural colours, detail kept.</li></ul>"
        "<p>The larger the guidance weight w, the clearer the difference.</p></div>"
    )


def preview(images, caption: str) -> str:
    """The estimate of a super-resolution stage at work."""
    alt = html.escape(caption)
    return (
        f'<figure class="lab-preview"><img src="{data_uri(images)}" alt="{alt}"><figcaption>{alt}</figcaption></figure>'
    )


def note(text: str, *, wrong: bool = False) -> str:
    """A quiet line of plain text; a wrong one says what to change."""
    kind = "lab-note lab-wrong" if wrong else "lab-note"
    return f'<p class="{kind}" role="status">{html.escape(text)}</p>'
