"""The player in a real browser, on a stand-alone report opened from disk: its values are the engine's."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from app.parts import player, report
from imagen_core.commands.record import record
from imagen_core.diffusion.thresholding import THRESHOLDS, dynamic
from imagen_core.models.cascade import Cascade
from imagen_core.records import recording
from imagen_core.records.frames import Frame
from imagen_core.run.experiments import compare
from imagen_core.settings import SIDE_BY_SIDE, Request, request
from imagen_core.types import Denoised, StageResult

STEPS = 4
# What the issue of a half float costs at most.
REL = 1e-3


@pytest.fixture(scope="module")
def asked() -> Request:
    return request("a red ball", steps=STEPS, guidance=9.0, seed=3, w_schedule="constant")


@pytest.fixture(scope="module")
def truth(tiny: Cascade, asked: Request) -> dict[str, list[Denoised]]:
    """What the engine computed, by rule and step."""
    outputs: dict[str, list[Denoised]] = {rule: [] for rule in SIDE_BY_SIDE}
    for row in compare(list(recording.under(asked, SIDE_BY_SIDE).values()), tiny):
        for rule, event in zip(SIDE_BY_SIDE, row):
            if not isinstance(event, StageResult):
                outputs[rule].append(event.out)
    return outputs


@pytest.fixture(scope="module")
def file(tiny: Cascade, asked: Request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report.page([record(asked, tiny, title="A test")]), encoding="utf-8")
    return path


@pytest.fixture
def page(visit: Callable[..., Any], file: Path) -> Any:
    """The report of a visitor who asked for little motion, on its last step, with everything open."""
    page = visit(file.as_uri(), reduced_motion="reduce")
    page.locator(".pl-card").first.wait_for()
    page.locator(".pl-more > summary").click()
    page.locator(".pl-scrubber").press("End")
    return page


def go(page: Any, step: int) -> None:
    page.locator(".pl-scrubber").fill(str(step - 1))
    assert page.locator(".pl-counter").inner_text() == f"{step} / {STEPS}"


@pytest.mark.parametrize("rule", SIDE_BY_SIDE)
@pytest.mark.parametrize(("percentile", "cap"), [(99.5, None), (90.0, None), (50.0, None), (100.0, None), (99.0, 1.5)])
def test_the_rules_in_the_browser_are_the_engines(
    page: Any, truth: dict[str, list[Denoised]], rule: str, percentile: float, cap: float | None
) -> None:
    """The one allowed second copy of the arithmetic, on whole pictures of raw values."""
    raw = truth["none"][1].x0_raw.half().float()
    limit = partial(THRESHOLDS["dynamic"].fn, percentile=percentile, **({} if cap is None else {"cap": cap}))
    kept, s = limit(raw) if rule == "dynamic" else THRESHOLDS[rule].fn(raw)
    result = page.evaluate(
        """([raw, rule, percentile, cap]) => {
          const P = ImagenPlayer, values = Float32Array.from(raw);
          const s = P.RULES[rule](P.sorted(values), percentile, cap);
          return [s, Array.from(values, (x) => P.keep(rule, x, s))];
        }""",
        [raw.flatten().tolist(), rule, percentile, cap],
    )
    assert result[0] == pytest.approx(float(s[0]), rel=1e-6)
    torch.testing.assert_close(torch.tensor(result[1]), kept.flatten(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", SIDE_BY_SIDE)
def test_the_probe_shows_raw_and_kept_values(page: Any, truth: dict[str, list[Denoised]], rule: str) -> None:
    card = page.locator(".pl-card", has_text=rule).first
    box = card.locator(".pl-picture").bounding_box()
    column, row = 20, 41
    card.locator(".pl-picture").click(
        position={"x": box["width"] * (column + 0.5) / 64, "y": box["height"] * (row + 0.5) / 64}
    )
    assert page.locator(".pl-tool h3").first.inner_text() == f"Pixel {column}, {row} under {rule}"
    for step in range(1, STEPS + 1):
        go(page, step)
        cells = [
            float(x) for x in page.locator(".pl-tool tbody td").evaluate_all("all => all.map((x) => x.dataset.value)")
        ]
        out = truth[rule][step - 1]
        engine = [*out.x0_raw[0, :, row, column].tolist(), *out.x0_hat[0, :, row, column].tolist()]
        assert cells == pytest.approx(engine, rel=REL)


def test_the_probe_moves_from_the_keyboard(page: Any) -> None:
    page.locator(".pl-card", has_text="static").locator(".pl-picture").focus()
    title = page.locator(".pl-tool h3").first
    x, y = map(int, title.inner_text().removeprefix("Pixel ").split(" under")[0].split(", "))
    for key in ("ArrowRight", "ArrowDown") if max(x, y) < 63 else ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    moved = 1 if max(x, y) < 63 else -1
    assert title.inner_text() == f"Pixel {x + moved}, {y + moved} under static"
    assert page.locator(".pl-counter").inner_text() == f"{STEPS} / {STEPS}"


def test_the_microscope_follows_its_knobs(page: Any, truth: dict[str, list[Denoised]]) -> None:
    """One stored step under another percentile, and under a cap; nothing after it changes."""
    go(page, 2)
    raw = truth["dynamic"][1].x0_raw
    words = page.locator(".pl-micro-words")
    curves = page.locator(".pl-curves").inner_html()
    for percentile, cap in ((99.5, None), (80.0, None), (99.0, 1.2)):
        page.get_by_label("Percentile").fill(str(percentile))
        page.get_by_label("Cap on s").fill(str(cap or 10))
        kept, s = dynamic(raw, percentile=percentile, **({} if cap is None else {"cap": cap}))
        facts = {name: float(value) for name, value in words.evaluate("x => ({...x.dataset})").items()}
        assert facts["s"] == pytest.approx(float(s[0]), rel=REL)
        assert facts["cut"] == pytest.approx(float((raw.abs() > s).float().mean()), rel=REL, abs=2 / raw.numel())
        assert facts["burnt"] == pytest.approx(float((kept.abs() > 0.99).float().mean()), rel=REL, abs=3 / raw.numel())
    assert page.locator(".pl-curves").inner_html() == curves
    assert "This step only" in page.locator(".pl-micro").inner_text()
    page.get_by_role("radio", name="static").check()
    assert float(words.get_attribute("data-s")) == 1


def test_histograms_count_what_the_engine_counts(page: Any, truth: dict[str, list[Denoised]]) -> None:
    raw = truth["static"][0].x0_raw[0].half().float()
    m = float(raw.abs().max())
    counts = page.evaluate(
        "([raw, m]) => Array.from(ImagenPlayer.histogram(Float32Array.from(raw), m))", [raw.flatten().tolist(), m]
    )
    expected = torch.histc(raw.flatten(), 64, -m, m)
    # A value on the edge of two bins may fall to either side.
    assert sum(counts) == raw.numel() and float((torch.tensor(counts) - expected).abs().sum()) <= 8


def test_the_sentence_and_the_curves_say_the_engines_numbers(page: Any, truth: dict[str, list[Denoised]]) -> None:
    telling = page.evaluate("document.querySelector('.pl').player.data.telling")
    at = 1 if telling == 0 else 0
    go(page, at + 1)
    s = float(truth["dynamic"][at].s[0])
    outside = float((truth["none"][at].x0_raw.abs() > 1).float().mean())
    sentence = page.locator(".pl-sentence").inner_text().replace("\u00a0", " ")
    assert sentence.startswith(f"Step {at + 1} of {STEPS}. {outside:.0%}".replace("%", " %"))
    assert f"Dynamic divides by s = {s:.2f}." in sentence
    shown = page.locator(".pl-values").first.locator("span").all_inner_texts()
    assert shown == ["1.00", "1.00", f"{s:.2f}"]


def test_parts_of_guidance_are_shown(page: Any, truth: dict[str, list[Denoised]]) -> None:
    """The picture of cond, read back from the canvas, is the engine's to a step of its eighth bit."""
    go(page, 2)
    page.get_by_role("radio", name="Guidance").check()
    assert page.locator(".pl-parts figcaption").nth(3).inner_text() == "guided, w = 9"
    pixels = page.locator(".pl-parts canvas:first-child").first.evaluate(
        "x => Array.from(x.getContext('2d').getImageData(0, 0, 64, 64).data)"
    )
    cond = truth["dynamic"][1].x0_cond[0].clamp(-1, 1)
    shown = torch.tensor(pixels).reshape(64, 64, 4)[..., :3].permute(2, 0, 1) / 127.5 - 1
    scale = max(float(out.x0_cond.abs().max()) for out in truth["dynamic"])
    assert float((shown - cond).abs().max()) <= scale / 254 + 1 / 127


