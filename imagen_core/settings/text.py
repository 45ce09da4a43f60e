"""Settings as text: JSON, flat names, words such as ``sr256.steps=20``, and links.

A flat name is the field alone for the base stage (``guidance``) and has the stage in front for the others
(``sr256.aug_level``). Options of a rule are named like fields (``gamma``). ``sizes`` are there where a run's stages are
not the first of 64, 256 and 1024. :func:`read` and :func:`write` turn values into text and back, everywhere: links, the
page, the command line. Ranges are checked by Request and StageConfig.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any
from urllib.parse import urlencode

from ..types import UserError
from .ranges import (
    CHOICES,
    DEFAULT_SIZES,
    FORMAT,
    KEPT_OPTIONS,
    MOST_STAGES,
    RULES,
    are_shipped_sizes,
    check_sizes,
    escaped,
    hyper_parameters,
    unknown,
)
from .request import Request, later_stages, request
from .stage import STAGE_FIELDS, StageConfig, defaults_at, in_full, schedule_taken, vary

# All settings of three stages take about 700 characters, a prompt at most 6000 once it is quoted. Hundreds of explicit
# times exceed this. No server takes such a link; a PNG holds them.
MAX_QUERY = 8000
RUN_FIELDS = ("prompt", "seed", "count")


def to_json(request: Request) -> str:
    """The request as one line of JSON."""
    return json.dumps({"format": FORMAT, **asdict(request)}, ensure_ascii=False)


def from_json(text: str) -> tuple[Request, tuple[str, ...]]:
    """A request from JSON of any origin, and a warning for each unknown key, which is ignored.

    Raises:
        UserError: not JSON, another format, or a value out of range or of the wrong kind.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("settings: not valid JSON") from error
    if not isinstance(data, dict) or type(data.get("format")) is not int or data["format"] != FORMAT:
        raise UserError(f"settings: not a run's settings of format {FORMAT}")
    stages = data.get("stages")
    if not isinstance(stages, list) or not 1 <= len(stages) <= MOST_STAGES:
        raise UserError(f"stages: must be a list of 1 to {MOST_STAGES} stages")
    warnings: list[str] = []
    configs = tuple(_build(StageConfig, _with_percentile(stage), warnings) for stage in stages)
    rest = {key: value for key, value in data.items() if key not in {"format", "stages"}}
    return _build(Request, {**rest, "stages": configs}, warnings), tuple(warnings)


def _with_percentile(stage: Any) -> Any:
    """A stage's settings from untrusted data, its percentile among the options; in older files it is beside them."""
    if not isinstance(stage, dict) or "percentile" not in stage or not isinstance(stage.get("options", {}), dict):
        return stage
    rest = {name: value for name, value in stage.items() if name != "percentile"}
    return {**rest, "options": {"percentile": stage["percentile"], **stage.get("options", {})}}


def _build(kind: type, data: Any, warnings: list[str]) -> Any:
    """A settings dataclass from untrusted data; unknown keys are dropped with a warning."""
    if not isinstance(data, dict):
        raise UserError(f"settings: expected an object, got {type(data).__name__}")
    known = {f.name for f in fields(kind)}
    warnings += [unknown(key) for key in data if key not in known]
    if not isinstance(data.get("options", {}), dict):
        raise UserError("options: must be an object of numbers")
    try:
        return kind(**{key: value for key, value in data.items() if key in known})
    except TypeError as error:
        raise UserError(f"settings: a required setting of {kind.__name__} is missing") from error


def read(name: str, text: str) -> Any:
    """The value of a setting from its text: a number where it is one, else the text, which Request then refuses.

    ``times`` and ``sizes`` are numbers between commas, with or without brackets.
    """
    field = _place(name, "")[1]
    if field == "prompt" or field in CHOICES:
        return text
    if field in ("times", "sizes"):
        inner = text.strip(" []")
        return [_number(part) for part in inner.split(",")] if inner else []
    return _number(text)


def _number(text: str) -> Any:
    for kind in (json.loads, float):
        try:
            return kind(text)
        except (ValueError, RecursionError):
            continue
    return text


