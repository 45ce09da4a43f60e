"""The page: its theme, what stands above the tabs, the tabs, and the API."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core import settings
from imagen_core.settings import Request
from imagen_core.settings.text import from_query

from . import handlers
from .handlers import QUIET, WAKING
from .parts import player, shipped, tiles, views
from .serving import api, gate, session
from .serving.model import Model
from .tabs import cascade as cascade_tab
from .tabs import compare as compare_tab
from .tabs import inspect as inspect_tab
from .tabs import see

SYSTEM = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
THEME = gr.themes.Base(
    primary_hue="blue",
    neutral_hue="slate",
    font=SYSTEM,
    font_mono=MONO,
    radius_size=gr.themes.sizes.radius_md,
).set(
    button_primary_background_fill="#00507f",
    button_primary_background_fill_hover="#003f66",
    button_primary_background_fill_dark="#6cc0f2",
    button_primary_background_fill_hover_dark="#8fd0f7",
    button_primary_text_color="#ffffff",
    button_primary_text_color_dark="#0d1620",
    block_info_text_color="#4a5666",
    block_info_text_color_dark="#b3bfcc",
    block_label_text_color="#1b2430",
    block_label_text_color_dark="#e8edf3",
    block_title_text_color="#1b2430",
    block_title_text_color_dark="#e8edf3",
    body_text_color_subdued="#4a5666",
    body_text_color_subdued_dark="#b3bfcc",
    link_text_color="#00619a",
    link_text_color_dark="#6cc0f2",
    link_text_color_hover="#00507f",
    link_text_color_hover_dark="#8fd0f7",
    link_text_color_visited="#00619a",
    link_text_color_visited_dark="#6cc0f2",
    link_text_color_active="#00619a",
    link_text_color_active_dark="#6cc0f2",
    slider_color="#00507f",
    slider_color_dark="#6cc0f2",
    checkbox_background_color_selected="#00507f",
    checkbox_background_color_selected_dark="#00507f",
    checkbox_border_color_selected="#00507f",
    checkbox_border_color_selected_dark="#6cc0f2",
    input_placeholder_color="#5c6877",
    input_placeholder_color_dark="#a3afbc",
)
LAUNCH: dict[str, Any] = {
    "theme": THEME,
    "css": player.COLOURS,
    "css_paths": [Path(__file__).parent / "static" / "style.css", player.STYLE, tiles.STYLE],
    # Gradio confines css_paths to what lies within these margins.
    "head": "<style>.gradio-container .main.app { padding-top: .5rem; }"
    "@media (max-width: 720px) { .gradio-container .main.app { padding: .3rem .6rem; } }</style>",
    "ssr_mode": False,
    "run_history": False,
    "share": False,
    "footer_links": [],
    # The largest picture made here takes 3 MB.
    "max_file_size": inspect_tab.MAX_PNG,
}


def build(model: Model, *others: Model) -> gr.Blocks:
    """The whole page over a model with its API; each other model has the same page at an address of its own."""
    demo = gate.Page(title="Imagen Lab", analytics_enabled=False, delete_cache=(3600, 3600))
    with demo:
        if others:
            gr.Navbar(main_page_name=model.label)
        _page(model, demo)
        for name, function in api.functions(model).items():
            queued = {"concurrency_id": "engine", "concurrency_limit": 1} if name != "describe" else {"queue": False}
            gr.api(function, api_name=name, **queued)
    for other in others:
        with demo.route(other.label, other.slug):
            gr.Navbar(main_page_name=model.label)
            _page(other, demo)
    return demo.queue(max_size=32)


def _page(model: Model, demo: gr.Blocks) -> None:
    """What stands above the tabs, and the tabs."""
    status = gr.HTML(_head("starting …"))
    runs = gr.State((), time_to_live=3600)
    with gr.Tabs(selected="see", elem_id="tabs") as tabs:
        with gr.Tab("See it", id="see"):
            seen = see.build(model, demo)
        controls = list(seen.controls.values())
        with gr.Tab("Cascade", id="cascade") as cascade:
            twins = list(seen.augs)
            pictures, cascade_augs, price = cascade_tab.build(model, see.build_whole, controls, runs, twins)
            augs = list(cascade_augs)
        with gr.Tab("Compare", id="compare") as compare:
            grid, plan, pins, cost = compare_tab.build(model, see.build_request, controls, runs)
        with gr.Tab("Inspect", id="inspect") as inspect:
            chosen, apply, found, refresh = inspect_tab.build(model, _everything, [*controls, *augs], runs, api.PUBLIC)

    for event in seen.runs:
        event.success(session.remember, [seen.run, runs], runs, **QUIET).then(
            _lists, runs, [pictures, *pins, chosen], **QUIET
        )
    targets = [*controls, *twins, *augs]
    names = list(seen.controls)

    def follow(visit: gr.Request) -> list[Any]:
        """Set the controls to what the page's address asks for."""
        return _from_link(names, visit.query_params.multi_items())

    def open_cell(grid_plan: Any, more: Any, event: gr.EventData) -> list[Any]:
        """Run a cell of the grid on See it."""
        return _open(names, grid_plan, event._data.get("key") if isinstance(event._data, dict) else None, more)

    def suit(visit: gr.Request) -> list[Any]:
        """Set the controls to what suits a model that is not the shipped one, unless the address asks for something."""
        return _suited(model, names, visit.query_params)

    apply.click(partial(_apply, names), [found, seen.controls["more"]], [*targets, tabs], **WAKING)
    grid.click(open_cell, [plan, seen.controls["more"]], [*targets, tabs, seen.again], **WAKING)
    cascade.select(*price, **QUIET)
    compare.select(*cost, **QUIET)
    refresh(inspect.select)
    loaded = demo.load(partial(_status, model), None, status, show_progress="hidden", api_visibility="private")
    loaded.then(suit, None, targets, **WAKING)
    for levels in (seen.augs, cascade_augs):
        for size, (level, note) in zip(settings.DEFAULT_SIZES[1:], levels.items()):
            loaded.then(partial(views.aug_note, model, size), level, note, **QUIET)
    demo.load(follow, None, targets, **WAKING)


