"""The page's API through gradio_client: typed, documented, cancellable, and refusing in one line."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_page import PATIENCE, Watched
from gradio_client import Client
from PIL import Image

from app import api
from imagen_core.records import png
from imagen_core.settings import CHOICES


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def test_only_these_functions_are_public_and_all_explain_their_arguments(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/sample", "/compare", "/sweep_augmentation", "/describe"}
    for name, endpoint in endpoints.items():
        doc = api.PUBLIC[name[1:]].__doc__
        for parameter in endpoint["parameters"]:
            assert f"{parameter['parameter_name']}: " in doc
            assert parameter["parameter_name"] == "prompt" or parameter["parameter_has_default"]


def test_sample(client: Client) -> None:
    file, facts = client.predict("a red ball", 3, 64, 5.0, "static", more="steps=3", api_name="/sample")
    asked, _ = png.read_settings(Path(file).read_bytes())
    base = asked.stages[0]
    assert (asked.prompt, asked.seed, base.threshold, base.steps) == ("a red ball", 3, "static", 3)
    assert facts["settings"]["threshold"] == "static" and set(facts["seconds"]) == {"base64"}


def test_compare(client: Client) -> None:
    file, facts = client.predict(
        "a red ball", 3, "guidance", "1, 5", "threshold", "none, dynamic", "steps=2", api_name="/compare"
    )
    assert Image.open(file).size == (2 * 256, 2 * (256 + 18))
    assert [cell["label"] for cell in facts["cells"]] == [
        "w = 1, none", "w = 1, dynamic", "w = 5, none", "w = 5, dynamic",
    ]  # fmt: skip
    assert facts["cells"][3]["settings"]["guidance"] == 5 and 0 <= facts["cells"][3]["burnt"] <= 1


def test_sweep_augmentation(client: Client) -> None:
    file, facts = client.predict(
        "a red ball", 3, 256, "0, 0.5", "steps=2 sr256.steps=2", api_name="/sweep_augmentation"
    )
    assert Image.open(file).size[0] == 2 * 256
    zero, half = facts["levels"]
    assert (zero["sigma"], zero["snr"]) == (0, None) and half["snr"] == pytest.approx(1)
    assert set(zero) == {"aug_level", "sigma", "snr", "consistency", "sharpness"}
    assert zero["consistency"] != half["consistency"] and half["sharpness"] > 0


def test_describe(client: Client) -> None:
    found = client.predict("a dog", api_name="/describe")
    assert found["unknown"] == ["dog"] and "sphere" in found["known"]["shapes"]
    assert found["choices"]["threshold"] == list(CHOICES["threshold"]) and found["ranges"]["guidance"] == [0, 30]
    assert found["about"]["w_schedule"]["linear"]["paper"] != found["about"]["schedule"]["linear"]["paper"]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("sample", (" ", 3, 64), "prompt: "), ("sample", ("a ball", -1, 64), "seed: "),
        ("sample", ("a ball", 3, 65), "size: "), ("sample", ("a ball", "x", 64), "seed: "),
        ("sample", ({"a": 1}, 3), "prompt: "), ("sample", ("a ball", 3, 64, 5, "soft"), "threshold: "),
        ("sample", ("a ball", 3, 64, 5, "none", 99, 0.1, "steps"), "more settings: "),
        ("sample", ("a ball", 3, 64, 5, "none", 99, 0.1, "stepz=3"), "more settings: "),
        ("sample", ("a ball", 3, 64, 5, "none", 99, 0.1, "steps=999"), "steps: "),
        ("sample", ("a ball", 3, 64, 5, "none", 99, 0.1, 7), "more settings: "),
        ("compare", ("a ball", 3, "seed"), "rows: "), ("compare", ("a ball", 3, "guidance", "1, 1"), "guidance: "),
        ("compare", ("a ball", 3, "guidance", "1,2,3,4,5,6,7,8,9"), "cells: "),
        ("compare", ("a ball", 3, "guidance", "1", "threshold", "soft"), "threshold: "),
        ("compare", ("a ball", 3, "guidance", "1", "guidance", "2"), "columns: "),
        ("compare", ("a ball", 3, "guidance", 5), "guidance: "),
        ("compare", ("a ball", 3, "guidance", "99"), "guidance: "),
        ("sweep_augmentation", ("a ball", 3, 64), "size: "),
        ("sweep_augmentation", ("a ball", 3, 256, "2"), "aug_level: "),
        ("sweep_augmentation", ("a ball", 3, 256, "0,.1,.2,.3,.4,.5,.6,.7,.8,.9,1,.05"), "aug_levels"),
        ("describe", (7,), "prompt: "),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_that_names_the_field(client: Client, name: str, arguments: tuple, says: str) -> None:
    with pytest.raises(Exception, match=f"^{says}") as caught:
        client.predict(*arguments, api_name=f"/{name}")
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


def predict(url: str, output: str, values: dict[str, Any] | list[Any]) -> httpx.Response:
    """What the page's cheap event over ``output`` answers, its inputs as on the page but for ``values`` by elem_id."""
    config = httpx.get(f"{url}config", timeout=60).json()
    parts = {part["id"]: part["props"] for part in config["components"]}
    event = next(
        event for event in config["dependencies"]
        if not event["queue"] and event["inputs"] and [parts[o].get("elem_id") for o in event["outputs"]] == [output]
    )  # fmt: skip
    if isinstance(values, dict):
        inputs = [parts[i] for i in event["inputs"]]
        assert set(values) <= {part.get("elem_id") for part in inputs}
        values = [values.get(part.get("elem_id"), part.get("value")) for part in inputs]
    body = json.dumps({"fn_index": event["id"], "data": values, "session_hash": "x"})
    headers = {"content-type": "application/json"}
    return httpx.post(f"{url}gradio_api/run/predict", content=body, headers=headers, timeout=60)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        # What stands in a slider's field while a number is being typed.
        ("percentile", 9, "percentile: must be a number between 50.0 and 100.0, got 9"),
        ("guidance", None, "guidance: must be a number between"),
        ("guidance", 99, "guidance: must be a number between"),
        ("steps", 0, "steps: must be a whole number between"),
        ("steps", "many", "steps: must be a whole number between"),
        ("seed", -1, "seed: must be a whole number between 0 and"),
        ("seed", "", "seed: must be a whole number between"),
        ("seed", math.nan, "seed: must be a whole number between"),
        ("seed", [1], "seed: must be a whole number between"),
        ("cap", {"a": [1]}, "cap: must be a number between 1.0 and 1000.0"),
    ],
)  # fmt: skip
def test_numbers_that_a_control_cannot_have_are_judged_by_the_engine(
    url: str, capfd: pytest.CaptureFixture[str], field: str, value: object, says: str
) -> None:
    answer = predict(url, "price", {field: value})
    assert answer.status_code == 200 and says in answer.json()["data"][0]
    assert "Traceback" not in capfd.readouterr().err


