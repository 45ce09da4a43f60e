"""The tab Inspect: a run's numbers and files, what reproduces it, and the settings inside a PNG that was made here."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.diffusion.saturation import BURNT
from imagen_core.records import png, trace
from imagen_core.records.frames import Frame, to_trace
from imagen_core.run.experiments import compare
from imagen_core.settings import DEFAULT_SIZES, Request
from imagen_core.settings.text import flat, to_query
from imagen_core.types import StepRecord, UserError

from ..handlers import QUIET, STATUS_SECONDS, WAKING, engine, folder, refuse, stopped, warn
from ..parts import exports, reproduce, tiles, views
from ..serving import session
from ..serving.model import Model
from ..serving.pace import about
from ..serving.session import NOW, Build, Runs
from . import see

# A PNG of 1024 × 1024 takes 2 MB; one of 4096 × 4096, the largest that is read, could take 50.
MAX_PNG = 8_000_000
# What the table's columns are, in the order of their names.
COLUMNS = (
    "outside and largest: share of |x̂₀| > 1, and its largest value, before the rule; "
    f"burnt: share of |x̂₀| > {BURNT}; "
    "colourfulness: mean HSV saturation; contrast: deviation of luma; all after it."
)
CONTROLS_NOW = ("The settings on See it, as they are now", NOW)


def first_of(request: Request) -> Request:
    """The base run of a request's first picture."""
    return Request(request.prompt, request.seed, stages=request.stages[:1])


def asked(build_request: Build, runs: Runs, key: Any, controls: tuple[Any, ...]) -> Request:
    """The request of a chosen picture, or of the controls; raises UserError as they do."""
    return build_request(*controls) if key == NOW else session.picture(runs, key).request


def look(model: Model, build_request: Build, runs: Runs, key: Any, *controls: Any) -> Iterator[tuple[Any, ...]]:
    """Make everything that can be taken away, of the steps that are kept, or else of the same run drawn again.

    Yields (status, table, figures, files).
    """
    try:
        request = asked(build_request, runs, key, controls)
        if not model.ready:
            yield views.progress("Loading the model …"), gr.skip(), gr.skip(), gr.skip()
        cascade = model.get()
        requests = see.requests_of(first_of(request))
        kept, steps = request.stages[0].threshold, request.stages[0].steps
        frames = session.steps(runs, key)
        if frames is None:
            again: dict[str, list[Frame]] = {rule: [] for rule in requests}
            shown = 0.0
            for row in model.in_turn(compare(list(requests.values()), cascade), *requests.values()):
                for rule, event in zip(requests, row):
                    if isinstance(event, StepRecord):
                        again[rule].append(Frame.of(event))
                if time.monotonic() - shown > STATUS_SECONDS:
                    shown = time.monotonic()
                    yield views.progress(f"Step {len(again[kept])} of {steps} …"), "", "", gr.File(visible=False)
            frames = again
        caption = f"{steps} steps under {len(requests)} rules, first picture, seed {request.seed}. {COLUMNS}"
        table = tiles.table([_short(row) for row in exports.rows(frames)], caption)
        yield views.progress("Writing the files …"), table, "", gr.File(visible=False)
        made = take_away(frames, requests[kept], to_trace(requests[kept], cascade, frames[kept]))
        shown_figures = "".join(figure(path) for path in made if path.suffix == ".png")
        paths = gr.File([str(path) for path in made], visible=True)
        yield views.message(f"{len(made)} files, all of this run."), table, shown_figures, paths
    except UserError as error:
        raise refuse(error) from None


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "t"}


def take_away(frames: exports.Frames, request: Request, recorded: trace.Trace) -> list[Path]:
    """Everything a run can be taken home as: two figures as PNG and SVG, WebP, GIF, CSV and NPZ."""
    # Here, so that the page answers before matplotlib is there.
    from ..parts import figures

    place = folder()
    made = figures.save(figures.film_strip(frames, request), place, "film-strip")
    made += figures.save(figures.saturation_report(frames, request), place, "saturation")
    made += exports.animate(frames, place)
    numbers, steps = place / "steps.csv", place / "run.npz"
    numbers.write_text(exports.to_csv(frames), newline="")
    trace.save(recorded, steps)
    return [*made, numbers, steps]