def shown_parts(page: Any) -> tuple[list[str], str]:
    """The captions of the parts of guidance, and what the line under them says of the mix."""
    page.get_by_role("radio", name="Guidance").check()
    legend = page.locator(".pl-legend").inner_text().replace("\u00a0", " ")
    return page.locator(".pl-parts figcaption").all_inner_texts(), legend


def test_the_rule_of_guidance_is_named_and_the_formula_is_cfgs_alone(
    visit: Callable[..., Any], tiny: Cascade, page: Any, tmp_path: Path
) -> None:
    _, legend = shown_parts(page)
    assert "cfg = without text + w (with text − without text), w = 9 at every step" in legend
    made = record(
        request("a red ball", steps=2, guidance=9.0, guidance_rule="apg", w_schedule="constant"), tiny, ("dynamic",)
    )
    file = tmp_path / "apg.html"
    file.write_text(report.page([made]), encoding="utf-8")
    captions, legend = shown_parts(visit(file.as_uri(), reduced_motion="reduce"))
    assert captions[3] == "guided by apg, w = 9"
    assert ": apg, w = 9 at every step." in legend and "without text" not in legend


def test_a_schedule_of_w_shows_each_steps_own_weight(visit: Callable[..., Any], tiny: Cascade, tmp_path: Path) -> None:
    """Inside the band there is a difference to show, outside it there is none and the player says why."""
    made = record(request("a red ball", steps=STEPS, guidance=9.0, w_schedule="interval"), tiny, ("dynamic",))
    (track,) = made.header["tracks"]
    assert 0 < len(track["unguided"]) < STEPS
    file = tmp_path / "interval.html"
    file.write_text(report.page([made]), encoding="utf-8")
    page = visit(file.as_uri(), reduced_motion="reduce")
    page.locator(".pl-card").first.wait_for()
    for at, w in enumerate(track["weights"]):
        go(page, at + 1)
        captions, legend = shown_parts(page)
        assert captions[3] == f"guided, w = {w:g}" and f"schedule interval, w = {w:g} at this step" in legend
        why = "without text: not evaluated at w = 1" if at in track["unguided"] else "without text"
        assert captions[1] == why and (w == 1) == (at in track["unguided"])


