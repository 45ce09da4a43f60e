"""The tab Inspect: a run's numbers and files, what reproduces it, and the settings inside a PNG that was made here."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core.diffusion.saturation import BURNT
from imagen_core.models.cascade import Cascade
from imagen_core.records import png
from imagen_core.records.frames import Frame, to_trace
from imagen_core.run.experiments import compare
from imagen_core.settings import Request
from imagen_core.settings.text import flat, to_query
from imagen_core.types import StepRecord, UserError

from ..controls import Page, Updates, Values
from ..handlers import QUIET, STATUS_SECONDS, WAKING, engine, refusals, refuse, warn
from ..parts import expiry, exports, reproduce, status, take_away, tiles, views
from ..parts.side_by_side import requests_of
from ..parts.status import Status
from ..serving import session
from ..serving.pace import about
from ..serving.session import NOW

# A PNG of 1024 × 1024 takes 2 MB; one of 4096 × 4096, the largest that is read, could take 50.
MAX_PNG = 8_000_000
# What the table's columns are, in the order of their names.
COLUMNS = (
    "Before the rule: outside is the share of |x̂₀| > 1, largest is the largest |x̂₀|. "
    f"After it: burnt is the share of |x̂₀| > {BURNT}, colourfulness is the mean HSV saturation, contrast is the "
    "standard deviation of luma."
)
CONTROLS_NOW = ("The current settings on See it", NOW)
CLIENT = """from gradio_client import Client

client = Client("ADDRESS")
picture, facts = client.predict("a red ball on grass", 1, 256, api_name="/sample")
job = client.submit("a red ball on grass", api_name="/sweep_augmentation")
job.cancel()                     # stops within a step
client.view_api()                # every function, its arguments and defaults
"""
# The server does not know the address at which a visitor sees the page.
OWN_ADDRESS = "text => text.replace('ADDRESS', location.origin + location.pathname.replace(/\\/$/, ''))"
# How the host of this page opens another model; a visitor cannot, since it may take tens of gigabytes.
ANOTHER = """# The page of a cascade of this project, and of the shipped one beside it
python app.py --model FOLDER

