"""The page: its theme, what stands above the tabs, the tabs, and the API."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from imagen_core import settings
from imagen_core.settings import DEFAULTS

from . import handlers, player, see, views
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
    "css_paths": [Path(__file__).with_name("style.css"), player.STYLE],
    "ssr_mode": False,
    "run_history": False,
    "share": False,
    "footer_links": [],
    # The page takes no files; the route for them is gradio's.
    "max_file_size": "100kb",
}


def build(model: Model) -> gr.Blocks:
    """The whole page over one model: what stands above the tabs, the tabs, and the API."""
    with gr.Blocks(title="Imagen Lab", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        status = gr.HTML(_head("starting …"))
        with gr.Tabs(), gr.Tab("See it", id="see"):
            see.build(model, demo)
        demo.load(partial(_status, model), None, status, show_progress="hidden", api_visibility="private")
        gr.api(_sample_api(model), api_name="sample", concurrency_id="engine", concurrency_limit=1)
        gr.api(handlers.describe, api_name="describe", queue=False)
    return demo.queue(max_size=32)


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
