"""The page's layout: which controls there are, and which handler each one calls."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core import settings
from imagen_core.settings import CHOICES, CONVENTIONS, DEFAULTS, RANGES
from imagen_core.tabletop import vocabulary

from . import handlers, views
from .models import Model

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
    input_placeholder_color="#5c6877",
    input_placeholder_color_dark="#a3afbc",
)
LAUNCH: dict[str, Any] = {
    "theme": THEME,
    "css_paths": Path(__file__).with_name("style.css"),
    "ssr_mode": False,
    "run_history": False,
    "share": False,
    "footer_links": [],
    # The page takes no files; the route for them is gradio's.
    "max_file_size": "100kb",
}
EXAMPLES = (
    "a large red sphere to the left of a small blue cube on grass at sunset",
    "three small orange balls on a chessboard in daylight",
    "a big shiny purple sphere on marble at night",
    "a large yellow cone in front of a green cylinder on a wooden table at noon",
)

LATER = settings.DEFAULT_SIZES[1:]
ADVANCED = {"sampler": "Sampler", "spacing": "Spacing", "guidance_rule": "Guidance rule"}
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ENGINE: dict[str, Any] = {
    "show_progress": "hidden",
    "trigger_mode": "once",
    "concurrency_id": "engine",
    "concurrency_limit": 1,
    "api_visibility": "private",
}


def build(model: Model) -> gr.Blocks:
    """The whole page over one model."""
    base = DEFAULTS[64]
    with gr.Blocks(title="Imagen Lab", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        status = gr.HTML(_head("starting …"))
        finished = gr.State(None)
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                prompt = gr.Textbox(
                    EXAMPLES[0], label="Prompt", lines=2, max_lines=4, elem_id="prompt", max_length=settings.MAX_PROMPT
                )
                words = gr.HTML(elem_id="words", padding=False)
                gr.Examples([[example] for example in EXAMPLES], [prompt], label="Examples")
                w = _slider(
                    "guidance",
                    base.guidance,
                    "Guidance weight w",
                    "w = 1 is off; try 10",
                    step=0.25,
                    elem_id="guidance",
                )
                rule = gr.Radio(
                    list(CHOICES["threshold"]),
                    value=base.threshold,
                    label="Threshold rule to keep",
                    info="shown beside the paper's three; this one is upscaled",
                    elem_id="rule",
                )
                percentile = _slider("percentile", base.percentile, "Percentile", "of |x̂0|, sets dynamic's s", step=0.1)
                with gr.Row():
                    seed = gr.Number(1, label="Seed", precision=0, elem_id="seed", scale=3, min_width=120)
                    dice = gr.Button("New seed", elem_id="dice", scale=2, min_width=110)
                with gr.Row():
                    go = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
                    stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)
                with gr.Accordion("Build a prompt", open=False):
                    lists = _pick_lists()
                with gr.Accordion("Advanced", open=False):
                    count = _slider("count", 1, "Pictures", "from seed, seed + 1, …", step=1)
                    steps = _slider("steps", base.steps, "Steps", "network evaluations of the 64 × 64 stage", step=1)
                    choices = [
                        gr.Dropdown(list(CHOICES[name]), value=getattr(base, name), label=label, interactive=True)
                        for name, label in ADVANCED.items()
                    ]
                    convention = gr.Radio(list(CONVENTIONS), value="paper", label="Guidance convention",
                                          info="paper: w = 1 is off; ho: (1 + w), so 0 is off")  # fmt: skip
            with gr.Column(scale=9, min_width=340):
                viewer = gr.HTML(views.welcome(), elem_id="viewer")
                with gr.Row():
                    augs, notes = zip(*(_aug_controls(size) for size in LATER))
                with gr.Row():
                    ups = [
                        gr.Button(f"Upscale to {size}", interactive=False, elem_id=f"upscale-{size}") for size in LATER
                    ]
                preview = gr.HTML(elem_id="preview")
                gallery = gr.Gallery(
                    label="Pictures to keep (PNG, every setting inside)", format="png", columns=2, object_fit="contain",
                    height="auto", interactive=False, elem_id="gallery", buttons=["download", "fullscreen"],
                )  # fmt: skip

        controls = [prompt, w, rule, percentile, seed, convention, count, steps, *choices]
        running = gr.on(
            [go.click, prompt.submit],
            partial(handlers.generate, model),
            controls,
            [viewer, gallery, finished, *ups],
            **ENGINE,
        )
        upscaling = [
            button.click(
                partial(handlers.upscale, model, size),
                [finished, rule, *augs],
                [preview, gallery],
                **ENGINE,
            )
            for button, size in zip(ups, LATER)
        ]
        stop.click(None, None, None, cancels=[running, *upscaling], api_visibility="private")
        dice.click(handlers.roll, None, seed, **QUIET)
        prompt.change(views.words_note, prompt, words, trigger_mode="always_last", **QUIET)
        gr.on([item.input for item in lists], handlers.compose, lists, prompt, **QUIET)
        for size, level, note in zip(LATER, augs, notes):
            level.change(partial(_aug_html, size), level, note, **QUIET)
        demo.load(partial(_status, model), None, status, show_progress="hidden", api_visibility="private")
        gr.api(_sample_api(model), api_name="sample", concurrency_id="engine", concurrency_limit=1)
        gr.api(handlers.describe, api_name="describe", queue=False)
    return demo.queue(max_size=32)


def _slider(name: str, value: float, label: str, info: str, *, step: float, elem_id: str | None = None) -> gr.Slider:
    low, high = RANGES[name]
    return gr.Slider(low, high, value=value, step=step, label=label, info=info, interactive=True, elem_id=elem_id)


def _aug_controls(size: int) -> tuple[gr.Slider, gr.HTML]:
    with gr.Column(min_width=200):
        level = DEFAULTS[size].aug_level or 0.0
        label, info = f"aug_level of SR {size}", "noise on its input; best 0.1 to 0.3"
        slider = _slider("aug_level", level, label, info, step=0.01, elem_id=f"aug-{size}")
        return slider, gr.HTML(_aug_html(size, level))


def _aug_html(size: int, level: float) -> str:
    return f'<p class="lab-aug">{handlers.aug_note(size, level)}</p>'


def _pick_lists() -> list[gr.Dropdown]:
    """The builder: first words of every concept, with "nothing" where a part may be left out."""

    def pick(label: str, concepts: vocabulary.Concepts, value: str, *, optional: bool = True) -> gr.Dropdown:
        phrases = [phrases[0] for phrases in concepts.values()]
        choices = [("—", "")] * optional + [(phrase, phrase) for phrase in phrases]
        return gr.Dropdown(choices, value=value, label=label, interactive=True, min_width=110)

    v = vocabulary
    with gr.Row():
        first = [
            pick("Size", v.SIZES, "large"),
            pick("Material", v.MATERIALS, ""),
            pick("Colour", v.COLOURS, "red"),
            pick("Shape", v.SHAPES, "sphere", optional=False),
        ]
    with gr.Row():
        second = [
            pick("Relation", v.RELATIONS, "to the left of", optional=False),
            pick("Colour of the second", v.COLOURS, "blue"),
            pick("Second shape", v.SHAPES, ""),
        ]
    with gr.Row():
        place = [pick("Floor", v.FLOORS, "on grass"), pick("Light", v.LIGHTS, "at sunset")]
    return [*first, *second, *place]


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
    yield _head(f"{cascade.name} · {' → '.join(map(str, cascade.sizes))} · ready")


def _sample_api(model: Model):
    """The API's ``sample``: a plain function with typed arguments, for gradio_client."""

    # The annotation says what is yielded, which is what gradio reads from it.
    def sample(  # type: ignore[misc]
        prompt: str,
        seed: int = 0,
        size: int = 64,
        guidance: float = DEFAULTS[64].guidance,
        threshold: str = DEFAULTS[64].threshold,
        percentile: float = DEFAULTS[64].percentile,
        aug_level: float = DEFAULTS[256].aug_level or 0.0,
    ) -> gr.FileData:
        for path in handlers.sample(model, prompt, seed, size, guidance, threshold, percentile, aug_level):
            yield gr.FileData(path=path) if path else None

    sample.__doc__ = handlers.sample.__doc__
    return sample