def _everything(*values: Any) -> Request:
    """See it's controls and the aug_level sliders as a request for all stages."""
    *controls, aug256, aug1024 = values
    request = see.build_whole(*controls)
    levels = dict(zip(settings.DEFAULT_SIZES[1:], (aug256, aug1024)))
    later = [replace(stage, aug_level=levels[stage.size]) for stage in request.stages[1:]]
    return replace(request, stages=(request.stages[0], *later))


def _lists(runs: session.Runs) -> tuple[Any, ...]:
    """The session's runs in every list to choose from, the newest chosen; pin A stays behind at the one before."""
    if not runs:
        return (gr.skip(),) * 4
    labels, pictures = session.labels(runs), session.pictures(runs)
    newest, before = str(runs[-1].number), str(runs[-2].number) if len(runs) > 1 else None
    return (
        gr.Dropdown([cascade_tab.CHOICE_NOW, *pictures], value=pictures[0][1]),
        gr.Dropdown(labels, value=before),
        gr.Dropdown(labels, value=newest),
        gr.Dropdown([inspect_tab.CONTROLS_NOW, *pictures], value=pictures[0][1]),
    )


def _values(names: list[str], request: Request, more: Any = "") -> list[Any]:
    """What sets the controls to a request: See it's by name, then both tabs' aug_level sliders.

    Of stages that the request lacks, the sliders stay as they are, and so does what ``more``, as on the page, says.
    """
    levels = {stage.size: stage.aug_level for stage in request.stages}
    sliders = [levels.get(size, gr.skip()) for size in settings.DEFAULT_SIZES[1:]]
    return [*see.controls_of(request, names, more), *sliders, *sliders]


def _apply(names: list[str], request: Request | None, more: Any) -> list[Any]:
    """Set all tabs to the settings that were found in a picture, and show See it."""
    if request is None:
        raise handlers.refuse(settings.UserError("picture: drop a PNG that was made here first"))
    gr.Info("All controls are set; press Generate to draw it again.", title="Settings restored", duration=4)
    return [*_values(names, request, more), gr.Tabs(selected="see")]


def _open(names: list[str], plan: Any, key: Any, more: Any) -> list[Any]:
    """Set all tabs to a cell of the grid, show See it, and run it there."""
    try:
        request = compare_tab.cell(plan, key)
    except settings.UserError as error:
        raise handlers.refuse(error) from None
    return [*_values(names, request, more), gr.Tabs(selected="see"), time.monotonic()]


def _suited(model: Model, names: list[str], query: Any) -> list[Any]:
    """What sets the controls to a model's own defaults."""
    nothing = [gr.skip()] * (len(names) + 4)
    if not model.ready or any(not key.startswith("__") for key in query):
        return nothing
    defaults = model.get().defaults
    if defaults == settings.DEFAULTS:
        return nothing
    stages = tuple(defaults.get(size, settings.DEFAULTS[size]) for size in settings.DEFAULT_SIZES)
    return _values(names, Request(shipped.OPENING.prompt, shipped.OPENING.seed, stages=stages))


def _from_link(names: list[str], query: Iterable[tuple[str, str]]) -> list[Any]:
    """Set the controls to what the page's address asks for; a bad address changes nothing and is told about."""
    try:
        asked = from_query(query, {"prompt": shipped.OPENING.prompt, "seed": shipped.OPENING.seed})
    except settings.UserError as error:
        handlers.warn(str(error), "The link was not followed")
        return [gr.skip()] * (len(names) + 4)
    if asked is None:
        return [gr.skip()] * (len(names) + 4)
    for warning in views.few(asked[1]):
        handlers.warn(warning, "In the link")
    return _values(names, asked[0])


def _head(state: str) -> str:
    return (
        '<header class="lab-head"><h1>Imagen Lab</h1>'
        "<p>How a sentence becomes a picture, and why x̂₀ must be thresholded.</p>"
        f'<span class="lab-status" role="status">{views.html.escape(state)}</span></header>'
    )


def _status(model: Model):
    """Start loading with the first visitor, and say when it is done."""
    model.start()
    if not model.ready:
        yield _head("loading the model …")
    try:
        cascade = model.get()
    except settings.UserError as error:
        yield _head(str(error))
        return
    guard = f" · {cascade.guard}" if cascade.guard else ""
    yield _head(f"{cascade.name} · {' → '.join(map(str, cascade.sizes))} · ready{guard}")