def test_the_microscope_opens_with_the_runs_own_cap(visit: Callable[..., Any], tiny: Cascade, tmp_path: Path) -> None:
    asked = request("a red ball", steps=STEPS, guidance=9.0, percentile=95.0, options={"cap": 1.25})
    made = record(asked, tiny)
    file = tmp_path / "capped.html"
    file.write_text(report.page([made]), encoding="utf-8")
    page = visit(file.as_uri(), reduced_motion="reduce")
    page.locator(".pl-card").first.wait_for()
    page.locator(".pl-more > summary").click()
    go(page, 1)
    s = made.header["tracks"][2]["numbers"]["s"][0]
    assert s == 1.25 and float(page.locator(".pl-micro-words").get_attribute("data-s")) == s
    assert page.locator(".pl-knob output").all_inner_texts() == ["95.0", "1.25"]


SHOW = """async (changes) => {
  const text = JSON.parse(document.querySelector("section script").textContent), root = document.createElement("div");
  document.body.append(root);
  for (const [path, value] of changes) {
    const keys = path.split("."), last = keys.pop();
    keys.reduce((at, key) => at[key], text)[last] = value;
  }
  const player = ImagenPlayer.mount(root, () => '{"kind": "waiting", "note": ""}', () => {});
  await player.show(JSON.stringify(text));
  if (player.data.tracks) player.go(Infinity);
  return root.querySelector(".pl-waiting, .pl-sentence").textContent;
}"""


