"""Links, command lines and snippets: they restore every setting, and hostile ones are refused in one line."""

from __future__ import annotations

import shlex
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.parts import reproduce
from imagen_core.commands import options as cli
from imagen_core.records import png
from imagen_core.run.generate import generate
from imagen_core.settings import CHOICES, DEFAULT_SIZES, RANGES, STAGE_FIELDS, Request, StageConfig, request, with_stage
from imagen_core.settings.text import from_query, to_query, to_short_query, with_more
from imagen_core.types import StageResult, UserError

DEFAULTS = {"prompt": "a red ball"}
UNUSUAL = with_stage(
    with_stage(
        request(
            'a "ball" & <b>cube</b>, 50% + é\nat night', seed=9, count=3, size=1024, guidance=12.5, threshold="static",
            steps=7, sampler="ancestral", options={"gamma": 0.7},
        ),
        256, aug_level=0.25, sampler="ddim", steps=5, options={"eta": 0.5},
    ),
    1024, threshold="squash", options={"knee": 0.6},
)  # fmt: skip


def restored(asked: Request) -> Request:
    found = from_query(parse_qsl(to_query(asked)[1:], keep_blank_values=True), DEFAULTS)
    assert found is not None and found[1] == ()
    return found[0]


def test_a_link_restores_every_setting() -> None:
    assert restored(UNUSUAL) == UNUSUAL


@pytest.mark.parametrize("asked", [request("a red ball", seed=7), replace(UNUSUAL, stages=UNUSUAL.stages[:1])])
def test_a_short_link_leaves_out_what_is_usual_and_restores_the_run(asked: Request) -> None:
    found = from_query(parse_qsl(to_short_query(asked), keep_blank_values=True), DEFAULTS)
    assert found is not None and found[0] == asked
    assert to_short_query(request("a red ball", seed=7, guidance=8.0)) == "prompt=a+red+ball&seed=7&guidance=8.0"


@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(str.strip),
    seed=st.integers(0, 2**31 - 1),
    size=st.sampled_from(DEFAULT_SIZES),
    guidance=st.floats(0, 30),
    percentile=st.floats(50, 100),
    threshold=st.sampled_from(list(CHOICES["threshold"])),
)
def test_any_link_comes_back(prompt: str, seed: int, size: int, **base: object) -> None:
    asked = request(prompt, seed=seed, size=size, **base)
    assert restored(asked) == asked


def test_a_short_link_takes_the_rest_from_the_defaults() -> None:
    found = from_query([("guidance", "10"), ("sr256.aug-level", "0.3"), ("size", "256")], DEFAULTS)
    assert found is not None
    assert (found[0].prompt, found[0].stages[0].guidance, found[0].stages[1].aug_level) == ("a red ball", 10, 0.3)


def test_no_link_and_gradios_own_names_ask_for_nothing() -> None:
    assert from_query([], DEFAULTS) is None
    assert from_query([("__theme", "dark")], DEFAULTS) is None


@pytest.mark.parametrize("other", ["seed", "sr256.aug-level"])
def test_a_setting_given_twice_is_refused(other: str) -> None:
    pairs = [("size", "256"), ("seed", "4"), ("sr256.aug_level", "0.2"), (other, "0.5")]
    with pytest.raises(UserError, match=f"^link: {other.replace('-', '_')} is given twice"):
        from_query(pairs, DEFAULTS)