PASSWD = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    ("output", "values", "says"),
    [
        ("price", {"rule": "<b>"}, "Which picture to enlarge: must be one of none, static, dynamic"),
        ("price", {"rule": ["none"]}, "Which picture to enlarge: must be one of"),
        ("price", {"prompt": PASSWD}, "Prompt: must be text"),
        ("price", {"rule": "\ud800"}, "Which picture to enlarge: "),
        ("price", ["a red ball"], "Guidance weight w: is missing"), ("price", [], "Prompt: is missing"),
        ("pinned", {"pin-a": "9"}, "Run A: must be one of"),
    ],
)  # fmt: skip
def test_what_no_page_sends_is_refused_in_one_line(
    url: str, capfd: pytest.CaptureFixture[str], output: str, values: Any, says: str
) -> None:
    answer = predict(url, output, values)
    assert answer.json()["error"].startswith(says) and "\n" not in answer.text
    assert "passwd" not in answer.text and "Traceback" not in capfd.readouterr().err


def test_a_cancelled_call_leaves_the_engine_free(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where the engine works: the client would hear no more of a run that goes on."""
    engine = Watched(api.generate)
    monkeypatch.setattr(api, "generate", engine)
    job = client.submit("a red ball", 3, 1024, more="steps=250", api_name="/sample")
    deadline = time.monotonic() + PATIENCE
    while not job.outputs():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.cancel()
    second = client.submit("a red ball", 4, 64, more="steps=2", api_name="/sample")
    assert Path(second.result(timeout=PATIENCE)[0]).is_file()
    cancelled, _ = engine.runs
    assert cancelled.ended.wait(PATIENCE)
    taken = len(cancelled.events)
    assert 0 < taken < 250


def test_two_programs_get_their_own_pictures(url: str, client: Client) -> None:
    other = Client(url, verbose=False)
    calls = ((client, 5), (other, 6))
    jobs = [c.submit("a red ball", seed, 64, more="steps=2", api_name="/sample") for c, seed in calls]
    for job, seed in zip(jobs, (5, 6)):
        file, facts = job.result(timeout=60)
        assert facts["settings"]["seed"] == seed == png.read_settings(Path(file).read_bytes())[0].seed