@pytest.mark.parametrize(
    ("burnt", "words"),
    [
        ((0, 0, 0), "No value is burnt at the end."),
        ((6 / 12288, 0, 0), "Fewer than 0.1 % of values are burnt at the end."),
        (
            (0.002, 6 / 12288, 0),
            "Burnt values at the end: none 0.2 %, static < 0.1 %, dynamic 0 %.",
        ),
    ],
)
def test_the_verdict_says_none_only_where_there_is_none(page: Any, burnt: tuple[float, ...], words: str) -> None:
    changes = [[f"tracks.{k}.numbers.burnt.{STEPS - 1}", value] for k, value in enumerate(burnt)]
    sentence = page.evaluate(SHOW, changes).replace("\u00a0", " ")
    assert sentence.startswith(f"Step {STEPS} of {STEPS}. {words}")


@pytest.mark.parametrize("damage", ["AAAA", "not base64", None, "eJwDAAAAAAE="])
def test_a_damaged_recording_is_told_about(page: Any, damage: str | None) -> None:
    """No zlib, no base64, nothing, and an array of no values."""
    note = page.evaluate(SHOW, [["blobs.none/raw", damage]])
    assert note == "This run cannot be played: its recording is damaged."


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("size", "64"),
        ("tracks", []),
        ("tracks.1.numbers.s", [1]),
        ("tracks.2.w", None),
        ("request", None),
        ("steps", []),
    ],
)
def test_a_recording_that_does_not_fit_the_schema_is_told_about(page: Any, path: str, value: Any) -> None:
    """The same checks as payload.py's, on the other side: one line, and no error in the console."""
    assert page.evaluate(SHOW, [[path, value]]) == "This run cannot be played: its recording is damaged."


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "live"}', '{"kind": "__proto__"}'])
def test_a_text_that_is_no_payload_is_told_about(page: Any, text: str) -> None:
    note = page.evaluate(
        "text => { const p = document.querySelector('.pl').player; p.show(text); return p.data.note; }", text
    )
    assert note == "This run cannot be played: its recording is damaged."


def test_a_browser_that_cannot_unpack_is_told_about(page: Any) -> None:
    page.evaluate("delete window.DecompressionStream")
    assert page.evaluate(SHOW, []) == "This browser cannot unpack recorded runs; a newer one can."


def test_one_timer_whenever_play_is_pressed(visit: Callable[..., Any], file: Path) -> None:
    """Play is pressed on the run before, while the next one, which plays by itself, is unpacked."""
    page = visit(file.as_uri())
    page.locator(".pl-card").first.wait_for()
    timers = page.evaluate(
        """async () => {
          const { player } = document.querySelector(".pl"), text = document.querySelector("section script").textContent;
          player.pause();
          const set = window.setTimeout, clear = window.clearTimeout, timers = new Set();
          window.setTimeout = (...all) => { const timer = set(...all); timers.add(timer); return timer; };
          window.clearTimeout = (timer) => { timers.delete(timer); clear(timer); };
          const shown = player.show(text);
          player.play();
          await shown;
          const playing = timers.size;
          player.pause();
          return [playing, timers.size];
        }"""
    )
    assert timers == [1, 0]


