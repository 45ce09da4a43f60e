"""A rule that somebody adds: one entry in its dict, and settings, links, command line and runs take it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from imagen_core.commands import options as cli
from imagen_core.diffusion import guidance, samplers
from imagen_core.diffusion.guidance import Guide, Moment
from imagen_core.diffusion.samplers import Sampler
from imagen_core.diffusion.thresholding import THRESHOLDS, Threshold
from imagen_core.models.cascade import Cascade
from imagen_core.records import trace
from imagen_core.run.branch import branch, reapply
from imagen_core.run.generate import generate
from imagen_core.settings import RULES, Plan, from_json, hyper_parameters, request, to_json
from imagen_core.settings import ranges as settings_ranges
from imagen_core.settings.text import from_query, to_query
from imagen_core.types import Image, Level, StepRecord, TextEmbedding, UserError


def fading(cond: Image, uncond: Image, *, w: float, level: Level, z: Image, phi: float = 0.5) -> tuple[Image, None]:
    """Guide less where there is more noise: asks for the level and for z."""
    assert z.shape == cond.shape
    return uncond + (1 + (w - 1) * level.alpha**phi) * (cond - uncond), None


def condition_annealed(
    cond: Image, uncond: Image, *, w: float, level: Level, text: TextEmbedding, estimate: Any, phi: float = 0.5
) -> tuple[Image, None]:
    """CADS in one function: while the picture is mostly noise, a further estimate from a weakened text."""
    share = 1 - phi * level.sigma
    weak = estimate(replace(text, tokens=share * text.tokens))
    return uncond + w * (weak - uncond), None


def at_another_level(cond: Image, uncond: Image, *, w: float, level: Level, text: TextEmbedding, estimate: Any):
    """Autoguidance's shape: away from a worse estimate, here that of a network told another level."""
    worse = estimate(text, level=Level(level.t, level.log_snr + 1))
    return worse + w * (cond - worse), None


def counting(cond: Image, uncond: Image, *, w: float, memory: int | None = None) -> tuple[Image, int]:
    return uncond + w * (cond - uncond), (memory or 0) + 1


ADDED = {
    "fading": Guide(fading, "Fading", "", "Less guidance in noise."),
    "cads": Guide(condition_annealed, "CADS", "arXiv 2310.17347", "A weaker text early on.", further=1),
    "auto": Guide(at_another_level, "Autoguidance", "arXiv 2406.02507", "Away from a worse estimate.", further=1),
    "counting": Guide(counting, "Counting", "", "Counts its steps."),
}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, guide in ADDED.items():
        monkeypatch.setitem(guidance.GUIDANCE, name, guide)
    monkeypatch.setitem(samplers.SAMPLERS, "three", THREE)


def every_face(**base: Any):
    """A request that went through JSON, a link and the command line, and came back the same each time."""
    asked = request("a red ball", steps=4, guidance=3.0, w_schedule="constant", **base)
    assert from_json(to_json(asked)) == (asked, ())
    restored = from_query([tuple(pair.split("=")) for pair in to_query(asked)[1:].replace("+", " ").split("&")], {})
    assert restored == (asked, ())
    parser = cli.Parser()
    cli.add_run_arguments(parser)
    words = ["a red ball", "--steps", "4", "--guidance", "3", "--w-schedule", "constant"]
    for name, value in base.items():
        sets = {f"base64.{k}": v for k, v in value.items()} if name == "options" else {}
        words += [f"--set={k}={v}" for k, v in sets.items()]
        words += [] if name == "options" else [f"--{name.replace('_', '-')}", value]
    assert cli.request_from(parser.parse_args(words)) == asked
    assert settings_ranges.CHOICES["guidance_rule"]["fading"].help == "Less guidance in noise."
    return asked