@pytest.mark.parametrize(
    "key", ["foo", "sr512.steps", "sr256.steps", "base64.steps.x", "stages", "<b>", "options", "sr256.size"]
)
def test_unknown_keys_warn(key: str) -> None:
    found = from_query([("seed", "4"), (key, "3")], DEFAULTS)
    assert found is not None and found[0].seed == 4 and len(found[1]) == 1 and found[1][0].startswith(key[:40])


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("guidance", "1e999", "guidance"), ("guidance", "NaN", "guidance"), ("guidance", "true", "guidance"),
        ("guidance", "[1]", "guidance"), ("guidance", "<script>", "guidance"), ("seed", "1.5", "seed"),
        ("seed", "9" * 5000, "seed"), ("count", "1000", "count"), ("threshold", "__class__", "threshold"),
        ("sampler", "euler", "sampler"), ("size", "65", "size"), ("size", "[" * 3000, "size"), ("prompt", "", "prompt"),
        ("prompt", "x" * 501, "prompt"), ("prompt", "x" * 9000, "link"), ("format", "2", "settings"),
        ("gamma", "0.5", "gamma"), ("sr256.aug_level", "-1", "aug_level"), ("aug_level", "0.1", "aug_level"),
        ("percentile", '{"a": 1}', "percentile"),
    ],
)  # fmt: skip
def test_hostile_values_are_refused_in_one_line(key: str, value: str, field: str) -> None:
    with pytest.raises(UserError, match=f"^{field}: ") as caught:
        from_query({"size": "256", key: value}.items(), DEFAULTS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def parsed(line: str) -> Request:
    words = shlex.split(line)
    assert words[:4] == ["python", "-m", "imagen_core", "sample"]
    parser = cli.Parser()
    cli.add_run_arguments(parser)
    parser.add_argument("--out")
    return cli.request_from(parser.parse_args(words[4:]))


@pytest.mark.parametrize(
    "asked",
    [UNUSUAL, request("--help me"), request("a red ball", guidance=10.0), request("$(x) `y`!")],
)
def test_the_command_line_asks_for_the_same_run(asked: Request) -> None:
    assert parsed(reproduce.command_line(asked, "tabletop")) == asked


# As a model such as DeepFloyd IF brings them: other samplers and steps, and a cap.
OTHERS = {
    64: StageConfig(64, 50, 7.0, "ancestral", "leading", options={"percentile": 95.0, "cap": 1.5, "gamma": 0.5}),
    256: StageConfig(256, 50, 4.0, "ancestral", "leading", aug_level=0.25, options={"cap": 2.0}),
}


@pytest.mark.parametrize(
    "asked",
    [
        request("a red ball", size=256, defaults=OTHERS),
        request("a red ball", size=256),
        request("a red ball", size=256, defaults=OTHERS, options={}),
        request("a red ball", size=256, defaults=OTHERS, threshold="channelwise", options={}),
        request("a red ball", size=256, defaults=OTHERS, threshold="static", sampler="heun", steps=25),
        with_stage(request("a red ball", size=256), 256, threshold="static"),
        with_stage(request("a red ball", size=256, times=[1.0, 0.5]), 256, times=(1.0, 0.4, 0.1), steps=3),
        UNUSUAL,
    ],
)
def test_the_command_line_counts_from_the_models_own_defaults(asked: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is filled in by the command from that model's defaults, not the shipped one's."""
    monkeypatch.setattr(cli, "defaults_of", {"other": OTHERS}.__getitem__)
    assert parsed(reproduce.command_line(asked, "other", OTHERS)) == asked


def test_what_the_model_does_by_itself_is_not_said() -> None:
    plain = request("a red ball", size=256, defaults=OTHERS)
    assert "--set" not in reproduce.command_line(plain, "other", OTHERS)


def test_rules_are_changed_together_and_take_what_they_know() -> None:
    """An option of the defaults goes with its rule; one that is given must fit the rules that hold in the end."""
    start = request("a red ball", size=256, defaults=OTHERS)
    found = with_more(start, "threshold=static sr256.threshold=channelwise").stages
    assert found[0].options == {"percentile": 95.0, "gamma": 0.5} and found[1].options == {"cap": 2.0}
    capless = with_more(start, "cap=Infinity sampler=ddim eta=1").stages[0]
    assert capless.options == {"percentile": 95.0, "eta": 1}
    both = ("sr256.guidance_rule=cfgpp", "sr256.guidance=0.5", "sr256.sampler=ddim")
    for parts in (both, both[::-1]):
        assert with_more(start, " ".join(parts)).stages[1].guidance_rule == "cfgpp"
        assert parsed("python -m imagen_core sample x --size 256 " + " ".join(f"--set {p}" for p in parts)).stages[1]
    for wrong in ("cap=2 threshold=static", "threshold=static cap=2"):
        with pytest.raises(UserError, match="^cap: not an option of"):
            with_more(start, wrong)
        with pytest.raises(UserError, match="^cap: not an option of"):
            parsed("python -m imagen_core sample x " + " ".join(f"--set base64.{part}" for part in wrong.split()))


def test_every_number_and_choice_survives_link_and_command_line() -> None:
    """Each setting of each stage, moved off its default by itself, as they come from the engine's own tables."""
    for size, stage in ((64, "base64"), (256, "sr256")):
        for name in STAGE_FIELDS:
            if name in CHOICES:
                values: list[object] = [v for v in CHOICES[name] if v not in {"cfgpp", "classifier"}]
            elif name in RANGES and not (name == "aug_level" and size == 64):
                values = [RANGES[name][0], RANGES[name][1]]
            else:
                continue
            for value in values:
                asked = with_stage(request("a ball", size=256), size, **{name: value})
                assert restored(asked) == asked, (stage, name, value)
                assert parsed(reproduce.command_line(asked, "tabletop")) == asked, (stage, name, value)


def test_each_picture_of_a_run_restores_itself(tiny_folder, tiny, tmp_path) -> None:
    """By its PNG, and by the link, the command and the code that the PNG's settings give."""
    run = request("a red ball", seed=3, count=2, steps=2)
    exec(reproduce.snippet(run, str(tiny_folder), str(tmp_path / "imagen-{seed}.png")), {})
    for seed in run.seeds:
        file = tmp_path / f"imagen-{seed}.png"
        own = png.read_settings(file.read_bytes())[0]
        assert own == replace(run, seed=seed, count=1) == restored(own)
        assert parsed(reproduce.command_line(own, "tabletop")) == own
        with Image.open(file) as picture:
            before = np.asarray(picture).astype(int)
        exec(reproduce.snippet(own, str(tiny_folder), str(tmp_path / "again-{seed}.png")), {})
        with Image.open(tmp_path / f"again-{seed}.png") as picture:
            # A network alone and in a batch may differ by the last digit of a float.
            assert np.abs(np.asarray(picture).astype(int) - before).max() <= 1


def test_the_snippet_draws_the_same_picture(tiny_folder, tiny, tmp_path) -> None:
    asked = with_stage(request("a 'red' {ball}", seed=3, size=256, steps=2), 256, steps=1)
    code = reproduce.snippet(asked, str(tiny_folder), str(tmp_path / "imagen-{seed}.png"))
    exec(compile(code, "snippet", "exec"), {})
    made = (tmp_path / "imagen-3.png").read_bytes()
    assert png.read_settings(made)[0] == asked
    image = [e.image for e in generate(asked, tiny) if isinstance(e, StageResult)][-1][0]
    with Image.open(tmp_path / "imagen-3.png") as picture:
        assert (np.asarray(picture).transpose(2, 0, 1) == png.to_bytes(image)).all()