# DeepFloyd IF, the open Imagen: accept its licence on its page at huggingface.co, set HF_TOKEN, then
pip install -r requirements-deepfloyd.txt
python -m imagen_core info --model DeepFloyd/IF-I-XL-v1.0      # what it needs, before anything is loaded
python app.py --model DeepFloyd/IF-I-XL-v1.0
"""


@dataclass(frozen=True)
class Inspect:
    """The tab's parts, and its handlers.

    ``size`` is how far ``link``, ``command`` and ``python`` go; ``inside`` shows the settings of a dropped picture, and
    ``dropped`` holds them as a request.
    """

    page: Page
    tab: gr.Tab
    run: gr.Dropdown
    go: gr.Button
    stop: gr.Button
    price: gr.HTML
    status: Status
    files: gr.File
    upload: gr.File
    inside: gr.HTML
    apply: gr.Button
    dropped: gr.State
    table: gr.HTML
    figures: gr.HTML
    size: gr.Radio
    link: gr.Code
    command: gr.Code
    python: gr.Code

    @property
    def inputs(self) -> set[Any]:
        """What says which run is looked at."""
        return {self.page.runs, self.run, *self.page.controls.components}

    @property
    def outputs(self) -> list[Any]:
        """What looking at a run changes."""
        return [*self.status.parts, self.table, self.figures, self.files]

    def request(self, values: Values) -> Request:
        """The request of the chosen picture, or of the controls; UserError where there is none."""
        key = values[self.run]
        if key == NOW:
            return self.page.controls.read(values)
        return session.picture(values[self.page.runs], key).request

    def look(self, values: Values) -> Iterator[Updates]:
        """Write all files of a run, from its kept steps or by running it again."""
        model = self.page.model
        with refusals():
            request = first_of(self.request(values))
            if not model.ready:
                yield self.status.progress("Loading the model …")
            cascade = model.get()
            requests = requests_of(request)
            kept, steps = request.stages[0].threshold, request.stages[0].steps
            frames = session.steps(values[self.page.runs], values[self.run])
            if frames is None:
                frames = yield from self.drawn_again(requests, cascade)
            caption = f"{steps} steps under {len(requests)} rules, first picture, seed {request.seed}. {COLUMNS}"
            table = {self.table: tiles.table([_short(row) for row in exports.rows(frames)], caption)}
            hidden = {self.figures: "", self.files: gr.File(visible=False)}
            yield {**self.status.progress("Writing the files …"), **table, **hidden}
            trace = to_trace(requests[kept], cascade, frames[kept])
            paths = take_away.save(frames, requests[kept], trace)
            yield {
                **self.status.finished(f"{len(paths)} files of this run."),
                **table,
                self.figures: "".join(take_away.figure(path) for path in paths if path.suffix == ".png"),
                self.files: gr.File([str(path) for path in paths], visible=True),
            }

    def drawn_again(
        self, requests: Mapping[str, Request], cascade: Cascade
    ) -> Generator[Updates, None, dict[str, list[Frame]]]:
        """Run the requests in lockstep; yields updates, and returns the steps of each."""
        frames: dict[str, list[Frame]] = {rule: [] for rule in requests}
        cleared = {self.table: "", self.figures: "", self.files: gr.File(visible=False)}
        work, last_update = partial(compare, list(requests.values())), 0.0
        for row in self.page.model.in_turn(work, cascade, *requests.values()):
            for rule, event in zip(requests, row):
                if isinstance(event, StepRecord):
                    frames[rule].append(Frame.of(event))
            if time.monotonic() - last_update > STATUS_SECONDS:
                last_update, first = time.monotonic(), next(iter(requests))
                steps = requests[first].stages[0].steps
                yield {**self.status.progress(f"Step {len(frames[first])} of {steps} …"), **cleared}
        return frames

    def recipe(self, values: Values) -> Updates:
        """What reproduces the chosen run: a link with every setting, command line and Python up to the chosen size."""
        model, size = self.page.model, values[self.size]
        try:
            whole = self.request(values)
            if values[self.run] != NOW:
                later = self.page.controls.read(values).stages[1:]
                whole = replace(whole, stages=(*whole.stages, *later))
            if size not in (sizes := self.page.controls.sizes):
                raise UserError(f"size: must be one of {', '.join(map(str, sizes))}, got {size!r:.60}")
            defaults = model.defaults
        except UserError as error:
            return {self.link: str(error), self.command: "", self.python: ""}
        request = replace(whole, stages=tuple(stage for stage in whole.stages if stage.size <= size))
        return {
            self.link: to_query(whole),
            self.command: reproduce.command_line(request, model.name, defaults),
            self.python: reproduce.snippet(request, model.name),
        }

    def cost(self, values: Values) -> str:
        """How long looking will take, and whether the run is repeated for it."""
        key = values[self.run]
        try:
            if session.steps(values[self.page.runs], key) is not None:
                return views.note(
                    "The steps of this run are kept. Its numbers come at once, its files take some seconds."
                )
            requests = requests_of(first_of(self.request(values)))
            seconds = self.page.model.pace.seconds(list(requests.values()))
        except UserError as error:
            return views.note(str(error), wrong=True)
        what = "These settings are run" if key == NOW else "The run is repeated with the same values"
        return views.note(f"{what}: {about(seconds)}.")

    def read_picture(self, path: Any) -> Updates:
        """The settings inside a PNG: what they are, the request, the Apply button."""
        if path is None:
            return self.read("", None)
        try:
            file = Path(path)
            if file.stat().st_size > MAX_PNG:
                raise UserError(f"picture: must be at most {MAX_PNG // 1_000_000} MB")
            data = file.read_bytes()
            request, warnings = png.read_settings(data)
        except UserError as error:
            warn(str(error), "Not this picture")
            return self.read(views.note(str(error), wrong=True), None)
        lines, model = views.few(warnings), self.page.model
        lines += filter(None, [png.origin(data), *views.elsewhere(request, self.page.controls.sizes)])
        weights = png.read_fact(data, "weights")
        if weights and model.ready and weights != model.get().digest:
            lines.append("made with other weights: the same settings draw another picture here")
        rows = [{"setting": name, "value": value} for name, value in flat(request).items()]
        notes = "".join(views.note(line, wrong=True) for line in lines)
        return self.read(notes + tiles.table(rows, "The settings inside", wide=("value",)), request)

    def read(self, inside: str, request: Request | None) -> Updates:
        """The updates with what a dropped picture holds."""
        return {self.inside: inside, self.dropped: request, self.apply: gr.Button(interactive=request is not None)}

    def restore(self, values: Values) -> Updates:
        """Set all tabs to the settings that were found in a picture, and show See it."""
        request = values[self.dropped]
        if request is None:
            raise refuse(UserError("picture: drop a PNG that was made here first"))
        # Settings of a picture of other sizes may not suit this page's.
        with refusals():
            updates = self.page.show(request, values[self.page.controls.more])
        gr.Info("All controls are set; press Generate to draw it again.", title="Settings restored", duration=4)
        return updates


def first_of(request: Request) -> Request:
    """The base run of a request's first picture."""
    return Request(request.prompt, request.seed, stages=request.stages[:1])


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "t"}


def api_help(names: Mapping[str, Callable[..., Any]]) -> str:
    """The API's functions and their first lines, as HTML."""
    lines = {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in names.items()}
    items = "".join(f"<li><code>/{escape(name)}</code> {escape(line)}</li>" for name, line in lines.items())
    return f'<ul class="lab-list">{items}</ul>'


