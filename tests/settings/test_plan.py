"""A plan: what follows from settings and schedule, by step, before anything is drawn."""

from __future__ import annotations

import pytest

from imagen_core.diffusion.schedules import levels, levels_at
from imagen_core.settings import CHOICES, RULES, Plan, request
from imagen_core.types import UserError


def plan(trained: str = "cosine", **base: object) -> Plan:
    return Plan(request("x", **base).stages[0], trained)


def test_levels_are_those_of_the_trained_schedule_or_of_another_that_was_chosen() -> None:
    assert plan(steps=7).levels == levels("cosine", 7)
    assert plan("linear", steps=7).levels == levels("linear", 7)
    assert plan("linear", steps=7, schedule="cosine").levels == levels("cosine", 7)
    assert plan(times=(1.0, 0.4)).levels == levels_at("cosine", (1.0, 0.4))


def test_a_plan_that_exists_can_be_run() -> None:
    with pytest.raises(UserError, match="^times: "):
        plan("linear", times=(1.0, 0.5, 2e-6, 1e-6))
    with pytest.raises(UserError, match="^schedule: "):
        plan("sine")


@pytest.mark.parametrize(
    ("base", "rows"),
    [
        ({}, (2, 1, 1, 1)),
        ({"w_schedule": "constant"}, (2, 2, 2, 2)),
        ({"guidance": 1.0}, (1, 1, 1, 1)),
        # Heun's first step starts above its limit, its last ends at the clean picture: one evaluation each.
        ({"sampler": "heun", "w_schedule": "constant"}, (2, 4, 4, 2)),
        # The second evaluation of a step has the weight of the next level.
        ({"sampler": "heun", "w_schedule": "interval", "options": {"low": -1.0, "high": 1.0}}, (1, 3, 3, 1)),
        ({"guidance_rule": "classifier"}, (1, 1, 1, 1)),
        ({"guidance_rule": "cfgpp", "guidance": 1.0}, (2, 2, 2, 2)),
    ],
)
def test_rows_are_counted_for_each_step(base: dict, rows: tuple[int, ...]) -> None:
    made = plan(steps=4, **base)
    assert made.rows == rows and len(made.weights) == 4


def test_rules_and_sampler_have_their_options() -> None:
    made = plan(sampler="ddim", guidance_rule="rescale", percentile=95.0, options={"eta": 0.5, "phi": 0.1})
    assert made.sampler.fn.keywords == {"eta": 0.5} and made.sampler.renoises
    assert made.rules.guide.fn.keywords == {"phi": 0.1} and "phi" not in made.rules.guide.asks
    assert made.rules.threshold.fn.keywords == {"percentile": 95.0}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_says_what_it_is(name: str) -> None:
    titles = [entry.title for entry in CHOICES[name].values()]
    assert len(set(titles)) == len(titles)
    for entry in CHOICES[name].values():
        assert entry.help.endswith(".") and "\n" not in entry.help and len(entry.help) <= 120
    assert set(RULES) <= set(CHOICES)
