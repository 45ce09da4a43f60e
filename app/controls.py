"""The settings that a visitor can change: gradio components by name, read as a request and set to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import gradio as gr

from imagen_core import settings
from imagen_core.settings import (
    CHOICES,
    CONVENTIONS,
    DEFAULT_SIZES,
    KEPT_OPTIONS,
    RANGES,
    RULES,
    STAGE_FIELDS,
    Request,
    StageConfig,
    defaults_at,
)
from imagen_core.settings.text import RUN_FIELDS, flat, of_absent_stages, read, rest, with_more, write
from imagen_core.types import UserError

from .parts import examples
from .serving.model import Model

# What gradio hands to a handler whose inputs are a set: each component's value.
Values = Mapping[Any, Any]
# What a handler returns to gradio: new values of some of its outputs.
Updates = dict[Any, Any]
# The browser sends 7 as 7.0.
WHOLE = ("seed", "count", "steps")
# The slider of the weight under each convention: its name, and what its values mean.
WEIGHT = {
    "paper": ("Guidance weight w", "1 is off, 5 usual, 20 strong"),
    "ho": ("Guidance weight w − 1 (Ho)", "0 is off, 4 usual, 11 strong"),
}
# The dropdowns of few visitors, by their setting. Each explains its chosen entry.
ADVANCED = {
    "sampler": "Sampler",
    "spacing": "Spacing",
    "schedule": "Noise schedule",
    "guidance_rule": "Guidance rule",
    "w_schedule": "When to guide",
}


@dataclass(frozen=True)
class Controls:
    """The controls of a run. Those named as a setting hold that setting of the run or of its base stage.

    ``aug_levels`` are See it's sliders of the later stages by size, ``aug_twins`` the Cascade tab's, which show the
    same values. ``defaults`` are DEFAULTS at the sizes of the page's cascade.
    """

    prompt: gr.Textbox
    guidance: gr.Slider
    threshold: gr.Radio
    percentile: gr.Slider
    seed: gr.Number
    convention: gr.Radio
    count: gr.Slider
    steps: gr.Slider
    cap: gr.Textbox
    sampler: gr.Dropdown
    spacing: gr.Dropdown
    schedule: gr.Dropdown
    guidance_rule: gr.Dropdown
    w_schedule: gr.Dropdown
    more: gr.Textbox
    aug_levels: Mapping[int, gr.Slider]
    aug_twins: Mapping[int, gr.Slider]
    defaults: Mapping[int, StageConfig]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the pictures that the page offers, the smallest first."""
        return tuple(self.defaults)

    @property
    def later(self) -> tuple[int, ...]:
        """Those of the super-resolution stages."""
        return self.sizes[1:]

    @property
    def elsewhere(self) -> dict[str, str]:
        """Settings that the field "Other settings" refuses, and where they are set instead."""
        own = (f"{stage.name}.aug_level" for stage in self.defaults.values() if not stage.is_base)
        return dict.fromkeys(("aug_level", *own), "its slider")

    @property
    def by_setting(self) -> dict[str, Any]:
        """The controls that hold one setting each, by its flat name (settings/text.py)."""
        names = (field.name for field in fields(self))
        return {name: getattr(self, name) for name in names if name in {*RUN_FIELDS, *STAGE_FIELDS, *KEPT_OPTIONS}}

    @property
    def components(self) -> set[Any]:
        """Everything that :meth:`read` needs: the inputs of a handler that makes a request."""
        own = {self.convention, self.cap, self.more}
        return {*self.by_setting.values(), *own, *self.aug_levels.values()}

    @property
    def ordered(self) -> list[Any]:
        """As :attr:`settable`, always in the same order: a browser remembers the values by their place."""
        names = [field.name for field in fields(self)]
        single = [getattr(self, name) for name in names if not name.startswith("aug_") and name != "defaults"]
        return [*single, *self.aug_levels.values(), *self.aug_twins.values()]

    @property
    def settable(self) -> list[Any]:
        """Everything that :meth:`updates` may set: the outputs of such a handler."""
        return [*self.components, *self.aug_twins.values()]

    def read(self, values: Values, size: int | None = None) -> Request:
        """The request for the stages up to ``size``; for all without it.

        Raises:
            UserError: a value is of the wrong kind or out of range; the message names the setting.
        """
        given = {name: values[control] for name, control in self.by_setting.items()}
        given |= {name: _whole(given[name]) for name in WHOLE}
        if given["prompt"] in (None, ""):
            raise UserError("Write a prompt first.")
        cap = values[self.cap]
        # Rules without a cap ignore this field.
        capped = isinstance(cap, str) and cap.strip() and has_cap(given["threshold"])
        options = {"cap": read("cap", cap)} if capped else {}
        more = {"convention": values[self.convention], "options": options, "defaults": self.defaults}
        base = settings.request(**given, **more)
        whole = with_more(base, values[self.more], elsewhere=self.elsewhere, defaults=self.defaults)
        # A cascade of the shipped sizes may lack the later stages.
        made = [own for own in self.sizes if size is None or own <= size]
        first, *later = (stage for stage in whole.stages if stage.size in made)
        levels = {stage.size: values[self.aug_levels[stage.size]] for stage in later}
        return replace(whole, stages=(first, *(replace(stage, aug_level=levels[stage.size]) for stage in later)))

    def updates(self, request: Request, more: Any = "") -> Updates:
        """The updates that set the controls to a request, so that :meth:`read` returns it.

        Settings of stages absent from the request are left unchanged, including those in ``more``, the current
        text of "Other settings". A request of other sizes sets the stages in the same places.
        """
        request = settings.placed(request, self.sizes)
        settings_of = flat(request)
        levels = {stage.size: stage.aug_level for stage in request.stages[1:]}
        sliders = {
            slider: levels[size]
            for sliders in (self.aug_levels, self.aug_twins)
            for size, slider in sliders.items()
            if size in levels
        }
        elsewhere = {*self.by_setting, "cap", *(f"{stage.name}.aug_level" for stage in request.stages)}
        others = f"{rest(request, elsewhere)} {of_absent_stages(more, request)}".strip()
        own = {self.convention: "paper", self.cap: write(settings_of.get("cap", "")), self.more: others}
        return {**{control: settings_of[name] for name, control in self.by_setting.items()}, **own, **sliders}


