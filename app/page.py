"""The page: its header, its tabs, the events between them, and the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from imagen_core import settings
from imagen_core.records.shipped import SHIPPED
from imagen_core.settings import DEFAULT_SIZES, Request
from imagen_core.settings.text import from_query

from . import api, controls, handlers
from .controls import Controls, Page
from .handlers import ENGINE, QUIET, WAKING
from .parts import examples, expiry, learning, links, player, tiles, views
from .parts.bundle import script
from .serving import gate, memory, session
from .serving.guard import Guard
from .serving.model import Model
from .serving.pages import Pages
from .tabs import cascade as cascade_tab
from .tabs import compare as compare_tab
from .tabs import inspect as inspect_tab
from .tabs import learn as learn_tab
from .tabs import see as see_tab
from .theme import THEME

LEAD = "See how text becomes a picture, and what stops strong guidance from burning it."
PAGE_SCRIPT = script(Path(__file__).parent / "static" / "page" / "main.js", "ImagenPage")
# The part of an address that hides parts of the page (static/page/hide.js).
HIDE = "hide"
LAUNCH: dict[str, Any] = {
    "theme": THEME,
    "css": player.COLOURS,
    "css_paths": [Path(__file__).parent / "static" / "style.css", player.STYLE, tiles.STYLE, learning.STYLE],
    # Gradio confines css_paths to what lies within these margins.
    "head": f"<script>{PAGE_SCRIPT}</script>"
    '<meta property="og:title" content="Imagen Lab">'
    f'<meta property="og:description" content="{LEAD}"><meta name="description" content="{LEAD}">'
    "<style>.gradio-container .main.app { padding-top: .5rem; } .gradio-container div.nav-holder { padding: 0; }"
    "@media (max-width: 720px) { .gradio-container .main.app { padding: .3rem .6rem; } }</style>",
    "favicon_path": Path(__file__).parent / "static" / "favicon.svg",
    "ssr_mode": False,
    "run_history": False,
    "share": False,
    "footer_links": [],
    "state_session_capacity": memory.MOST_SESSIONS,
    # The largest picture made here takes 3 MB.
    "max_file_size": inspect_tab.MAX_PNG,
    "app_kwargs": {
        "routes": [examples.ROUTE],
        "middleware": [
            Middleware(Pages),
            Middleware(
                Guard,
                scripts=(PAGE_SCRIPT, player.SCRIPT, learning.SCRIPT, tiles.SCRIPT, expiry.SCRIPT),
                most_upload=inspect_tab.MAX_PNG,
            ),
        ],
    },
}


def launching(*routes: Any) -> dict[str, Any]:
    """LAUNCH with more routes."""
    own = LAUNCH["app_kwargs"]
    return {**LAUNCH, "app_kwargs": {**own, "routes": [*own["routes"], *routes]}}


@dataclass(frozen=True)
class Tabs:
    """The tabs of a page, in their order."""

    see: see_tab.See
    learn: learn_tab.Learn
    cascade: cascade_tab.CascadeTab
    compare: compare_tab.Compare
    inspect: inspect_tab.Inspect


def build(model: Model, *others: Model, beside: bool = False) -> gate.Gate:
    """The page of a model, with its API; each other model has the same page at its own address.

    ``beside`` says whether the first has a page for the visitor's tab too (serving/beside.py).
    """
    demo = gate.Gate(
        title="Imagen Lab", analytics_enabled=False, delete_cache=(handlers.KEEP_SECONDS, handlers.KEEP_SECONDS)
    )
    with demo:
        if others:
            gr.Navbar(main_page_name=model.label)
        wire(lay_out(model, demo, beside))
        for name, function in api.functions(model).items():
            # Programs wait in line even for what is not queued, but not for each other.
            line = {name: ENGINE[name] for name in ("concurrency_id", "concurrency_limit")}
            queued = {"queue": False, "concurrency_limit": None} if name == "describe" else line
            gr.api(function, api_name=name, **queued)
    for other in others:
        with demo.route(other.label, other.slug):
            gr.Navbar(main_page_name=model.label)
            # Programs draw with the first model alone.
            wire(lay_out(other, demo, functions={}))
    return demo.queue()


def lay_out(
    model: Model, demo: gr.Blocks, beside: bool = False, functions: Mapping[str, Callable[..., Any]] = api.PUBLIC
) -> Tabs:
    """Place the header and the tabs; ``functions`` are those of the API that the page tells of."""
    status = gr.HTML(_head("starting …"))
    loaded = demo.load(partial(_status, model), None, status, show_progress="hidden", api_visibility="private")
    runs, opened = gr.State(()), gr.State(0)
    expiry.component()
    with gr.Tabs(selected="see", elem_id="tabs") as tabs:
        first = controls.create(examples.first_prompt(model.world), model.sizes)
        page = Page(model, first, runs=runs, opened=opened, tabs=tabs, demo=demo, loaded=loaded, beside=beside)
        return Tabs(
            see=see_tab.lay_out(page),
            learn=learn_tab.lay_out(page),
            cascade=cascade_tab.lay_out(page),
            compare=compare_tab.lay_out(page),
            inspect=inspect_tab.lay_out(page, functions),
        )


def wire(tabs: Tabs) -> None:
    """Connect the tabs' parts, the tabs with each other, and the page's address with the controls."""
    page = tabs.see.page
    running = see_tab.wire(tabs.see)
    learn_tab.wire(tabs.learn)
    cascade_tab.wire(tabs.cascade)
    compare_tab.wire(tabs.compare)
    inspect_tab.wire(tabs.inspect)
    lists = [tabs.cascade.base, tabs.compare.history, *tabs.compare.pins, tabs.inspect.run]
    for event in running:
        event.success(session.remember, [tabs.see.run, page.runs], page.runs, **QUIET).then(
            partial(_lists, tabs), page.runs, lists, **QUIET
        )

    def follow(visit: gr.Request) -> Any:
        """Show what the page's address asks for."""
        pairs = [pair for pair in visit.query_params.multi_items() if pair[0] != HIDE]
        return from_link(page.model, page.controls, page.tabs, pairs)

    def suit(visit: gr.Request) -> Any:
        """Set the controls to what suits a model that is not the shipped one, unless the address asks for something."""
        return suited(page.model, page.controls, [key for key in visit.query_params if key != HIDE])

    page.loaded.then(suit, None, page.controls.settable, **WAKING)
    page.demo.load(follow, None, [*page.controls.settable, page.tabs], **WAKING)
    # What the browser remembers stays in the browser: these two events have no handler on the server.
    kept = page.controls.ordered
    page.demo.load(
        None, kept, kept, js="(...values) => globalThis.ImagenPage?.memory.settings(values) ?? values", **QUIET
    )
    keep = "(...values) => { globalThis.ImagenPage?.memory.keep(values); return []; }"
    gr.on([control.change for control in kept], None, kept, None, js=keep, **QUIET)