@pytest.mark.parametrize("width", [390, 1366])
def test_nothing_jumps_between_views_and_steps(visit: Callable[..., Any], file: Path, width: int) -> None:
    page = visit(file.as_uri(), viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page.locator(".pl-card").first.wait_for()
    places = set()
    for view in ("Wipe", "Difference", "Clip mask", "Guidance", "Side by side"):
        page.get_by_role("radio", name=view).check()
        for step in (1, STEPS):
            go(page, step)
            places.add(round(page.locator(".pl-transport").bounding_box()["y"]))
    assert len(places) == 1


def test_wipe_shows_one_rule_left_and_another_right(page: Any) -> None:
    page.get_by_role("radio", name="Wipe").check()
    line = page.locator(".pl-wipe-line")
    page.get_by_label("Wipe position").fill("25")
    assert line.get_attribute("style") == "left: 25%;"
    page.locator(".pl-wipe .pl-picture").scroll_into_view_if_needed()
    box = page.locator(".pl-wipe .pl-picture").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert line.get_attribute("style") == "left: 75%;"


def test_it_plays_and_stops_from_the_keyboard(page: Any) -> None:
    scrubber, counter = page.locator(".pl-scrubber"), page.locator(".pl-counter")
    scrubber.press("Home")
    assert counter.inner_text() == f"1 / {STEPS}"
    scrubber.press("ArrowRight")
    assert counter.inner_text() == f"2 / {STEPS}"
    scrubber.press(" ")
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert counter.inner_text() == f"{STEPS} / {STEPS}"


def test_it_plays_by_itself_where_motion_is_welcome(visit: Callable[..., Any], file: Path) -> None:
    page = visit(file.as_uri())
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert page.locator(".pl-counter").inner_text() == f"{STEPS} / {STEPS}"


@pytest.mark.parametrize("width", [390, 1366])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(
    visit: Callable[..., Any], file: Path, contrast_script: str, width: int, scheme: str
) -> None:
    page = visit(file.as_uri(), viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    page.locator(".pl-card").first.wait_for()
    for view in ("Wipe", "Clip mask", "Guidance"):
        page.get_by_role("radio", name=view).check()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(contrast_script) == []


def test_a_fourth_rule_and_a_single_one_fit_a_phone(visit: Callable[..., Any], tiny: Cascade, tmp_path: Path) -> None:
    """A rule that the player cannot apply shows what the engine kept."""
    for rules in ((*SIDE_BY_SIDE, "squash"), ("squash",)):
        made = record(request("a red ball", steps=2, guidance=9.0), tiny, rules)
        path = tmp_path / f"{len(rules)}.html"
        path.write_text(report.page([made]), encoding="utf-8")
        page = visit(path.as_uri(), viewport={"width": 390, "height": 800}, reduced_motion="reduce")
        page.locator(".pl-card").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator(".pl-bar input[type=radio]").count() == (5 if len(rules) > 1 else 3)
        pixels = page.locator(".pl-card canvas:first-child").last.evaluate(
            "x => Array.from(x.getContext('2d').getImageData(0, 0, 64, 64).data)"
        )
        shown = torch.tensor(pixels).reshape(64, 64, 4)[..., :3].permute(2, 0, 1) / 127.5 - 1
        kept = torch.from_numpy(recording.unpack(made, "squash/kept")[-1])
        torch.testing.assert_close(shown, kept, rtol=0, atol=1 / 127)


def test_the_rule_that_is_kept_is_in_front_until_another_is_chosen(page: Any, tiny: Cascade, asked: Request) -> None:
    made = record(asked, tiny)
    chosen = page.evaluate(
        """async ([first, second, third]) => {
          const root = document.body.appendChild(document.createElement("div"));
          const player = ImagenPlayer.mount(root, () => first, () => {});
          const seen = [], look = () => seen.push(root.querySelector(".pl-selected b").textContent);
          await player.show(first); look();
          seen.push(root.querySelector(".pl-micro input[type=radio]:checked").value);
          root.querySelector(".pl-picture").focus(); look();
          await player.show(second); look();
          await player.show(third); look();
          return seen;
        }""",
        [player.recorded(made, picked="static", run_id=f"{i}") for i in range(2)] + [player.recorded(made)],
    )
    assert chosen == ["static", "static", "none", "none", "dynamic"]


def test_a_late_frame_of_a_run_that_ended_is_not_shown(page: Any, tiny: Cascade, asked: Request) -> None:
    requests = recording.under(asked, SIDE_BY_SIDE)
    frames: dict[str, list[Frame]] = {rule: [] for rule in SIDE_BY_SIDE}
    for row in compare(list(requests.values()), tiny):
        for rule, event in zip(SIDE_BY_SIDE, row):
            if not isinstance(event, StageResult):
                frames[rule].append(Frame.of(event))
    one = {rule: track[:1] for rule, track in frames.items()}
    messages = [
        player.live(requests, one, run_id="r"),
        player.recorded(recording.make(requests, frames, weights="w"), run_id="r"),
        player.live(requests, one, run_id="r"),
    ]
    kind = """async (messages) => {
      const root = document.body.appendChild(document.createElement("div"));
      const player = ImagenPlayer.mount(root, () => messages[0], () => {});
      await Promise.all(messages.slice(1).map((text) => player.show(text)));
      return root.dataset.kind;
    }"""
    assert page.evaluate(kind, messages) == "recording"
    assert page.evaluate(kind, messages[:1]) == "live"
    assert json.loads(messages[0])["kind"] == "live"