def figure(path: Path) -> str:
    """A figure's PNG in HTML, described by its name."""
    data = base64.b64encode(path.read_bytes()).decode()
    name = path.stem.replace("-", " ")
    return f'<img class="lab-figure" alt="{escape(name)} of this run" src="data:image/png;base64,{data}">'


def recipe(model: Model, build_request: Build, runs: Runs, key: Any, size: Any, *controls: Any) -> tuple[str, str, str]:
    """What reproduces the chosen run: (the query of a link with every setting, command line and Python up to size)."""
    try:
        whole = asked(build_request, runs, key, controls)
        if key != NOW:
            whole = replace(whole, stages=(*whole.stages, *build_request(*controls).stages[1:]))
        if size not in DEFAULT_SIZES:
            raise UserError(f"size: must be one of {', '.join(map(str, DEFAULT_SIZES))}, got {size!r:.60}")
        defaults = model.defaults
    except UserError as error:
        return str(error), "", ""
    request = replace(whole, stages=tuple(stage for stage in whole.stages if stage.size <= size))
    command = reproduce.command_line(request, model.name, defaults)
    return to_query(whole), command, reproduce.snippet(request, model.name)


def cost(model: Model, build_request: Build, runs: Runs, key: Any, *controls: Any) -> str:
    """How long looking will take, and whether the run is repeated for it."""
    try:
        if session.steps(runs, key) is not None:
            return views.note(
                "Every step of this run is kept: its numbers are there at once, its files take some seconds."
            )
        requests = see.requests_of(first_of(asked(build_request, runs, key, controls)))
    except UserError as error:
        return views.note(str(error), wrong=True)
    seconds = model.pace.seconds(list(requests.values()))
    what = "These settings are run" if key == NOW else "The run is repeated, with the same values as before"
    return views.note(f"{what}: {about(seconds)}.")


def dropped(model: Model, path: Any) -> tuple[str, Any, Any]:
    """The settings inside a PNG: (what they are, the request, the Apply button)."""
    if path is None:
        return "", None, gr.Button(interactive=False)
    try:
        file = Path(path)
        if file.stat().st_size > MAX_PNG:
            raise UserError(f"picture: must be at most {MAX_PNG // 1_000_000} MB")
        data = file.read_bytes()
        request, warnings = png.read_settings(data)
    except UserError as error:
        warn(str(error), "Not this picture")
        return views.note(str(error), wrong=True), None, gr.Button(interactive=False)
    lines = views.few(warnings)
    weights = png.read_fact(data, "weights")
    if weights and model.ready and weights != model.get().digest:
        lines.append("made with other weights: the same settings draw another picture here")
    rows = [{"setting": name, "value": value} for name, value in flat(request).items()]
    notes = "".join(views.note(line, wrong=True) for line in lines)
    return notes + tiles.table(rows, "The settings inside", wide=("value",)), request, gr.Button(interactive=True)


def api_help(names: dict[str, Callable[..., Any]]) -> str:
    """The API's functions and their first lines, as HTML."""
    lines = {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in names.items()}
    items = "".join(f"<li><code>/{escape(name)}</code> {escape(line)}</li>" for name, line in lines.items())
    return f'<ul class="lab-list">{items}</ul>'


CLIENT = """from gradio_client import Client

client = Client("http://127.0.0.1:7860")
picture, facts = client.predict("a red ball on grass", 1, 256, api_name="/sample")
job = client.submit("a red ball on grass", api_name="/sweep_augmentation")
job.cancel()                     # stops within a step
client.view_api()                # every function, its arguments and defaults
"""


# How the host of this page opens another model; a visitor cannot, since it may take tens of gigabytes.
ANOTHER = """# The page of a cascade of this project, and of the shipped one beside it
python app.py --model FOLDER

# DeepFloyd IF, the open Imagen: accept its licence on its page at huggingface.co, set HF_TOKEN, then
pip install -r requirements-deepfloyd.txt
python -m imagen_core info --model DeepFloyd/IF-I-XL-v1.0      # what it needs, before anything is loaded
python app.py --model DeepFloyd/IF-I-XL-v1.0
"""