def write(value: Any) -> str:
    """The text of a setting's value, which :func:`read` reads."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def option_names() -> set[str]:
    """The names of all options of all rules."""
    rules = [rule for functions in RULES.values() for rule in functions.values()]
    return {name for rule in rules for name in hyper_parameters(rule)}


def flat(request: Request) -> dict[str, Any]:
    """Every setting of a run by its flat name, without those that follow from the others."""
    values: dict[str, Any] = {name: getattr(request, name) for name in RUN_FIELDS}
    values["size"] = request.stages[-1].size
    if not are_shipped_sizes(request.sizes):
        values["sizes"] = request.sizes
    for stage in request.stages:
        own = {**{name: getattr(stage, name) for name in STAGE_FIELDS}, **KEPT_OPTIONS}
        # None and an empty list stand for what follows from the other settings.
        given = {name: value for name, value in {**own, **stage.options}.items() if value is not None and value != ()}
        values |= {_flat_name(stage, name): value for name, value in given.items()}
    return values


def unflat(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Request, tuple[str, ...]]:
    """A request from flat settings of any origin, and a warning for each unknown name, which is ignored.

    ``defaults`` fills in what ``values`` lacks, and must hold a ``prompt``; the rest is at DEFAULTS, for the ``sizes``
    of either.

    Raises:
        UserError: a value is out of range or of the wrong kind.
    """
    given = {**defaults, **values}
    start = _start(given.pop("sizes", DEFAULT_SIZES), given.pop("size", None))
    stages = {stage.name: asdict(stage) for stage in start.stages}
    data: dict[str, Any] = {"format": given.pop("format", FORMAT), "stages": list(stages.values())}
    warnings, options = [], option_names()
    given = {**schedule_taken(given), **given}
    for key, value in given.items():
        stage, name = _place(key, start.stages[0].name)
        if name in options and stage in stages:
            stages[stage]["options"][name] = value
        elif name in STAGE_FIELDS and stage in stages:
            stages[stage][name] = value
        elif key in RUN_FIELDS:
            data[key] = value
        else:
            warnings.append(unknown(key))
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        raise UserError("settings: must be text and numbers") from None
    restored, more = from_json(text)
    return restored, (*warnings, *more)


def _start(sizes: Any, size: Any) -> Request:
    """A run up to ``size`` of a cascade of ``sizes``, of any origin, at its defaults."""
    sizes = tuple(sizes) if isinstance(sizes, Sequence) else (sizes,)
    check_sizes("sizes", sizes)
    return request("any", size=size, defaults=defaults_at(sizes))


def changed(request: Request, defaults: Mapping[int, StageConfig] | None = None) -> dict[str, Any]:
    """The flat settings in which a run differs from a model's defaults, without prompt, seed, count and sizes."""
    plain = [{**defaults_at(request.sizes), **(defaults or {})}[stage.size] for stage in request.stages]
    before = flat(Request(request.prompt, stages=tuple(plain)))
    # An option set in the defaults and absent from the run is at its rule's default.
    back = {
        _flat_name(stage, name): value
        for stage, start in zip(request.stages, plain)
        for name, value in stage.allowed_options().items()
        if name in start.options and name not in stage.options
    }
    own = {*RUN_FIELDS, "size", "sizes"}
    return {k: value for k, value in {**flat(request), **back}.items() if k not in own and before.get(k) != value}


def with_words(
    request: Request, words: Iterable[str], *, source: str, elsewhere: Mapping[str, str] | None = None
) -> Request:
    """The request with settings changed by words such as ``gamma=0.3`` or ``sr256.steps=20``.

    All words are applied at once, because the chosen rules decide which options there are. ``elsewhere`` names the
    control of each flat setting that has one of its own. Messages begin with ``source``.

    Raises:
        UserError: not such a word, no such setting, or a value out of range.
    """
    changes: dict[str, dict[str, Any]] = {stage.name: {} for stage in request.stages}
    known, other, base = {*STAGE_FIELDS, *option_names()}, elsewhere or {}, request.stages[0].name
    for word in words:
        key, equals, value = word.partition("=")
        stage, name = _place(key, base)
        field = name if stage == base else f"{stage}.{name}"
        if not equals or not name or field in {*RUN_FIELDS, "size", "sizes", "format"}:
            raise UserError(f"{source}: must be name=value, such as sr256.steps=20, got {word!r:.60}")
        if stage not in changes:
            raise UserError(f"{source}: {escaped(stage)} is not a stage of this run; it has {', '.join(changes)}")
        if name not in known:
            raise UserError(f"{source}: {escaped(key)!r} is no setting of any stage")
        if field in other:
            raise UserError(f"{source}: {name} is set by {other[field]}")
        if name in changes[stage]:
            raise UserError(f"{source}: {key} is given twice")
        changes[stage][name] = read(name, value)
    for change in changes.values():
        if change.get("times"):
            change.setdefault("steps", len(change["times"]))
    return replace(request, stages=tuple(vary(stage, changes[stage.name]) for stage in request.stages))


