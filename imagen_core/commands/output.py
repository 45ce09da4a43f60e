"""What the verbs that draw pictures write: pictures, warnings and progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..files.writing import check_output
from ..models.cascade import Cascade
from ..settings import Request
from ..types import StageResult, StepRecord
from ..worlds.world import unknown_words


def output_files(path: Path, count: int) -> list[Path]:
    """Where ``count`` pictures go: x.png, or x-1.png, x-2.png, …; UserError if one cannot be written."""
    files = [path] if count == 1 else [path.with_stem(f"{path.stem}-{i + 1}") for i in range(count)]
    for file in files:
        check_output(file, ".png")
    return files


def save_pictures(
    events: Iterable[Any], files: list[Path], request: Request, cascade: Cascade, **origin: str
) -> dict[str, Any]:
    """Drain a run and write its last pictures; returns the facts of the run. ``origin`` as in png.ORIGINS."""
    from ..records import png

    results = [event for event in events if isinstance(event, StageResult)]
    for index, (file, image) in enumerate(zip(files, results[-1].image)):
        png.save(image, file, request, index, weights=cascade.digest, **origin)
    seconds = {result.stage: round(result.seconds, 3) for result in results}
    facts = {"files": [str(file) for file in files], "seeds": list(request.seeds), "seconds": seconds}
    return {**facts, **guard_facts(cascade, results[-1].withheld)}


def guard_facts(cascade: Cascade, withheld: Iterable[bool]) -> dict[str, Any]:
    """What a model's safety checker and watermark did, if it has any."""
    return {"guard": cascade.guard, "withheld": list(withheld)} if cascade.guard else {}


def with_progress(events: Iterable[Any], requests: Iterable[Request], *, skipped: int = 0) -> Iterator[Any]:
    """Pass events on; a bar on standard error counts the steps of ``requests``, without those that are ``skipped``."""
    from tqdm import tqdm

    steps = sum(stage.steps for request in requests for stage in request.stages) - skipped
    with tqdm(total=steps, unit="step", disable=not sys.stderr.isatty()) as bar:
        for event in events:
            yield event
            first = event[0] if isinstance(event, tuple) else event
            bar.update(isinstance(first, StepRecord))


def say(*lines: str) -> None:
    """Print lines for people on standard error."""
    for line in lines:
        print(f"imagen_core: {line}", file=sys.stderr)


def warn(*requests: Request, before: Request | None = None) -> None:
    """Print each warning of these settings once, on standard error, without those of the run ``before`` them."""

    def warnings(request: Request) -> list[tuple[str, str]]:
        return [(stage.name, warning) for stage in request.stages for warning in stage.warnings]

    known = set(warnings(before)) if before else set()
    for stage, warning in dict.fromkeys(pair for request in requests for pair in warnings(request)):
        if (stage, warning) not in known:
            say(f"{stage}: warning: {warning}")


def warn_of_words(request: Request, cascade: Cascade) -> None:
    """Say on standard error which words of the prompt the cascade never saw in training, if its world can tell."""
    if cascade.world is not None and (words := unknown_words(cascade.world, request.prompt)):
        say(f"prompt: never seen in training: {', '.join(words)}")
