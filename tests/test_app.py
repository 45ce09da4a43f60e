"""The page without a browser: handlers build requests, drain the engine, and refuse in one line; then its API."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client
from PIL import Image

from app import handlers, views
from app.layout import LAUNCH, build
from app.models import Model
from imagen_core import png
from imagen_core.settings import DEFAULTS, SIDE_BY_SIDE
from imagen_core.types import UserError

CONTROLS = {
    "prompt": "a red ball",
    "w": 5.0,
    "rule": "dynamic",
    "percentile": 99.5,
    "seed": 7,
    "convention": "paper",
    "count": 1,
    "steps": 3,
    "sampler": "dpmpp_2m",
    "spacing": "trailing",
    "guidance_rule": "cfg",
}


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> Model:
    return Model(str(tiny_folder))


def controls(**changes: object) -> list[object]:
    return list({**CONTROLS, **changes}.values())


def test_generate_streams_all_rules_and_ends_with_a_picture(model: Model) -> None:
    updates = list(handlers.generate(model, *controls(count=2)))
    viewers = [update[0] for update in updates if isinstance(update[0], str)]
    assert "step 3" in viewers[-1].lower() and all(f"threshold {rule}" in viewers[-1] for rule in SIDE_BY_SIDE)
    _, gallery, finished, *buttons = updates[-1]
    assert [Path(file).is_file() for file, _ in gallery] == [True, True] and finished.request.seeds == (7, 8)
    assert all(button.interactive for button in buttons)
    asked, _ = png.read_settings(Path(gallery[1][0]).read_bytes())
    assert asked == finished.request
    assert set(finished.images) == set(SIDE_BY_SIDE)


def test_page_and_engine_agree(model: Model) -> None:
    """The picture on the page is the picture that the command line makes."""
    from imagen_core.cascade import StageResult, generate

    finished = list(handlers.generate(model, *controls()))[-1][2]
    asked = handlers.build_request(*controls())
    image = next(e.image for e in generate(asked, model.get()) if isinstance(e, StageResult))
    assert (finished.images["dynamic"] == image).all()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("prompt", ""), ("prompt", "x" * 2000), ("seed", None), ("seed", 1.5), ("seed", float("inf")), ("seed", -1),
        ("steps", 0), ("steps", "many"), ("percentile", 101), ("w", None), ("w", float("nan")), ("count", 9),
        ("sampler", "euler"), ("rule", "soft"), ("convention", "mine"), ("rule", "<script>alert(1)</script>"),
    ],
)  # fmt: skip
def test_bad_controls_are_one_line(model: Model, field: str, wrong: object) -> None:
    with pytest.raises(gr.Error) as caught:
        list(handlers.generate(model, *controls(**{field: wrong})))
    assert "\n" not in caught.value.message and not caught.value.print_exception


def test_upscale_needs_a_base_and_gives_the_size(model: Model) -> None:
    with pytest.raises(gr.Error, match="press Generate first"):
        list(handlers.upscale(model, 256, None, "dynamic", 0.1, 0.1))
    finished = list(handlers.generate(model, *controls()))[-1][2]
    with pytest.raises(gr.Error, match="aug_level"):
        list(handlers.upscale(model, 256, finished, "dynamic", 1.5, 0.1))
    with pytest.raises(gr.Error, match="press Generate for 'squash'"):
        list(handlers.upscale(model, 256, finished, "squash", 0.1, 0.1))
    updates = list(handlers.upscale(model, 256, finished, "static", 0.2, 0.1))
    file = updates[-1][1][0][0]
    assert Image.open(file).size == (256, 256)
    asked, _ = png.read_settings(Path(file).read_bytes())
    assert asked.stages[0].threshold == "static" and asked.stages[1].aug_level == 0.2


def test_a_missing_or_broken_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cascade\.json"):
        Model("tabletop").use(str(tmp_path))
    (tmp_path / "cascade.json").write_text("{}")
    with pytest.raises(gr.Error, match="not a cascade's description"):
        list(handlers.generate(Model(str(tmp_path)), *controls()))


def test_unknown_words_are_pointed_out_and_escaped() -> None:
    assert views.words_note("a red ball on grass") == ""
    note = views.words_note("a dog <img src=x onerror=alert(1)> on a skateboard")
    assert "dog" in note and "skateboard" in note and "sphere" in note and "<img" not in note
    assert handlers.describe("a dog on grass")["unknown"] == ["dog"]


def test_the_builder_makes_prompts_the_model_knows() -> None:
    built = handlers.compose("large", "shiny", "orange", "cube", "behind", "", "cone", "on sand", "at night")
    assert built == "a large shiny orange cube behind a cone on sand at night"
    assert handlers.compose("", "", "orange", "cube", "behind", "", "", "", "") == "an orange cube"
    assert views.words_note(built) == ""


def test_aug_note_says_what_a_level_does() -> None:
    assert "untouched" in handlers.aug_note(256, 0.0)
    assert f"{DEFAULTS[256].aug_sigma:.3f}" in handlers.aug_note(256, DEFAULTS[256].aug_level)
    assert handlers.aug_note(256, 7) == ""


@pytest.fixture(scope="module")
def server(model: Model):
    demo = build(model)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_port=None, **LAUNCH)
    yield url
    demo.close()


def test_api_sample_and_describe(server: str) -> None:
    client = Client(server, verbose=False)
    file = client.predict("a red ball", 3, 64, 5.0, "static", 99.5, 0.1, api_name="/sample")
    asked, _ = png.read_settings(Path(file).read_bytes())
    assert (asked.prompt, asked.seed, asked.stages[0].threshold) == ("a red ball", 3, "static")
    assert client.predict("a dog", api_name="/describe")["unknown"] == ["dog"]
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/sample", "/describe"}


def test_api_errors_are_one_line(server: str) -> None:
    client = Client(server, verbose=False)
    for wrong in ((" ", 3, 64), ("a ball", -1, 64), ("a ball", 3, 65), ("a ball", "x", 64)):
        with pytest.raises(Exception, match=r"(prompt|seed|size): ") as caught:
            client.predict(*wrong, 5.0, "static", 99.5, 0.1, api_name="/sample")
        assert "Traceback" not in str(caught.value)


def test_a_cancelled_call_leaves_the_engine_free(server: str, model: Model) -> None:
    client = Client(server, verbose=False)
    job = client.submit("a red ball", 3, 1024, 5.0, "static", 99.5, 0.1, api_name="/sample")
    job.cancel()
    second = client.submit("a red ball", 4, 64, 5.0, "static", 99.5, 0.1, api_name="/sample")
    assert Path(second.result(timeout=60)).is_file()
