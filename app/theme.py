"""How gradio's own parts look: fonts and colours, each readable on its background in light and dark."""

from __future__ import annotations

import gradio as gr

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