@dataclass(frozen=True)
class Page:
    """What every tab is handed.

    ``runs`` holds the visitor's finished runs (session.Runs), ``tabs`` the row of tabs; ``opened`` counts the runs that
    another tab has asked for: a new count makes See it run its controls. ``loaded`` is the event after which the model
    is there. ``beside`` says whether a page that computes in the visitor's tab lies beside this one.
    """

    model: Model
    controls: Controls
    runs: gr.State
    opened: gr.State
    tabs: gr.Tabs
    demo: gr.Blocks
    loaded: Any
    beside: bool = False

    def show(self, request: Request, more: Any) -> Updates:
        """The updates that set all controls to a request, and open See it."""
        return {**self.controls.updates(request, more), self.tabs: gr.Tabs(selected="see")}


def create(first_prompt: str = examples.OPENING.prompt, sizes: tuple[int, ...] = DEFAULT_SIZES) -> Controls:
    """All controls at the settings that the page opens with; each tab places its own with ``render()``."""
    defaults = defaults_at(sizes)
    opening = examples.OPENING
    first = opening.stages[0]
    prompt = gr.Textbox(
        first_prompt, label="Prompt", lines=1, max_lines=4, elem_id="prompt", max_length=settings.MAX_PROMPT,
        render=False,
    )  # fmt: skip
    guidance = slider("guidance", first.guidance, *WEIGHT["paper"], step=0.25, elem_id="guidance")
    threshold = gr.Radio(
        list(CHOICES["threshold"]), value=first.threshold,
        label="Which picture to enlarge" if sizes[1:] else "Which picture to save",
        info="other rules: under More settings", elem_id="rule", render=False,
    )  # fmt: skip
    percentile = slider(
        "percentile", first.percentile, "Percentile", "of |x̂₀|; dynamic divides by it", step=0.1, elem_id="percentile"
    )
    seed = gr.Number(opening.seed, label="Seed", step=1, elem_id="seed", scale=3, min_width=120, render=False)
    return Controls(
        prompt=prompt, guidance=guidance, threshold=threshold, percentile=percentile, seed=seed,
        **_advanced(sizes), defaults=defaults,
        aug_levels={size: aug_slider(defaults[size], f"aug-{size}") for size in sizes[1:]},
        aug_twins={size: aug_slider(defaults[size], f"cascade-aug-{size}") for size in sizes[1:]},
    )  # fmt: skip