def build(
    model: Model, build_request: Build, controls: list[Any], runs: gr.State,
    functions: dict[str, Callable[..., Any]],
) -> tuple[Any, ...]:  # fmt: skip
    """Lay the tab out and wire it; returns the run list, Apply and the dropped request, and what refreshes."""
    found = gr.State(None, time_to_live=3600)
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            gr.HTML('<h2 class="lab-h2">A run</h2>')
            key = gr.Dropdown([CONTROLS_NOW], value=NOW, label="Run of this session", interactive=True,
                              elem_id="inspect-run")  # fmt: skip
            with gr.Row():
                go = gr.Button("Numbers and files", variant="primary", elem_id="inspect-go", scale=3)
                stop = gr.Button("Stop", variant="stop", elem_id="inspect-stop", scale=1, min_width=80)
            price = gr.HTML(elem_id="inspect-cost", elem_classes="lab-queue")
            status = gr.HTML(elem_id="inspect-status")
            files = gr.File(label="Files", file_count="multiple", interactive=False, visible=False,
                            elem_id="inspect-files")  # fmt: skip
        with gr.Column(scale=5, min_width=320):
            gr.HTML('<h2 class="lab-h2">A picture made here</h2>')
            upload = gr.File(label="Drop a PNG to see its settings", file_types=[".png"], type="filepath", height=140,
                             elem_id="inspect-png")  # fmt: skip
            inside = gr.HTML(elem_id="inspect-inside", apply_default_css=False)
            apply = gr.Button("Apply these settings to all tabs", interactive=False, elem_id="inspect-apply")
    table = gr.HTML(elem_id="inspect-table", apply_default_css=False)
    strips = gr.HTML(elem_id="inspect-figures")
    gr.HTML('<h2 class="lab-h2">The same run again</h2>')
    size = gr.Radio(list(DEFAULT_SIZES), value=DEFAULT_SIZES[0], label="Draw it up to", interactive=True,
                    elem_id="inspect-size")  # fmt: skip
    # A read-only Textbox could not be reached from the keyboard, nor its text selected everywhere. Without a language,
    # because the colours of one are too pale for text.
    address, command, code = (
        gr.Code(label=label, language=None, interactive=False, wrap_lines=True, lines=1, show_line_numbers=False,
                elem_id=f"inspect-{name}")
        for label, name in (("Link with every setting of all stages", "link"), ("Command line", "command"),
                            ("Python", "python"))
    )  # fmt: skip
    with gr.Accordion("From a program: the API", open=False):
        gr.HTML(api_help(functions))
        gr.Code(CLIENT, language=None, label="gradio_client", interactive=False)
    with gr.Accordion("Another model", open=False):
        gr.Code(ANOTHER, language=None, label="On the machine that serves this page", interactive=False)

    inputs = [runs, key, *controls]
    looking = go.click(partial(look, model, build_request), inputs, [status, table, strips, files],
                       **engine(price))  # fmt: skip
    # Said afterwards, because the last step's own line may still be on its way.
    stop.click(None, None, None, cancels=[looking], **QUIET).then(stopped, status, status, **QUIET)
    upload.change(partial(dropped, model), upload, [inside, found, apply], **WAKING)

    def refresh(trigger: Callable[..., Any]) -> None:
        """Bring recipe and price up to date at an event."""
        recipes = [runs, key, size, *controls]
        trigger(partial(recipe, model, build_request), recipes, [address, command, code], **QUIET).then(
            None, address, address, js="q => q.startsWith('?') ? location.origin + location.pathname + q : q",
            queue=False, show_progress="hidden", api_visibility="private",
        ).then(partial(cost, model, build_request), inputs, price, **QUIET)  # fmt: skip

    refresh(key.change)
    refresh(size.change)
    return key, apply, found, refresh
