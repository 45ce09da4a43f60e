"""Evaluations from end to end on a tiny random cascade: honest batches, kept cells, whole tables, kind refusals."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_tiny
from PIL import Image
from test_architecture import FILES, ROOT, imports, module
from torch import Tensor
from torch.testing import assert_close

from imagen_core.__main__ import main
from imagen_core.diffusion.augmentation import bicubic, resize
from imagen_core.diffusion.saturation import consistency, sharpness
from imagen_core.evaluation import (
    paper_figures as figures,
)
from imagen_core.evaluation import (
    sampler_study as samplers,
)
from imagen_core.evaluation import (
    sampling,
    scoring,
    super_resolution,
)
from imagen_core.evaluation.detector import load_detector
from imagen_core.evaluation.disk import kept_in
from imagen_core.evaluation.judges import clip_score, inception, read_pictures, read_prompts, tabletop_judge
from imagen_core.evaluation.paper_figures import Extent, draw_figures, recommended
from imagen_core.evaluation.sampling import Order, draw_all, for_viewers, kept
from imagen_core.evaluation.scoring import SCORES, score
from imagen_core.evaluation.super_resolution import compared, crops, describe
from imagen_core.evaluation.tabletopbench import prompts
from imagen_core.models.cascade import Cascade, Finished
from imagen_core.models.opening import load_cascade
from imagen_core.networks.text import TextEncoder
from imagen_core.run.generate import generate
from imagen_core.settings import DEFAULTS, Request, StageConfig
from imagen_core.types import StageResult, TextEmbedding, UserError

# One or two steps: what is tested here is not how good the pictures are.
BASE, SR = replace(DEFAULTS[64], steps=2), replace(DEFAULTS[256], steps=1)


@pytest.fixture
def short(tiny: Cascade, monkeypatch: pytest.MonkeyPatch) -> Cascade:
    """A cascade whose own defaults take a step or two, and two true renders a prompt."""
    monkeypatch.setattr(scoring, "RENDERS", 2)
    return replace(tiny, defaults={64: replace(BASE, steps=1), 256: SR, 1024: replace(DEFAULTS[1024], steps=1)})


def test_a_picture_does_not_depend_on_its_batch(tiny: Cascade) -> None:
    """Prompts of different lengths side by side give what each gives alone, and what the engine makes of a request."""
    asked = [Order("a cube", 5), Order("a large red sphere to the left of a small blue cube on grass at sunset", 9)]
    together = draw_all(tiny, BASE, asked)
    for order, image in zip(asked, together):
        assert_close(draw_all(tiny, BASE, [order])[0], image, atol=1e-4, rtol=0)
        events = generate(Request(order.prompt, order.seed, 1, (BASE,)), tiny)
        (result,) = [event for event in events if isinstance(event, StageResult)]
        assert_close(result.image[0], image, atol=1e-4, rtol=0)


def test_all_texts_are_read_once_and_before_any_picture(tiny: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large encoder is loaded for each reading; a prompt that is too long must not cost the pictures before it."""
    reads: list[list[str]] = []

    class Watched(TextEncoder):
        def __call__(self, prompts: Sequence[str]) -> TextEmbedding:
            reads.append([*prompts])
            return tiny.encode(prompts)

    encode = Watched("watched", "", tiny.encode.width, 256, tiny.encode.load)
    monkeypatch.setattr(sampling, "PIXELS", 64 * 64)
    asked = [Order("a cube", 1), Order("a cone", 2), Order("a cube", 3)]
    drawn = draw_all(replace(tiny, encode=encode), BASE, asked)
    assert reads == [["a cube", "a cone"]]
    assert_close(drawn[2:], draw_all(tiny, BASE, asked[2:]), atol=1e-4, rtol=0)
    monkeypatch.setattr(sampling, "run_stage", lambda *_: pytest.fail("a picture was begun"))
    with pytest.raises(UserError, match="tokens"):
        draw_all(tiny, BASE, [*asked, Order("cube " * 300, 4)])