def _lists(tabs: Tabs, runs: session.Runs) -> Any:
    """The updates of every list of runs: the newest is chosen; pin A gets the run before it."""
    if not runs:
        return gr.skip()
    labels, pictures = session.labels(runs), session.pictures(runs)
    newest, before = str(runs[-1].number), str(runs[-2].number) if len(runs) > 1 else None
    a, b = tabs.compare.pins
    return {
        tabs.compare.history: _thumbnails(runs, tabs.see.page.model.get().digest),
        tabs.cascade.base: gr.Dropdown([cascade_tab.CHOICE_NOW, *pictures], value=pictures[0][1]),
        a: gr.Dropdown(labels, value=before),
        b: gr.Dropdown(labels, value=newest),
        tabs.inspect.run: gr.Dropdown([inspect_tab.CONTROLS_NOW, *pictures], value=pictures[0][1]),
    }


def _thumbnails(runs: session.Runs, weights: str) -> list[tuple[str, str]]:
    """The first picture of each finished run as a file with its label, newest first."""
    firsts = [(run, run.images[run.request.stages[0].threshold][:1]) for run in session.finished(runs)]
    return [(handlers.files(image, run.request, weights)[0][0], run.label) for run, image in firsts]


def suited(model: Model, controls: Controls, query: Iterable[str]) -> Any:
    """The updates that set the controls to a model's own defaults; ``query`` are the names in the page's address."""
    if not model.ready or any(not key.startswith("__") for key in query):
        return gr.skip()
    defaults = {size: stage for size, stage in model.get().defaults.items() if size in controls.sizes}
    if defaults == controls.defaults:
        return gr.skip()
    stages = tuple(defaults.values())
    return controls.updates(Request(examples.first_prompt(model.world), examples.OPENING.seed, stages=stages))


def from_link(model: Model, controls: Controls, tabs: gr.Tabs, query: Iterable[tuple[str, str]]) -> Any:
    """The updates that set the controls to what a link asks for, and open a lesson's tab.

    A bad link changes nothing and shows a warning. See it shows the run that a link names (see.opening).
    """
    try:
        shown, pairs = links.read(query)
        # A link with all settings has a format, and names its sizes unless they are the usual ones.
        whole = any(key == "format" for key, _ in pairs)
        own = {"seed": examples.OPENING.seed, "sizes": DEFAULT_SIZES if whole else controls.sizes}
        linked = from_query(pairs, {"prompt": examples.first_prompt(model.world), **own})
        set_to = {} if linked is None else controls.updates(linked[0])
    except settings.UserError as error:
        handlers.warn(str(error), "The link was not followed")
        return gr.skip()
    updates: dict[Any, Any] = {}
    if shown is not None and shown.run is not None:
        updates = controls.updates(SHIPPED[shown.run][1])
    elif shown is not None:
        updates = {tabs: gr.Tabs(selected="learn")}
    if linked is not None:
        request, warnings = linked
        for warning in (*views.few(warnings), *views.elsewhere(request, controls.sizes)):
            handlers.warn(warning, "In the link")
        updates |= set_to
    return updates or gr.skip()


def _head(state: str) -> str:
    return (
        '<header class="lab-head"><h1>Imagen Lab</h1>'
        f"<p>{LEAD}</p>"
        f'<span class="lab-status" role="status">{views.html.escape(state)}</span></header>'
    )


def _status(model: Model):
    """Load the model when the first visitor comes; yields the header while it loads and when it is ready."""
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