def with_more(
    request: Request,
    text: Any,
    *,
    elsewhere: Mapping[str, str] | None = None,
    defaults: Mapping[int, StageConfig] | None = None,
) -> Request:
    """The request extended to all stages of ``defaults``, changed by the words in ``text``, with spaces between them.

    Raises:
        UserError: as for :func:`with_words`.
    """
    if not isinstance(text, str) or len(text) > MAX_QUERY:
        raise UserError(f"more settings: must be text of at most {MAX_QUERY} characters")
    later = later_stages(max(in_full(defaults)), instead=request.stages[1:], defaults=defaults)
    whole = replace(request, stages=(request.stages[0], *later))
    return with_words(whole, text.split(), source="more settings", elsewhere=elsewhere)


def rest(request: Request, visible: Iterable[str]) -> str:
    """The settings that differ from DEFAULTS and are not among ``visible``, as words for :func:`with_more`."""
    hidden = {key: value for key, value in changed(request).items() if key not in set(visible)}
    return " ".join(f"{key}={write(value)}" for key, value in hidden.items())


def of_absent_stages(text: Any, request: Request) -> str:
    """The words in ``text`` about stages that ``request`` lacks."""
    names = {stage.name for stage in request.stages}
    words = text[:MAX_QUERY].split() if isinstance(text, str) else []
    base = request.stages[0].name
    return " ".join(word for word in words if _place(word.partition("=")[0], base)[0] not in names)


def to_query(request: Request) -> str:
    """The query of a link that restores every setting: ``?format=1&prompt=…``."""
    pairs = {"format": FORMAT, **flat(request)}
    return "?" + urlencode({key: _in_link(key, value) for key, value in pairs.items()})


def to_short_query(request: Request) -> str:
    """The query of a link to a run, without what is at its default: ``prompt=…&seed=7&guidance=8.0``."""
    count = {"count": request.count} if request.count > 1 else {}
    sizes = {} if are_shipped_sizes(request.sizes) else {"sizes": request.sizes}
    pairs = {"prompt": request.prompt, "seed": request.seed, **count, **sizes, **changed(request)}
    return urlencode({key: _in_link(key, value) for key, value in pairs.items()})


def _in_link(key: str, value: Any) -> str:
    # Brackets would be quoted.
    return ",".join(map(str, value)) if key == "sizes" else write(value)


def from_query(pairs: Iterable[tuple[str, str]], defaults: Mapping[str, Any]) -> tuple[Request, tuple[str, ...]] | None:
    """The request in a link's query, and warnings as of :func:`unflat`; None where the query has no settings.

    Raises:
        UserError: the query is too long, names a setting twice, or has a value out of range or of the wrong kind.
    """
    # Names that begin with two underscores are gradio's own, such as __theme.
    given = [(str(key), str(value)) for key, value in pairs if not str(key).startswith("__")]
    if not given:
        return None
    if sum(len(key) + len(value) for key, value in given) > MAX_QUERY:
        raise UserError(f"link: its query must have at most {MAX_QUERY} characters")
    names = [key.replace("-", "_") for key, _ in given]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"link: {escaped(twice)} is given twice")
    return unflat({name: read(name, value) for name, (_, value) in zip(names, given)}, defaults)


def _place(key: str, base: str) -> tuple[str, str]:
    """The stage and the field that a flat name stands for; ``base`` is the name of the first stage."""
    stage, _, name = key.replace("-", "_").rpartition(".")
    return stage or base, name


def _flat_name(stage: StageConfig, name: str) -> str:
    return name if stage.is_base else f"{stage.name}.{name}"