@pytest.mark.usefixtures("added")
def test_a_guidance_rule_is_handed_the_level_and_z(tiny: Cascade) -> None:
    asked = every_face(guidance_rule="fading", options={"phi": 0.25})
    records = [event for event in generate(asked, tiny) if isinstance(event, StepRecord)]
    for record in records:
        out, w = record.out, 1 + 2 * record.now.alpha**0.25
        assert_close(out.x0_raw, out.x0_uncond + w * (out.x0_cond - out.x0_uncond))
    with pytest.raises(UserError, match="^phi: must be a number between 0.0 and 1.0"):
        request("x", guidance_rule="fading", options={"phi": 2.0})


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("rule", ["cads", "auto"])
def test_a_guidance_rule_may_ask_the_network_again(rule: str, tiny: Cascade) -> None:
    """Its estimates are counted; a stored step, which has no network, is refused in one line."""
    asked = every_face(guidance_rule=rule)
    assert Plan(asked.stages[0], "cosine").rows == (3, 3, 3, 3)
    recorder = trace.Recorder(asked, tiny)
    records = [event for event in recorder.watch(generate(asked, tiny)) if isinstance(event, StepRecord)]
    out = records[1].out
    assert not torch.allclose(out.x0_raw, out.x0_uncond + 3 * (out.x0_cond - out.x0_uncond))
    with pytest.raises(UserError, match=f"^guidance_rule: {rule} asks the network again"):
        reapply(recorder.trace(), 1, asked.stages[0])
    # To go on from a step, the network is there.
    *_, whole = generate(asked, tiny)
    *_, again = branch(recorder.trace(), 2, asked, tiny)
    assert torch.equal(again.image, whole.image)


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun"])
def test_a_memory_moves_once_a_step(sampler: str, tiny: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    before = []

    def watched(cond: Image, uncond: Image, *, w: float, memory: int | None = None) -> tuple[Image, int]:
        before.append(memory)
        return counting(cond, uncond, w=w, memory=memory)

    monkeypatch.setitem(guidance.GUIDANCE, "counting", replace(ADDED["counting"], fn=watched))
    list(generate(request("a ball", steps=3, guidance_rule="counting", sampler=sampler, w_schedule="constant"), tiny))
    # Heun's method evaluates twice for its middle step's weight, before and at it.
    assert list(dict.fromkeys(before)) == [None, 1, 2]


# Adams-Bashforth in log-SNR, of third order where three estimates are known: all that matters is what it is handed.
@dataclass
class Seen:
    pasts: tuple[tuple[int, ...], ...] = ()


SEEN = Seen()


def three(denoise: Any, z: Image, now: Level, next: Level, noise: Any, past: tuple[StepRecord, ...], *, eta: float = 0):
    out = denoise(z, now)
    SEEN.pasts += (tuple(record.index for record in past),)
    d = out.x0_hat + 0.1 * sum((out.x0_hat - record.out.x0_hat for record in past), torch.zeros(()))
    return next.alpha * d + next.sigma * (z - now.alpha * out.x0_hat) / now.sigma, out


THREE = Sampler(three, "Three-step", "", "Looks at two steps before this one.", history=2)


@pytest.mark.usefixtures("added")
def test_a_sampler_sees_as_many_steps_as_its_history(tiny: Cascade) -> None:
    """The latest is the last; a branch makes the same records again."""
    asked = every_face(sampler="three")
    SEEN.pasts = ()
    recorder = trace.Recorder(asked, tiny)
    *_, whole = recorder.watch(generate(asked, tiny))
    assert SEEN.pasts == ((), (0,), (0, 1), (1, 2))
    for step in (1, 2, 3):
        *_, again = branch(recorder.trace(), step, asked, tiny)
        assert torch.equal(again.image, whole.image), step


@pytest.mark.parametrize("name", RULES)
def test_every_rule_can_be_given_what_it_asks_for(name: str) -> None:
    """Each parameter is handed over by the engine, or is an option with a range."""
    handed_over = {field.name for field in fields(Moment)}
    for entry in RULES[name].values():
        assert hyper_parameters(entry).keys() <= settings_ranges.RANGES.keys()
        assert not isinstance(entry, Guide) or set(entry.asks) <= handed_over


def test_a_rule_has_its_own_default_percentile(monkeypatch: pytest.MonkeyPatch) -> None:
    def soft(x0: Image, *, percentile: float = 95.0) -> tuple[Image, torch.Tensor]:
        return x0 / percentile, x0.new_ones(len(x0))

    monkeypatch.setitem(THRESHOLDS, "soft", Threshold(soft, "Soft", "", "For a test."))
    stage = request("x", threshold="soft").stages[0]
    assert stage.percentile == 95.0 and stage.rule("threshold").keywords == {"percentile": 95.0}
    other = request("x", threshold="soft", percentile=99.5).stages[0]
    assert other.percentile == 99.5 and other.rule("threshold").keywords == {"percentile": 99.5}
