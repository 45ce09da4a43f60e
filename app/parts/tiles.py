"""Pictures beside each other that zoom and pan together (``static/tiles``), and tables: values → escaped HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.records.png import to_pil

from .bundle import script

_FOLDER = Path(__file__).parents[1] / "static" / "tiles"
SCRIPT = script(_FOLDER / "main.js", "ImagenTiles")
STYLE = _FOLDER / "tiles.css"
# Noise hardly compresses: at this size its PNG would be 3 MB.
LARGE = 1024


def component(value: str = "", *, elem_id: str) -> gr.HTML:
    """A place for tiles; its value is what :func:`row` returns, several rows below each other."""
    return gr.HTML(
        value,
        html_template='<div class="tiles-place"></div>',
        js_on_load="ImagenTiles.mount(element, () => props.value, (changed) => watch('value', changed), trigger);",
        head=f"<script>{SCRIPT}</script>",
        apply_default_css=False,
        elem_id=elem_id,
    )


def row(tiles: Iterable[str], columns: int, *, plain: bool = False) -> str:
    """Tiles in rows of ``columns``; ``plain`` ones are too small to be zoomed."""
    mark = " data-plain" if plain else ""
    return f'<div class="tiles-row" style="--columns:{columns}"{mark}>{"".join(tiles)}</div>'


def tile(
    image: Any,
    title: str,
    facts: str = "",
    *,
    badges: Sequence[str] = (),
    key: str = "",
    noisy: bool = False,
    crop: bool = False,
) -> str:
    """One picture [3, h, w] in [-1, 1], or its data link, with its title and facts.

    With ``key`` also a button that says it was chosen; with ``crop`` also a part of it, enlarged.
    """
    alt = escape(f"{title}. {facts}")
    port = (
        f'<div class="tile-port" tabindex="0" role="group" aria-label="{alt}">'
        f'<img src="{uri(image, noisy=noisy)}" alt="{alt}" draggable="false"></div>'
    )
    return _figure(port, title, facts, badges, key, crop=crop)


def grid(tiles: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> str:
    """Tiles row by row under the headings of rows and columns; too small to be zoomed."""
    width = len(columns)
    heads = "".join(f'<div class="tiles-head">{escape(name)}</div>' for name in ("", *columns))
    lines = "".join(
        f'<div class="tiles-head">{escape(name)}</div>{"".join(tiles[i * width : (i + 1) * width])}'
        for i, name in enumerate(rows)
    )
    return f'<div class="tiles-row" style="--columns:{width}" data-plain data-heads>{heads}{lines}</div>'


def waiting(title: str, note: str) -> str:
    """The place of a picture that is not there yet."""
    return _figure(f'<div class="tile-empty">{escape(note)}</div>', title, "", (), "")


def _figure(port: str, title: str, facts: str, badges: Sequence[str], key: str, *, crop: bool = False) -> str:
    marks = "".join(f'<span class="lab-badge">{escape(badge)}</span>' for badge in badges)
    # The name begins with the words that are seen, and says which of many buttons this is.
    named = f'data-key="{escape(key)}" aria-label="Open in the player: {escape(title)}"'
    button = f'<div><button type="button" {named}>Open in the player</button></div>' if key else ""
    return (
        f'<figure class="tile"{" data-crop" * crop}>{port}<figcaption><b>{escape(title)}</b> {marks}'
        f"<div>{escape(facts)}</div>{button}</figcaption></figure>"
    )


def uri(image: Any, *, noisy: bool = False) -> str:
    """A picture [3, h, w] in a data link: lossless, but for large noise, which is there to be looked at.

    A data link stays as it is.
    """
    if isinstance(image, str):
        return escape(image)
    file = io.BytesIO()
    if noisy and image.shape[-1] >= LARGE:
        to_pil(image).save(file, format="JPEG", quality=88, subsampling=0)
        kind = "jpeg"
    else:
        to_pil(image).save(file, format="PNG", compress_level=3)
        kind = "png"
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()


def table(rows: Sequence[Mapping[str, Any]], caption: str, *, wide: Sequence[str] = ()) -> str:
    """Rows of equal keys as a table that scrolls by itself; every cell is escaped."""
    if not rows:
        return ""

    def cell(tag: str, name: str, value: Any, scope: str = "") -> str:
        kind = ' class="wide"' if name in wide else ""
        return f"<{tag}{scope}{kind}>{escape(text(value))}</{tag}>"

    head = "".join(cell("th", name, name, ' scope="col"') for name in rows[0])
    body = "".join(f"<tr>{''.join(cell('td', name, value) for name, value in line.items())}</tr>" for line in rows)
    return (
        f'<div class="lab-table" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def text(value: Any) -> str:
    """A cell's value for people: four digits of a number are enough, and rounding's last bits are nothing."""
    return f"{round(value, 9):.4g}" if isinstance(value, float) else str(value)
