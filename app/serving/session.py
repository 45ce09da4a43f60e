"""What one visitor has made: the last base runs, kept in that visitor's own state and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from imagen_core.records.frames import Frame
from imagen_core.settings import Request, with_stage
from imagen_core.types import UserError

# A run's pictures are small (0.2 MB for four under three rules); a longer list would be hard to choose from.
MOST_RUNS = 12
# In lists of the session's pictures, the key of See it's current settings.
NOW = "now"
# Larger runs (over 70 steps under three rules) keep no steps; Inspect samples them again.
MOST_BYTES = 32_000_000
# The steps of a run's first picture under each rule.
Frames = Mapping[str, Sequence[Frame]]


class HasPictures(Protocol):
    """A finished base run: its request, its steps, its recording's file, and each rule's pictures [b, 3, s, s].

    ``images`` are for people, ``onward`` for the next stage.
    """

    @property
    def request(self) -> Request: ...
    @property
    def images(self) -> dict[str, Any]: ...
    @property
    def onward(self) -> dict[str, Any]: ...
    @property
    def frames(self) -> Frames | None: ...
    @property
    def file(self) -> Path | None: ...


@dataclass(frozen=True, eq=False)
class PastRun:
    """A finished base run under its number in the session.

    ``frames``, its first picture's steps, are kept for an hour while it is the newest, and while they are among the
    last of all visitors (memory.py): 25 steps under three rules are 11 MB. Those of long runs are not (:func:`kept`).
    ``file``, its recording, is kept for an hour in any case.
    """

    number: int
    request: Request
    images: dict[str, Any]
    onward: dict[str, Any]
    frames: Frames | None = None
    file: Path | None = None

    @property
    def label(self) -> str:
        first, last = self.request.seeds[0], self.request.seeds[-1]
        return self._label(f"seed {first}" if first == last else f"seeds {first} to {last}")

    def label_of(self, index: int) -> str:
        """The label of one of its pictures, from 0."""
        several = self.request.count > 1
        return self._label(f"seed {self.request.seeds[index]}") + (f" · picture {index + 1}" if several else "")

    def _label(self, seeds: str) -> str:
        base, prompt = self.request.stages[0], " ".join(self.request.prompt.split())
        short = prompt if len(prompt) <= 36 else prompt[:35] + "…"
        return f"{self.number}: w {base.guidance:g}, {base.threshold}, {seeds} · {short}"


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a run, as a request that makes just this one, and the picture [1, 3, s, s].

    ``onward`` is what the next stage is given: the same, but for cascades that mark what people see.
    """

    request: Request
    image: Any
    onward: Any


Runs = tuple[PastRun, ...]


def kept(frames: dict[str, list[Frame]]) -> dict[str, list[Frame]] | None:
    """The steps if they are few enough to be kept for an hour, as a visitor's state is."""
    return frames if sum(frame.nbytes for track in frames.values() for frame in track) <= MOST_BYTES else None


def remember(finished: HasPictures | None, runs: Runs) -> Runs:
    """The session with one more run, the oldest forgotten."""
    if finished is None:
        return runs
    number = runs[-1].number + 1 if runs else 1
    older = (replace(run, frames=None) for run in runs)
    newest = PastRun(
        number=number,
        request=finished.request,
        images=finished.images,
        onward=finished.onward,
        frames=finished.frames,
        file=finished.file,
    )
    return (*older, newest)[-MOST_RUNS:]


def pictures(runs: Runs) -> list[tuple[str, str]]:
    """Labels and keys of all pictures of a session, newest run first, for a list to choose from."""
    return [(run.label_of(i), f"{run.number}.{i}") for run in reversed(runs) for i in range(run.request.count)]


def finished(runs: Runs) -> list[PastRun]:
    """The runs that have a picture under the chosen rule, newest first; a stopped run may have none."""
    return [run for run in reversed(runs) if run.request.stages[0].threshold in run.images]


def recordings(runs: Runs, most: int) -> list[Path]:
    """The recordings of a session's last runs that are still kept, oldest first."""
    return [run.file for run in runs if run.file is not None and run.file.is_file()][-most:]


def labels(runs: Runs) -> list[tuple[str, str]]:
    """Labels and keys of a session's runs, newest first."""
    return [(run.label, str(run.number)) for run in reversed(runs)]


def find(runs: Runs, key: Any) -> PastRun:
    """The run of a key that :func:`labels` or :func:`pictures` gave, if it is of this session.

    Raises:
        UserError: there is none.
    """
    number = str(key).partition(".")[0]
    for run in runs:
        if str(run.number) == number:
            return run
    raise UserError("run: choose one of this session's runs; older ones are forgotten")


def steps(runs: Runs, key: Any) -> Frames | None:
    """The kept steps of the picture of a key, if there are any; they stay while the caller has them."""
    if key == NOW or str(key).partition(".")[2] not in ("", "0"):
        return None
    return dict(find(runs, key).frames or {}) or None


def picture(runs: Runs, key: Any, rule: Any = None) -> Picture:
    """One picture of a run under ``rule``, or under the rule that the run kept.

    Raises:
        UserError: there is no such run, picture or rule.
    """
    run = find(runs, key)
    index = str(key).partition(".")[2] or "0"
    if not (index.isdecimal() and int(index) < run.request.count):
        raise UserError(f"picture: must be between 1 and {run.request.count}")
    rule = rule or run.request.stages[0].threshold
    if rule not in run.images:
        raise UserError(f"threshold: this run had {', '.join(run.images)}, got {rule!r:.60}")
    i = int(index)
    alone = replace(run.request.alone(i), stages=run.request.stages[:1])
    if rule != alone.stages[0].threshold:
        alone = with_stage(alone, alone.stages[0].size, threshold=rule)
    return Picture(request=alone, image=run.images[rule][i : i + 1], onward=run.onward[rule][i : i + 1])
