"""What follows from a stage's settings before anything is drawn: its levels, weights, rules and cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from ..diffusion.denoiser import Rules
from ..diffusion.samplers import Sampler
from ..diffusion.schedules import levels, levels_at
from ..types import Level
from .ranges import TRAINED
from .stage import StageConfig


@dataclass(frozen=True)
class Plan:
    """A run of one stage, worked out; ``trained`` is the schedule that the stage was trained with (StageSpec.schedule).

    ``levels`` are the ``steps + 1`` levels that the stage visits, from noise to clean. Everything is a function of the
    settings and the schedule, and computed once.

    Raises:
        UserError: the settings give times that the schedule cannot tell apart.
    """

    config: StageConfig
    trained: str
    levels: tuple[Level, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        schedule = self.trained if self.config.schedule == TRAINED else self.config.schedule
        times = self.config.times
        path = levels_at(schedule, times) if times else levels(schedule, self.config.steps, self.config.spacing)
        object.__setattr__(self, "levels", path)

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """The guidance weight of each step."""
        weights: tuple[float, ...] = self.config.rule("w_schedule")(self.config.guidance, self.levels[:-1])
        return weights

    @cached_property
    def rules(self) -> Rules:
        """What is done with the network's predictions."""
        return Rules(self.config.entry("guidance_rule"), self.config.entry("threshold"))

    @cached_property
    def sampler(self) -> Sampler:
        """The sampler, its options bound."""
        sampler: Sampler = self.config.entry("sampler")
        return sampler

    @cached_property
    def evaluations(self) -> tuple[int, ...]:
        """Denoiser evaluations at each step."""
        return tuple(self.sampler.evaluations(now, next) for now, next in pairwise(self.levels))

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Network rows for one picture at each step; a guided evaluation takes two. All take about as long."""
        guide = self.rules.guide
        both = [guide.source != "classifier" and guide.needs_uncond(w) for w in self.weights]
        each = [1 + guided + (guide.further if guided else 0) for guided in both]
        return tuple(sum(each[i : i + often]) for i, often in enumerate(self.evaluations))