def lay_out(page: Page, functions: Mapping[str, Callable[..., Any]]) -> Inspect:
    """Place the tab's parts; ``functions`` are the API's, none on a page without one."""
    with gr.Tab("Inspect", id="inspect", elem_id="tab-inspect") as tab:
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                looking = _run_parts()
            with gr.Column(scale=5, min_width=320):
                dropping = _picture_parts()
        table = gr.HTML(elem_id="inspect-table", apply_default_css=False)
        figures = gr.HTML(elem_id="inspect-figures")
        recipe = _recipe_parts(page.controls.sizes)
        if functions:
            with gr.Accordion("From a program: the API", open=False, elem_id="api"):
                gr.HTML(api_help(functions))
                program = gr.Code(CLIENT, language=None, label="gradio_client", interactive=False)
                page.demo.load(None, program, program, js=OWN_ADDRESS, **QUIET)
        with gr.Accordion("Another model", open=False, elem_id="another"):
            gr.Code(ANOTHER, language=None, label="On the machine that serves this page", interactive=False)
    return Inspect(page=page, tab=tab, table=table, figures=figures, **looking, **dropping, **recipe)


def _run_parts() -> dict[str, Any]:
    """The parts that look at a run, by their field."""
    gr.HTML('<h2 class="lab-h2">A run</h2>')
    run = gr.Dropdown([CONTROLS_NOW], value=NOW, label="Run of this session", interactive=True, elem_id="inspect-run")
    with gr.Row():
        go = gr.Button("Numbers and files", variant="primary", elem_id="inspect-go", scale=3)
        stop = gr.Button("Stop", variant="stop", elem_id="inspect-stop", scale=1, min_width=80)
    price = gr.HTML(elem_id="inspect-cost", elem_classes="lab-queue")
    line = status.create("inspect-status")
    files = gr.File(
        label="Files", file_count="multiple", interactive=False, visible=False, elem_id="inspect-files"
    )  # fmt: skip
    return {"run": run, "go": go, "stop": stop, "price": price, "status": line, "files": files}


def _picture_parts() -> dict[str, Any]:
    """The parts that read a picture, by their field."""
    gr.HTML('<h2 class="lab-h2">A picture made here</h2>')
    upload = gr.File(label="Drop a PNG to see its settings", file_types=[".png"], type="filepath", height=140,
                     elem_id="inspect-png")  # fmt: skip
    inside = gr.HTML(elem_id="inspect-inside", apply_default_css=False)
    apply = gr.Button("Apply these settings to all tabs", interactive=False, elem_id="inspect-apply")
    return {"upload": upload, "inside": inside, "apply": apply, "dropped": gr.State(None)}


def _recipe_parts(sizes: Sequence[int]) -> dict[str, Any]:
    """The parts that say what reproduces a run, by their field."""
    gr.HTML('<h2 class="lab-h2">Repeat the run</h2>')
    size = gr.Radio(list(sizes), value=sizes[0], label="Up to size", interactive=True,
                    elem_id="inspect-size")  # fmt: skip
    labels = {"link": "Link with all settings", "command": "Command line", "python": "Python"}
    # A read-only Textbox could not be reached from the keyboard, nor its text selected everywhere. Without a language,
    # because the colours of one are too pale for text.
    texts = {
        name: gr.Code(label=label, language=None, interactive=False, wrap_lines=True, lines=1, show_line_numbers=False,
                      elem_id=f"inspect-{name}")
        for name, label in labels.items()
    }  # fmt: skip
    return {"size": size, **texts}


def wire(inspect: Inspect) -> None:
    """Connect the tab's parts."""
    page, controls = inspect.page, inspect.page.controls
    looking = inspect.go.click(inspect.look, inspect.inputs, inspect.outputs, **engine(inspect.price))
    inspect.status.stop_with(inspect.stop, [looking])
    expiry.watch(inspect.files, [inspect.go])
    inspect.upload.change(
        inspect.read_picture, inspect.upload, [inspect.inside, inspect.dropped, inspect.apply], **WAKING
    )
    inspect.apply.click(inspect.restore, {inspect.dropped, controls.more}, [*controls.settable, page.tabs], **WAKING)
    for trigger in (inspect.run.change, inspect.size.change, inspect.tab.select):
        # The server does not know the address at which a visitor sees the page.
        trigger(
            inspect.recipe, {inspect.size, *inspect.inputs}, [inspect.link, inspect.command, inspect.python], **QUIET
        ).then(
            None, inspect.link, inspect.link, js="q => q.startsWith('?') ? location.origin + location.pathname + q : q",
            **QUIET,
        ).then(inspect.cost, inspect.inputs, inspect.price, **QUIET)  # fmt: skip