def test_a_stage_that_is_missing_is_refused(tmp_path: Path) -> None:
    base_only = load_cascade(write_tiny(tmp_path, ("base",)))
    with pytest.raises(UserError, match="256 is not offered"):
        draw_all(base_only, SR, [Order("a cube", 0)], torch.zeros(1, 3, 64, 64))
    with pytest.raises(UserError, match="no base with super-resolution stages"):
        super_resolution.evaluate(base_only, tmp_path, {256: 1})


def test_a_bench_has_every_score(short: Cascade, tmp_path: Path) -> None:
    asked = [next(p for p in prompts() if p.category == c) for c in dict.fromkeys(p.category for p in prompts())]
    found = score(short, BASE, asked, 1, 0, tmp_path)
    assert set(found) >= {
        *SCORES,
        "frechet",
        "saturation_excess_static",
        "saturation_excess_dynamic",
        "samples",
        "seconds",
    }
    assert found["samples"] == len(asked) and found["pictures"]["objects"] == 7
    assert all(low <= found[name] <= high for name, (low, high) in found["intervals"].items())
    # On true renders the judge is right, and random networks are far from them.
    assert found["on_renders"]["objects"] >= 0.9 and found["on_renders"]["floor"] == 1
    assert found["frechet"] > 2 * found["frechet_of_renders"]
    # The same again from the kept renders; nothing in it is left to chance.
    again = score(short, BASE, asked, 1, 0, tmp_path)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in found.items() if k != "seconds"}
    json.dumps(found)