def _advanced(sizes: tuple[int, ...]) -> dict[str, Any]:
    """The controls that few visitors need, by their field."""
    base, *later = defaults_at(sizes).values()
    named = f"{later[0].name}." if later else ""
    convention = gr.Radio(
        list(CONVENTIONS), value="paper", label="Guidance convention",
        info="paper: w = 1 is off; ho: 1 + w, so 0 is off", render=False,
    )  # fmt: skip
    count = slider("count", 1, "Pictures", "with the seeds seed, seed + 1, …", step=1)
    steps = slider("steps", base.steps, "Steps", f"of the {base.size} × {base.size} stage", step=1, elem_id="steps")
    cap = gr.Textbox(
        "", label="Cap on s", info="largest s of dynamic and channelwise; empty: no cap", interactive=True,
        max_length=12, elem_id="cap", render=False,
    )  # fmt: skip
    choices = {
        name: gr.Dropdown([(entry.title, choice) for choice, entry in CHOICES[name].items()], value=getattr(base, name),
                          label=label, info=CHOICES[name][getattr(base, name)].help, interactive=True, render=False)
        for name, label in ADVANCED.items()
    }  # fmt: skip
    more = gr.Textbox(
        "", label="Other settings", info=f"as in a link: gamma=0.3 {named}steps=20", interactive=True,
        max_length=2000, elem_id="more-settings", render=False,
    )  # fmt: skip
    return {"convention": convention, "count": count, "steps": steps, "cap": cap, **choices, "more": more}


def slider(name: str, value: float, label: str, info: str, *, step: float, elem_id: str | None = None) -> gr.Slider:
    """A slider over a setting's allowed range, to be placed with ``render()``."""
    low, high = RANGES[name]
    return gr.Slider(
        low, high, value=value, step=step, label=label, info=info, interactive=True, elem_id=elem_id, render=False
    )


def aug_slider(stage: StageConfig, elem_id: str) -> gr.Slider:
    """The slider of a super-resolution stage's aug_level, at its default."""
    label, info = f"aug_level of SR {stage.size}", "noise on its input; 0.1 to 0.3 was best in the paper"
    return slider("aug_level", stage.aug_level or 0.0, label, info, step=0.01, elem_id=elem_id)


def weight_named(convention: Any) -> Any:
    """The update of the weight's slider that names it as the convention reads it."""
    label, info = WEIGHT.get(str(convention), WEIGHT["paper"])
    return gr.Slider(label=label, info=info)


def explained(name: str, choice: str) -> Any:
    """The update of a setting's dropdown that explains the chosen entry."""
    return gr.Dropdown(info=CHOICES[name][choice].help)


def has_cap(rule: Any) -> bool:
    """Whether a threshold rule takes a cap on s."""
    known = isinstance(rule, str) and rule in RULES["threshold"]
    return known and "cap" in settings.hyper_parameters(RULES["threshold"][rule])


def _whole(value: Any) -> Any:
    """The browser's 7.0 as 7; the request refuses anything else that is wrong."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
