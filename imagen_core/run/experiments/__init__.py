"""Experiments: several runs from the same noise. Command line, API and page drain these generators.

``compare``  runs in lockstep, one step of each at a time (lockstep.py).
``draw``     a Grid: one base run, varied in two settings (grids.py).
``sweep``    a Sweep: one super-resolution stage at several aug_levels (sweeps.py).

Continuing a recorded run with other settings is in branch.py.
"""

from .grids import (
    MOST_CELLS,
    VARIED,
    Cell,
    DrawnCell,
    Grid,
    PictureFacts,
    allowed_values,
    draw,
    guided_scales,
    make_grid,
    picture_facts,
    read_grid,
    save_grid,
    values_in,
    vary_base,
)
from .lockstep import Turn, Work, compare
from .sweeps import (
    MOST_LEVELS,
    SUGGESTED_LEVELS,
    LevelFacts,
    Sweep,
    SweptLevel,
    level_facts,
    level_label,
    levels_in,
    make_sweep,
    save_sweep,
    sweep,
)

__all__ = [
    "MOST_CELLS",
    "MOST_LEVELS",
    "SUGGESTED_LEVELS",
    "VARIED",
    "Cell",
    "DrawnCell",
    "Grid",
    "LevelFacts",
    "PictureFacts",
    "Sweep",
    "SweptLevel",
    "Turn",
    "Work",
    "allowed_values",
    "compare",
    "draw",
    "guided_scales",
    "level_facts",
    "level_label",
    "levels_in",
    "make_grid",
    "make_sweep",
    "picture_facts",
    "read_grid",
    "save_grid",
    "save_sweep",
    "sweep",
    "values_in",
    "vary_base",
]