def test_a_models_own_defaults_are_measured(tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the base, with an option that the other rules do not take, and those of its super-resolution."""
    base = replace(BASE, sampler="ancestral", options={"percentile": 95.0, "cap": 1.5, "gamma": 0.5})
    own = replace(tiny, defaults={64: base, 256: replace(SR, aug_level=0.25), 1024: DEFAULTS[1024]})
    drawn = []

    def watched(cache: Path, cascade: Cascade, config: StageConfig, asked: list[Order], *low_res: Tensor) -> Tensor:
        drawn.append(config)
        return torch.zeros(len(asked), 3, config.size, config.size)

    for drawing in (figures, samplers, scoring, super_resolution):
        monkeypatch.setattr(drawing, "kept", watched)
    figures.over_w(own, tabletop_judge(80, tmp_path), 1, tmp_path)
    samplers.measure_samplers(own, samplers.Extent(80, (1,), 2), tmp_path, tmp_path)
    score(own, base, prompts()[::80], 1, 0, tmp_path)
    assert {config.percentile for config in drawn} == {95.0}
    assert all(config.options.get("cap", 1.5) == 1.5 and config.guidance_rule == "cfg" for config in drawn)
    assert {config.threshold for config in drawn if not config.options.get("cap")} == {"none", "static"}
    drawn.clear()
    found = super_resolution.evaluate(own, tmp_path, {256: 2})
    assert {config.size: config for config in drawn} == {size: own.defaults[size] for size in (64, 256)}
    assert found["settings"]["sr256"]["aug_level"] == 0.25


def test_a_bench_starts_from_the_models_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line does not say is the model's, what it says is said of that."""
    own = replace(BASE, guidance=7.0, sampler="ancestral", options={"cap": 1.5, "gamma": 0.5})
    asked = []
    monkeypatch.setattr("imagen_core.models.opening.defaults_of", lambda model: {64: own})
    monkeypatch.setattr("imagen_core.models.opening.load_cascade", lambda *_: None)
    monkeypatch.setattr(scoring, "score", lambda cascade, config, *_: asked.append(config) or {})
    assert main(["evaluate", "tabletopbench", "--json"]) == 0
    assert main(["evaluate", "tabletopbench", "--threshold", "none", "--steps", "9", "--json"]) == 0
    assert asked == [own, replace(own, threshold="none", steps=9, options={"gamma": 0.5})]


def test_the_watermark_is_for_people_alone(tiny: Cascade, tmp_path: Path) -> None:
    """What is judged, and enlarged, is what the model drew; what is looked at bears its authors' mark."""

    def finish(pictures: Tensor) -> Finished:
        return Finished(torch.ones_like(pictures), pictures, (False,) * len(pictures))

    marking = replace(tiny, stages=(replace(tiny.stages[0], finish=finish), *tiny.stages[1:]))
    plain = draw_all(tiny, BASE, [Order("a cube", 0)])
    drawn = draw_all(marking, BASE, [Order("a cube", 0)])
    assert torch.equal(drawn, plain)
    assert (for_viewers(marking, 64, drawn) == 1).all() and torch.equal(for_viewers(tiny, 64, drawn), drawn)
    score(marking, BASE, prompts()[:1], 2, 0, tmp_path, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.getpixel((128, 200)) == (255, 255, 255)


def test_crops_cut_a_picture_into_pieces() -> None:
    images = torch.arange(2 * 3 * 256 * 256.0).reshape(2, 3, 256, 256)
    pieces = crops(images)
    assert pieces.shape == (32, 3, 64, 64)
    assert torch.equal(pieces[16 + 6], images[1, :, 64:128, 128:192])
    large = crops(torch.arange(1024.0).expand(1, 3, 1024, 1024))
    # Not one column of pieces is left out.
    assert 40 < len(large) <= 64 and len({float(piece[0, 0, 0]) for piece in large}) == 16


def test_consistency_and_sharpness() -> None:
    """An enlargement by repetition is consistent without end; bicubic is softer than the truth, noise sharper."""
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 3, 256, 256, generator=random) * 2 - 1
    low_res = resize(truth, 64)
    repeated = low_res.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert float(consistency(repeated, low_res).min()) > 90
    assert_close(consistency(repeated + 0.02, low_res), torch.full((2,), 40.0), atol=0.1, rtol=0)
    assert (sharpness(bicubic(low_res, 256)) < sharpness(truth)).all()
    detector, _ = load_detector()
    true, plain = describe(detector, truth), describe(detector, bicubic(low_res, 256))
    itself = compared(true, plain, true, 0.0)
    assert itself.frechet < 1e-5 < itself.frechet_bicubic and itself.sharpness == 1 > itself.sharpness_bicubic


def test_a_blurred_edge_is_less_sharp() -> None:
    """Its differences still sum to the height of the edge, so that their mean would not tell; their mean square does.

    An edge of height h over n pixels has n differences of h / n: sharpness falls as 1 / sqrt(n).
    """
    detector, _ = load_detector()
    line = torch.arange(64.0)
    hard, soft = ((((line - 32) / n).clamp(0, 1) * 2 - 1).expand(1, 3, 64, 64) for n in (1, 16))
    assert describe(detector, soft).sharpness == pytest.approx(describe(detector, hard).sharpness / 4, rel=1e-5)


def test_super_resolution_is_scored_on_true_and_generated_inputs(short: Cascade, tmp_path: Path) -> None:
    found = super_resolution.evaluate(short, tmp_path, {256: 2})
    for name in ("sr256_frechet_ratio", "sr256_psnr", "sr256_sharpness"):
        assert found[name] > 0 and found[f"{name}_generated"] > 0
    assert found["samples"] == {"sr256": 2}
    assert len(list(tmp_path.glob("fresh-world1-*-256-*.npy"))) == 2


def test_a_cell_is_drawn_once(tiny: Cascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same cell comes from disk, even for a model that cannot draw it; another setting, seed or input does not.

    Nor does one that another version of the engine drew.
    """
    asked = [Order("a cube", 0)]
    first = kept(tmp_path, tiny, BASE, asked)
    broken = replace(tiny, stages=())
    assert torch.equal(kept(tmp_path, broken, BASE, asked), first)
    for config, orders, digest in (
        (replace(BASE, guidance=3.0), asked, tiny.digest),
        (BASE, [Order("a cube", 1)], tiny.digest),
        (BASE, asked, "others"),
    ):
        with pytest.raises(UserError, match="not offered"):
            kept(tmp_path, replace(broken, digest=digest), config, orders)
    made = kept(tmp_path, tiny, SR, asked, torch.zeros(1, 3, 64, 64))
    assert not torch.equal(kept(tmp_path, tiny, SR, asked, torch.ones(1, 3, 64, 64)), made)
    monkeypatch.setattr(sampling, "engine_digest", lambda: "another engine")
    with pytest.raises(UserError, match="not offered"):
        kept(tmp_path, broken, BASE, asked)


def test_a_file_of_pictures_is_whole_or_not_there(tmp_path: Path) -> None:
    """Every one of 256 values comes back as it was; what was interrupted leaves nothing; what is there stays."""

    def interrupted() -> Tensor:
        raise KeyboardInterrupt

    file, values = tmp_path / "deeper" / "x.npy", torch.arange(256).float().expand(1, 3, 2, 256) / 127.5 - 1
    shape = tuple(values.shape)
    with pytest.raises(KeyboardInterrupt):
        kept_in(file, shape, interrupted)
    assert list(file.parent.iterdir()) == []
    assert torch.equal(kept_in(file, shape, lambda: values), values)
    assert torch.equal(kept_in(file, shape, interrupted), values) and list(file.parent.iterdir()) == [file]
    whole = file.read_bytes()
    for damaged in (b"", b"junk", whole[:-1]):
        file.write_bytes(damaged)
        assert torch.equal(kept_in(file, shape, lambda: values), values)
    # Fewer pictures than asked for are not those that were asked for.
    assert torch.equal(kept_in(file, (2, 3, 2, 256), lambda: values.expand(2, -1, -1, -1))[1:], values)


def test_every_module_that_draws_is_in_the_engines_digest() -> None:
    """Whatever sampling or loading imports, however deep, and nothing else."""
    found, left = set(), {"run", "models"}
    while left:
        name = left.pop()
        found.add(name)
        files = [path for path in FILES if path.relative_to(ROOT / "imagen_core").parts[0] in (name, f"{name}.py")]
        left |= {module(other) for path in files for other in imports(path)} - found - {None}
    assert found == set(sampling.DRAWN_BY)


def test_figures_are_drawn_whole(short: Cascade, tmp_path: Path) -> None:
    extent = Extent(each=1, stride=80, aug_levels=(0.0, 0.3), sr_ws=(1.0,), sr_scenes=2)
    judge = tabletop_judge(extent.stride, tmp_path / "cache")
    found = draw_figures(short, judge, extent, tmp_path / "cache", tmp_path / "out", "for a test")
    table = list(csv.DictReader((tmp_path / "out" / "pareto.csv").open()))
    assert len(table) == 21 and {row["threshold"] for row in table} == {"none", "static", "dynamic"}
    assert all(float(row["low"]) <= float(row["alignment"]) <= float(row["high"]) for row in table)
    assert found["recommended"] in [{"aug_level": level, "w": 1.0} for level in extent.aug_levels]
    assert len(list(csv.DictReader((tmp_path / "out" / "aug_level.csv").open()))) == 4
    for name in ("pareto.png", "weights.png", "aug_level.png", "aug_level-pictures.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 250
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert figures.over_w(short, judge, extent.each, tmp_path / "cache").rows == found["pareto"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == before


def test_the_recommended_level_is_that_of_generated_inputs() -> None:
    rows = [
        {"inputs": "true", "aug_level": 0.0, "w": 1.0, "frechet": 0.1},
        {"inputs": "generated", "aug_level": 0.0, "w": 1.0, "frechet": 0.9},
        {"inputs": "generated", "aug_level": 0.2, "w": 2.0, "frechet": 0.4},
    ]
    assert recommended(rows) == rows[2]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of random weights, small enough to make here."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast

    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(i) for i in range(33, 127)]
    vocabulary = {
        w: i for i, w in enumerate([*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"])
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    text = {**small, "vocab_size": len(vocabulary), "eos_token_id": len(vocabulary) - 1, "max_position_embeddings": 32}
    CLIPModel(
        CLIPConfig(text_config=text, vision_config={**small, "image_size": 32, "patch_size": 16})
    ).save_pretrained(folder)
    return folder


def test_clip_score_is_the_models_own_cosine(clip_folder: Path) -> None:
    """Against transformers' logits, which are the cosine times a learned scale."""
    from transformers import AutoTokenizer, CLIPModel

    model, tokenizer = CLIPModel.from_pretrained(clip_folder), AutoTokenizer.from_pretrained(clip_folder)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    prompts = ["a cube", "a small red ball", "x"]
    mean, std = torch.tensor([[0.4815, 0.4578, 0.4082], [0.2686, 0.2613, 0.2758]])[:, :, None, None]
    words = tokenizer(prompts, padding=True, return_tensors="pt")
    logits = model(pixel_values=((images + 1) / 2 - mean) / std, **words).logits_per_image.detach()
    expected = (100 * logits.diagonal() / model.logit_scale.exp().detach()).clamp_min(0)
    assert_close(clip_score(str(clip_folder))(images, prompts), expected, atol=0.02, rtol=0)


def test_what_a_photographic_judge_needs_is_refused_in_one_line(tmp_path: Path, clip_folder: Path) -> None:
    with pytest.raises(UserError, match="--clip: .* is no CLIP folder"):
        clip_score(str(tmp_path))
    with pytest.raises(UserError, match="--prompts: .* not a readable text file"):
        read_prompts(tmp_path)
    (tmp_path / "prompts.txt").write_text("a dog\n\n a cat \n")
    assert read_prompts(tmp_path / "prompts.txt") == ("a dog", "a cat")
    with pytest.raises(UserError, match="must hold 2 to"):
        read_pictures(tmp_path, 64)
    for i in range(2):
        Image.new("RGB", (100 + i, 80), (255, 0, 0)).save(tmp_path / f"{i}.png")
    pictures = read_pictures(tmp_path, 64)
    assert pictures.shape == (2, 3, 64, 64)
    assert_close(pictures[0, :, 5, 5], torch.tensor([1.0, -1.0, -1.0]))
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n no")
    with pytest.raises(UserError, match=r"2\.png is not a readable picture"):
        read_pictures(tmp_path, 64)


def test_fid_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(UserError, match="pip install torchmetrics torch-fidelity"):
        inception()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabletopbench", "--each", "0"], "--each: must be between 1 and 100"),
        (["tabletopbench", "--seed", "-1"], "--seed: must be between 0"),
        (["tabletopbench", "--guidance", "99"], "guidance: must be a number between 0.0 and 30.0"),
        (["tabletopbench", "--model", "nowhere"], "nowhere holds no cascade.json"),
        (["figures", "--out", __file__], "cannot be made or written to"),
        (["tabletopbench", "--quick", "--each", "2"], "--each: --quick draws one picture a prompt"),
        (["figures", "--clip", "x"], "--clip, --prompts and --reference: go together"),
        (["sr", "--clip", "x"], "--clip: belongs to tabletopbench or figures, not to sr"),
        (["captions", "--each", "2"], "--each: belongs to tabletopbench or settings, not to captions"),
        (
            ["tabletopbench", "--out", "x"],
            "--out: belongs to figures or samplers or settings or percentiles or encoders, not to tabletopbench",
        ),
        (["encoders", "--runs", __file__], "--runs: "),
        (["sr", "--runs", "x"], "--runs: belongs to encoders, not to sr"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["evaluate", *arguments, "--cache", str(tmp_path / "cache")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "cache").exists()
