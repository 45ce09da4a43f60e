"""The command line: what is wrong is one line and exit 2 before any work; what is right leaves the files it names."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from imagen_core.__main__ import main
from imagen_core.diffusion.guidance import GUIDANCE
from imagen_core.records import png, trace
from imagen_core.settings import CHOICES


@pytest.fixture
def run(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    model = ["--model", str(tiny_folder)]

    def go(*arguments: str) -> int:
        try:
            return main([*arguments, *(model if arguments[0] not in {"render", "train", "reapply"} else [])])
        except SystemExit as stop:
            return int(stop.code or 0)

    return go


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("prompt", ["", "--out", "x.png"]),
        ("prompt", ["x" * 2000, "--out", "x.png"]),
        ("guidance", ["ball", "--out", "x.png", "--guidance", "nan"]),
        ("percentile", ["ball", "--out", "x.png", "--percentile", "0"]),
        ("percentile", ["ball", "--out", "x.png", "--percentile", "101"]),
        ("steps", ["ball", "--out", "x.png", "--steps", "0"]),
        ("aug_level", ["ball", "--out", "x.png", "--aug-level", "1.5"]),
        ("sampler", ["ball", "--out", "x.png", "--sampler", "euler"]),
        ("size", ["ball", "--out", "x.png", "--size", "128"]),
        ("seed", ["ball", "--out", "x.png", "--seed", "-1"]),
        ("count", ["ball", "--out", "x.png", "-n", "9"]),
        ("--out", ["ball", "--out", "nowhere/x.png"]),
        ("--out", ["ball", "--out", "x.jpg"]),
        ("--trace", ["ball", "--out", "x.png", "--trace", "x.zip"]),
        ("times", ["ball", "--out", "x.png", "--times", "0.2,0.8"]),
        ("times", ["ball", "--out", "x.png", "--times", "1,0.5", "--steps", "3"]),
        ("--times", ["ball", "--out", "x.png", "--times", "1,half"]),
        ("--preset", ["ball", "--out", "x.png", "--preset", "if-1", "--threshold", "static"]),
        ("--preset", ["ball", "--out", "x.png", "--preset", "if-1", "--percentile", "90"]),
        ("cap", ["ball", "--out", "x.png", "--threshold", "static", "--set", "base64.cap=2"]),
        ("low", ["ball", "--out", "x.png", "--w-schedule", "interval", "--set", "base64.low=5"]),
        ("guidance_rule", ["ball", "--out", "x.png", "--guidance-rule", "classifier"]),
        ("convention", ["ball", "--out", "x.png", "--guidance-convention", "ho", "--guidance-rule", "classifier"]),
        (
            "convention",
            ["x", "--out", "x.png", "--guidance-convention", "ho", "--set", "base64.guidance_rule=classifier"],
        ),
        ("got 30", ["ball", "--out", "x.png", "--guidance-convention", "ho", "--guidance", "30"]),
        ("--set", ["ball", "--out", "x.png", "--set", "sr256.steps=3"]),
        ("--set", ["ball", "--out", "x.png", "--set", "nonsense"]),
        ("phi", ["ball", "--out", "x.png", "--set", "base64.phi=0.5"]),
        ("steps", ["ball", "--out", "x.png", "--set", "base64.steps=many"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run, capsys, tmp_path: Path, field: str, arguments: list[str]) -> None:
    assert run("sample", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and field in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "ball", "--out", "c.png", "--rules", "none,soft"],
        ["compare", "ball", "--out", "c.png", "--guidances", "1,x"],
        ["render", "--out", __file__],
        ["train", "--stage", "sr512", "--run", "r"],
        ["train", "--stage", "base", "--run", "r", "--steps", "0"],
        ["compare", "ball", "--out", "c.png", "--set", "base64.guidance=9"],
        ["compare", "ball", "--out", "c.png", "--rules", "none,none"],
        ["compare", "ball", "--out", "c.png", "--guidances", ",".join(["1"] * 200)],
        ["fly"],
    ],
)
def test_other_verbs_refuse_too(run, capsys, arguments: list[str]) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_model_is_one_line(capsys, tmp_path: Path) -> None:
    assert main(["sample", "ball", "--out", str(tmp_path / "x.png"), "--model", str(tmp_path / "none")]) == 2
    assert "cascade.json" in capsys.readouterr().err


def test_sample_writes_pictures_with_their_settings(run, capsys, tmp_path: Path) -> None:
    chosen = ["--steps", "2", "--size", "256", "--set", "sr256.steps=1", "--seed", "3", "-n", "2", "--guidance", "4"]
    assert (
        run(
            "sample",
            "a red ball",
            *chosen,
            "--guidance-convention",
            "ho",
            "--trace",
            "t.npz",
            "--out",
            "x.png",
            "--json",
        )
        == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert facts["files"] == ["x-1.png", "x-2.png"] and facts["seeds"] == [3, 4]
    with Image.open(tmp_path / "x-2.png") as picture:
        assert picture.size == (256, 256)
    asked, _ = png.read_settings((tmp_path / "x-2.png").read_bytes())
    assert asked.prompt == "a red ball" and asked.stages[0].guidance == 5 and asked.stages[1].steps == 1
    assert trace.load(tmp_path / "t.npz").request.alone(1) == asked and (asked.seed, asked.count) == (4, 1)


def test_a_picture_of_ones_own_is_enlarged(run, capsys, tmp_path: Path) -> None:
    Image.effect_noise((90, 64), 90).save(tmp_path / "own.jpg")
    chosen = ["--image", "own.jpg", "--set", "sr256.steps=2", "-n", "2", "--aug-level", "0.2", "--trace", "t.npz"]
    assert run("sample", "a photo", *chosen, "--out", "x.png", "--json") == 0
    printed = capsys.readouterr()
    assert "the largest square in the middle is kept" in json.loads(printed.out)["image"]
    assert "not square" in printed.err and "trained on pictures of tabletop alone" in printed.err
    for number in (1, 2):
        data = (tmp_path / f"x-{number}.png").read_bytes()
        asked, _ = png.read_settings(data)
        assert (asked.seed, asked.stages[-1].size, asked.stages[-1].aug_level) == (number - 1, 256, 0.2)
        assert "picture of somebody's own" in str(png.origin(data))
    assert set(trace.load(tmp_path / "t.npz").stages) == {"sr256"}
    for verb in (["reapply"], ["branch"]):
        assert run(*verb, "--from", "t.npz", "--step", "1", "--out", "y.png") == 2
        assert "it began from a picture of somebody's own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("says", "arguments"),
    [("--size: must be larger than 64", ["--image", "own.png", "--size", "64"]),
     ("image: 'no.png' cannot be read", ["--image", "no.png"]),
     ("image: 'bad.png': cannot be decoded whole", ["--image", "bad.png"])],
)  # fmt: skip
def test_what_cannot_be_enlarged_is_one_line(run, capsys, tmp_path: Path, says: str, arguments: list[str]) -> None:
    (tmp_path / "bad.png").write_bytes(b"x")
    assert run("sample", "a photo", *arguments, "--out", "x.png") == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1 and not (tmp_path / "x.png").exists()


def test_the_same_seed_is_the_same_file(run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        assert run("sample", "a red ball", "--steps", "2", "--seed", "3", "--out", name) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_compare_makes_a_grid(run, capsys, tmp_path: Path) -> None:
    assert (
        run(
            "compare",
            "a ball",
            "--steps",
            "2",
            "--rules",
            "none,dynamic",
            "--guidances",
            "1,9",
            "--out",
            "c.png",
            "--json",
        )
        == 0
    )
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [(cell["guidance"], cell["rule"]) for cell in cells] == [
        (1, "none"),
        (1, "dynamic"),
        (9, "none"),
        (9, "dynamic"),
    ]
    assert set(cells[0]) == {"guidance", "rule", "burnt", "colourfulness", "contrast"}
    assert Image.open(tmp_path / "c.png").width == 2 * 256


def test_a_rules_option_goes_to_the_rules_that_take_it(run, tmp_path: Path) -> None:
    chosen = ["--steps", "2", "--rules", "none, dynamic", "--guidances", "9", "--set", "base64.cap=2"]
    assert run("compare", "a ball", *chosen, "--out", "c.png") == 0
    with Image.open(tmp_path / "c.png") as grid:
        assert grid.info["imagen_lab_cells"] == "w = 9, none; w = 9, dynamic"


def test_an_output_that_cannot_be_written_is_one_line(run, capsys, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for out in ("folder.png", "x" * 300 + ".png", "/proc/x.png"):
        assert run("sample", "a ball", "--out", out) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_render_writes_captions(run, capsys, tmp_path: Path) -> None:
    arguments = ("render", "--out", ".", "--count", "2", "--size", "32", "--held-out")
    assert run(*arguments) == 0
    lines = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == ["000000.png", "000001.png"]
    assert Image.open(tmp_path / "000001.png").size == (32, 32)
    assert run(*arguments) == 2 and "already holds a captions.jsonl" in capsys.readouterr().err


def test_info_says_what_a_model_is(run, capsys) -> None:
    assert run("info", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["stages"]) == ["base64", "sr256", "sr1024"] and facts["text_encoder"]["name"] == "minilm"


def test_sweep_keeps_the_noise_and_scores_each_level(run, capsys, tmp_path: Path) -> None:
    assert run("sweep", "a ball", "--steps", "2", "--set", "sr256.steps=2", "--aug-levels", "0,0.5", "--out", "s.png",
               "--json") == 0  # fmt: skip
    facts = json.loads(capsys.readouterr().out)
    assert facts["stage"] == "sr256" and [cell["aug_level"] for cell in facts["cells"]] == [0, 0.5]
    assert set(facts["cells"][0]) == {"aug_level", "sigma", "snr", "consistency", "sharpness"}
    assert facts["cells"][0]["sigma"] == 0 and facts["cells"][1]["sigma"] == pytest.approx(0.7071, abs=1e-4)
    assert Image.open(tmp_path / "s.png").size == (512, 256 + 2 * 16 + 2)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [("size: must be that of a later stage", ["--size", "64"]), ("aug_level: must be", ["--aug-levels", "0,2"]),
     ("aug_level: has a value twice", ["--aug-levels", "0,0"]), ("aug_level: must be", ["--aug-levels", "low"]),
     ("aug_levels: at most 11, got 12", ["--aug-levels", "0,.1,.2,.3,.4,.5,.6,.7,.8,.9,1,.05"]),
     ("--set: aug_level is set by --aug-levels", ["--set", "sr256.aug_level=0.7"])],
)  # fmt: skip
def test_a_wrong_sweep_is_one_line(run, capsys, tmp_path: Path, field: str, arguments: list[str]) -> None:
    assert run("sweep", "a ball", "--out", "s.png", *arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and field in err and not list(tmp_path.iterdir())


@pytest.fixture
def recorded(run) -> list[str]:
    """A run of four steps on disk, and how to name its second."""
    assert run("sample", "a ball", "--steps", "4", "--guidance", "6", "--w-schedule", "constant",
               "--out", "a.png", "--trace", "run.npz") == 0  # fmt: skip
    return ["--from", "run.npz", "--step", "2"]


def test_branch_with_the_same_settings_ends_in_the_same_picture(run, recorded: list[str], tmp_path: Path) -> None:
    assert run("branch", *recorded, "--out", "b.png") == 0
    with Image.open(tmp_path / "a.png") as whole, Image.open(tmp_path / "b.png") as branched:
        assert branched.tobytes() == whole.tobytes()
    assert run("branch", *recorded, "--threshold", "none", "--guidance", "12", "--out", "c.png") == 0
    made, _ = png.read_settings((tmp_path / "c.png").read_bytes())
    assert (made.stages[0].threshold, made.stages[0].guidance, made.stages[0].steps) == ("none", 12, 4)
    assert (tmp_path / "c.png").read_bytes() != (tmp_path / "a.png").read_bytes()


def test_a_branch_says_that_its_settings_alone_draw_another_picture(run, recorded: list[str], tmp_path: Path) -> None:
    assert run("branch", *recorded, "--guidance", "3", "--out", "b.png") == 0
    assert "branch of another run" in str(png.origin((tmp_path / "b.png").read_bytes()))


def test_reapply_needs_no_model(run, recorded: list[str], capsys, tmp_path: Path) -> None:
    assert run("reapply", *recorded, "--rules", "none,dynamic", "--guidances", "1,6", "--out", "r.png", "--json") == 0
    cells = json.loads(capsys.readouterr().out.splitlines()[-1])["cells"]
    assert [(cell["guidance"], cell["rule"]) for cell in cells] == [
        (1, "none"),
        (1, "dynamic"),
        (6, "none"),
        (6, "dynamic"),
    ]
    assert cells[2]["s"] == 1 and cells[2]["outside"] == cells[3]["outside"] > cells[0]["outside"]


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_steps_count_from_one(run, recorded: list[str], capsys, tmp_path: Path, step: int) -> None:
    """As on the page: the run's own rule on its step n has the s that the run's n-th step had."""
    capsys.readouterr()
    assert run("reapply", "--from", "run.npz", "--step", str(step), "--rules", "dynamic", "--guidances", "6",
               "--out", "r.png", "--json") == 0  # fmt: skip
    (cell,) = json.loads(capsys.readouterr().out.splitlines()[-1])["cells"]
    had = trace.load(tmp_path / "run.npz").stages["base64"].arrays["s"][:, 0]
    assert (
        cell["s"] == pytest.approx(float(had[step - 1]), abs=0.01)
        and min((had - had[step - 1]).abs().sort()[0][1:]) > 0.02
    )


@pytest.mark.parametrize(
    ("field", "wrong"),
    [(option, [option, value]) for option, value in (("--model", "tabletop"), ("--dtype", "float32"), ("--size", "256"),
                                                     ("--sampler", "ddim"), ("--aug-level", "0.1"))]
    + [("--set: sr256 is not a stage of this run; it has base64", ["--set", "sr256.guidance=3"]),
       ("--set: a sampler and its options change nothing", ["--set", "base64.sampler=ddim"]),
       ("--set: a sampler and its options change nothing", ["--set", "base64.gamma=0.5"])],
)  # fmt: skip
def test_reapply_offers_only_what_counts(run, capsys, tmp_path: Path, field: str, wrong: list[str]) -> None:
    """A stored step of a run of two stages: no network, no later stage, no sampler."""
    chosen = ["--steps", "2", "--size", "256", "--set", "sr256.steps=1", "--sampler", "ancestral"]
    assert run("sample", "a ball", *chosen, "--out", "a.png", "--trace", "run.npz") == 0
    capsys.readouterr()
    assert run("reapply", "--from", "run.npz", "--step", "1", *wrong, "--out", "r.png") == 2
    err = capsys.readouterr().err
    assert field in err and err.count("\n") == 1 and not (tmp_path / "r.png").exists()


@pytest.mark.parametrize("verb", ["branch", "reapply"])
@pytest.mark.parametrize(
    ("field", "arguments"),
    [("step: must be between 1 and 4", ["--from", "run.npz", "--step", "5"]),
     ("step: must be between 1 and 4", ["--from", "run.npz", "--step", "0"]),
     ("trace", ["--from", "a.png", "--step", "1"]),
     ("trace", ["--from", "nothing.npz", "--step", "1"]),
     ("convention",
      ["--from", "run.npz", "--step", "1", "--guidance-rule", "classifier", "--guidance-convention", "ho"]),
     ("steps", ["--from", "run.npz", "--step", "1", "--set", "base64.steps=9"])],
)  # fmt: skip
def test_a_wrong_step_is_one_line(
    run, recorded: list[str], capsys, tmp_path: Path, verb: str, field: str, arguments: list[str]
) -> None:
    capsys.readouterr()
    assert run(verb, *arguments, "--out", "x.png") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and field in err and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("verb", ["sample", "compare", "sweep", "bench"])
def test_a_cap_of_1_is_warned_of_once(run, capsys, verb: str) -> None:
    out = [] if verb == "bench" else ["--out", "x.png"]
    few = ["--guidances", "2,3"] if verb == "compare" else ["--aug-levels", "0"] if verb == "sweep" else []
    assert run(verb, "a ball", "--steps", "2", "--set", "base64.cap=1", *few, *out) == 0
    assert capsys.readouterr().err.count("warning: cap: ") == 1


@pytest.mark.parametrize(("prompt", "says"), [("a dog on grass", "never seen in training: dog\n"), ("a red ball", "")])
def test_words_that_were_never_seen_are_told(run, capsys, prompt: str, says: str) -> None:
    assert run("sample", prompt, "--steps", "2", "--out", "x.png") == 0
    err = capsys.readouterr().err
    assert says in err and ("never seen" in err) == bool(says)


def test_a_link_to_a_new_file_stays_a_link(run, tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to(tmp_path / "real.png")
    assert run("sample", "a ball", "--steps", "1", "--out", "x.png") == 0
    assert (tmp_path / "x.png").is_symlink() and (tmp_path / "real.png").is_file()


def test_a_full_disk_leaves_the_old_picture_and_says_which_file(run, capsys, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "x.png").write_bytes(b"old")

    def full(self: Image.Image, file: Path, **options: object) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    assert run("sample", "a ball", "--steps", "1", "--out", "x.png") == 2
    assert capsys.readouterr().err == "imagen_core sample: x.png: No space left on device\n"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.png", b"old")]


def test_the_longest_name_can_be_written(run, tmp_path: Path) -> None:
    name = "a" * 251
    assert run("sample", "a ball", "--steps", "1", "--out", f"{name}.png", "--trace", f"{name}.npz") == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png", f"{name}.npz"}


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--steps", "nan"], "argument --steps: must be a whole number, 1 to 250, got 'nan'"),
     (["--guidance", "0x1"], "argument --guidance: must be a number, 0 to 30, got '0x1'"),
     (["--size", "big"], "argument --size: must be a whole number, one of 64, 256, 1024 or of the model's own"),
     (["--times", "1;0.5"], "argument --times: must be numbers with commas between them, falling from at most 1"),
     (["--set", "base64.steps="], "steps: must be a whole number between 1 and 250, got ''"),
     (["--set", "base64.cap=1e39"], "cap: must be a number between 1.0 and 1000.0, got 1e+39"),
     (["--set", "base64.guidance_rule=cfgpp"], "guidance between 0 and 1 and the sampler ddim or dpmpp_2m, got 5 and")],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_told_what_it_must_be(run, capsys, options: list[str], says: str) -> None:
    assert run("sample", "a ball", "--out", "x.png", *options) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


def test_bench_accounts_for_the_run(run, capsys) -> None:
    assert run("bench", "a ball", "--steps", "2", "--size", "64", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert 0 < facts["network_share"] <= 1 and facts["stages"]["base64"]["evaluations"] == 3


def test_bench_compares_every_way_of_guiding(run, capsys) -> None:
    """The tiny model has no classifier, so that way is left out."""
    assert run("bench", "a ball", "--steps", "2", "--guidance-rules", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(GUIDANCE) - {"classifier", "auto"} <= facts.keys() and "cfg, oscillating" in facts
    facts.pop("weights")
    assert facts["cfg"]["ratio"] == 1 and all(fact["seconds_per_step"] > 0 for fact in facts.values())


def test_help_names_every_choice(run, capsys) -> None:
    assert run("sample", "--help") == 0
    text = capsys.readouterr().out
    assert all(option in text for choices in CHOICES.values() for option in choices)


def test_an_interrupt_is_130(run, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("imagen_core.run.generate.generate", interrupted)
    assert run("sample", "a ball", "--out", "x.png") == 130
    assert capsys.readouterr().err == "imagen_core sample: interrupted\n"
