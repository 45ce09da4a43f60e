"""Settings by flat names, as the command line writes them: in a link's query, on the controls, and back to a Request.

The base stage's settings stand bare (``guidance=10``), the later stages' behind their name (``sr256.aug_level=0.2``);
options of a rule are named like settings (``gamma=0.3``). All checking is done by settings.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode

from imagen_core import settings
from imagen_core.settings import CHOICES, DEFAULTS, OWN_FIELD, RULES, STAGE_FIELDS, Request, StageConfig
from imagen_core.types import UserError

# All settings of three stages take about 700 characters, and a prompt of 500 at most 6000 once it is quoted. Hundreds
# of times given outright may be more: no server takes such a link, but a PNG carries them.
MAX_QUERY = 8000
RUN_FIELDS = ("prompt", "seed", "count")
OPTIONS = {
    name
    for functions in RULES.values()
    for rule in functions.values()
    for name in settings.hyper_parameters(rule)
    if name not in OWN_FIELD
}


def flat(request: Request) -> dict[str, Any]:
    """Every setting of a run by its flat name; what follows from the others is left out."""
    values: dict[str, Any] = {name: getattr(request, name) for name in RUN_FIELDS}
    values["size"] = request.stages[-1].size
    for stage in request.stages:
        prefix = _prefix(stage)
        own = {name: getattr(stage, name) for name in STAGE_FIELDS}
        # None and an empty list stand for what follows from the other settings.
        given = {name: value for name, value in {**own, **stage.options}.items() if value is not None and value != ()}
        values |= {prefix + name: value for name, value in given.items()}
    return values


def unflat(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Request, tuple[str, ...]]:
    """A request from flat settings that anybody may have written, and warnings about what was ignored.

    What ``values`` lacks comes from ``defaults``, of which ``prompt`` must be one, and then from the engine.

    Raises:
        UserError: a value is out of range or of the wrong kind; the message names it.
    """
    given = {**defaults, **values}
    start = settings.request("any", size=given.pop("size", 64))
    stages = {stage.name: asdict(stage) for stage in start.stages}
    first = start.stages[0].name
    data: dict[str, Any] = {"format": given.pop("format", settings.FORMAT), "stages": list(stages.values())}
    warnings = []
    for key, value in given.items():
        stage, _, name = key.rpartition(".")
        if name in OPTIONS and (stage or first) in stages:
            stages[stage or first]["options"][name] = value
        elif name in STAGE_FIELDS and (stage or first) in stages:
            stages[stage or first][name] = value
        elif key in RUN_FIELDS:
            data[key] = value
        else:
            warnings.append(settings.unknown(key))
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        raise UserError("settings: must be text and numbers") from None
    request, more = settings.from_json(text)
    return request, (*warnings, *more)


def to_query(request: Request) -> str:
    """The query of a link that restores every setting: ``?format=1&prompt=…``."""
    pairs = {"format": settings.FORMAT, **flat(request)}
    return "?" + urlencode({key: write(value) for key, value in pairs.items()})


def from_query(pairs: Iterable[tuple[str, str]], defaults: Mapping[str, Any]) -> tuple[Request, tuple[str, ...]] | None:
    """The request a link's query asks for, and warnings; None where it asks for nothing.

    Raises:
        UserError: it is too long, or a value is out of range or of the wrong kind.
    """
    # Names with two underscores are gradio's own, such as __theme.
    given = [(str(key), str(value)) for key, value in pairs if not str(key).startswith("__")]
    if not given:
        return None
    if sum(len(key) + len(value) for key, value in given) > MAX_QUERY:
        raise UserError(f"link: its query must have at most {MAX_QUERY} characters")
    names = [key.replace("-", "_") for key, _ in given]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"link: {settings.shown(twice)} is given twice")
    return unflat({name: read(name, value) for name, (_, value) in zip(names, given)}, defaults)


def read(key: str, text: str) -> Any:
    """A setting's value from its text: a number where it is one, else the text, which the engine then judges."""
    name = key.rpartition(".")[2].replace("-", "_")
    if name == "prompt" or name in CHOICES:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def with_more(request: Request, text: Any, *, without: str = "") -> Request:
    """The request for all stages, with further settings as ``name=value`` between spaces: ``gamma=0.3 sr256.steps=20``.

    ``without`` names a setting that is given another way.

    Raises:
        UserError: no such setting, or a value out of range.
    """
    if not isinstance(text, str) or len(text) > MAX_QUERY:
        raise UserError(f"more settings: must be text of at most {MAX_QUERY} characters")
    later = settings.later_stages(settings.DEFAULT_SIZES[-1], instead=request.stages[1:])
    whole = replace(request, stages=(request.stages[0], *later))
    changes: dict[str, dict[str, Any]] = {stage.name: {} for stage in whole.stages}
    for part in text.split():
        name, equals, value = part.partition("=")
        key = name.replace("-", "_")
        if not equals or key in {*RUN_FIELDS, "size", "format"}:
            raise UserError(f"more settings: must be name=value, such as sr256.steps=20, got {part!r:.60}")
        place, _, field = key.rpartition(".")
        stage = place or request.stages[0].name
        if field == without:
            raise UserError(f"more settings: {field} has a control of its own")
        if stage not in changes or field not in {*STAGE_FIELDS, *OPTIONS}:
            raise UserError(f"more settings: {settings.shown(key)!r} is no setting of any stage")
        changes[stage][field] = read(key, value)
    return replace(whole, stages=tuple(settings.vary(stage, changes[stage.name]) for stage in whole.stages))


def rest(request: Request, shown: Iterable[str]) -> str:
    """The settings that differ from the defaults and are not among ``shown``, as :func:`with_more` reads them."""
    hidden = {key: value for key, value in changed(request).items() if key not in set(shown)}
    return " ".join(f"{key}={write(value)}" for key, value in hidden.items())


def of_others(text: Any, request: Request) -> str:
    """Those of :func:`with_more`'s settings in ``text`` that are of stages which ``request`` lacks."""
    names = {stage.name for stage in request.stages}
    parts = text[:MAX_QUERY].split() if isinstance(text, str) else []
    places = [part.partition("=")[0].rpartition(".")[0] for part in parts]
    return " ".join(part for part, place in zip(parts, places) if place and place not in names)


def write(value: Any) -> str:
    """A setting's value as text, which :func:`read` reads."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def changed(request: Request, defaults: Mapping[int, StageConfig] = DEFAULTS) -> dict[str, Any]:
    """The flat settings in which a run differs from a model's defaults, without prompt, seed, count and size."""
    plain = [{**DEFAULTS, **defaults}[stage.size] for stage in request.stages]
    before = flat(Request(request.prompt, stages=tuple(plain)))
    # An option that a default has and the run has not, such as a cap, is at its rule's own value.
    back = {
        _prefix(stage) + name: value
        for stage, start in zip(request.stages, plain)
        for name, value in stage.allowed_options().items()
        if name in start.options and name not in stage.options
    }
    own = {*RUN_FIELDS, "size"}
    return {k: value for k, value in {**flat(request), **back}.items() if k not in own and before.get(k) != value}


def _prefix(stage: StageConfig) -> str:
    return "" if stage.size == settings.DEFAULT_SIZES[0] else f"{stage.name}."
