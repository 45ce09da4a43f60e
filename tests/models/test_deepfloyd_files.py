"""DeepFloyd IF's folders: read as data, refused in one line, planned before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import load_file, save_file
from torch import nn
from torch.testing import assert_close

from imagen_core.__main__ import main
from imagen_core.files import hub
from imagen_core.models.cascade import Cascade, Loading
from imagen_core.models.deepfloyd.folder import read
from imagen_core.models.deepfloyd.memory import plan
from imagen_core.models.opening import defaults_of, load_cascade
from imagen_core.run.generate import check, generate
from imagen_core.settings import DEFAULTS, Request, StageConfig, request
from imagen_core.types import StageResult, UserError

pytestmark = pytest.mark.usefixtures("cache")
BASE = StageConfig(64, 2, 3.0, "ancestral", "leading")


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published / "I", tmp_path / "I"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def unsafe(folder: Path) -> None:
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()


def header_only(folder: Path) -> None:
    """A file that says it is longer than any memory."""
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")


def sharded(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
        index = {"weight_map": {"conv_in.weight": name}}
        (folder / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))

    return damage


def link_out(folder: Path) -> None:
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    outside = folder.parent / "outside.safetensors"
    weights.rename(outside)
    weights.symlink_to(outside)


def part(name: str, *value: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "model_index.json", **{name: list(value)})


def scheduler(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "scheduler/scheduler_config.json", **changes)


def network(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "unet/config.json", **changes)


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no pipeline": (lambda f: (f / "model_index.json").unlink(), "holds no cascade.json and no model_index.json"),
    "no JSON": (write("model_index.json", "{"), "model_index.json is not a JSON object"),
    "deep JSON": (write("unet/config.json", "[" * 100_000), "unet/config.json is not a JSON object"),
    "another pipeline": (lambda f: edit(f / "model_index.json", _class_name="Evil"), "is a 'Evil'; known: IFPipeline"),
    "a class that is no name": (lambda f: edit(f / "model_index.json", _class_name=["IF"]), "known: IFPipeline"),
    "a foreign class": (part("unet", "os", "system"), "wants 'os.system' as its unet; not loaded"),
    "a foreign part": (part("helper", "subprocess", "Popen"), "wants 'subprocess.Popen' as its helper; not loaded"),
    "half a class": (part("unet", "diffusers", None), "as its unet; not loaded"),
    "no unet": (part("unet", None, None), "has no unet"),
    "another text encoder": (part("text_encoder", "transformers", "BertModel"), "BertModel' as its text_encoder"),
    "pickled weights": (unsafe, r"holds no diffusion_pytorch_model.safetensors; .bin files are pickles"),
    "cut weights": (
        lambda f: os.truncate(f / "unet/diffusion_pytorch_model.safetensors", 5000), "is not a whole safetensors file"
    ),
    "a header beyond reason": (header_only, "is not a whole safetensors file"),
    "a shard outside": (sharded("../text_encoder/model.safetensors"), "names files that are not its shards"),
    "a shard that is a pickle": (sharded("a.bin"), "names files that are not its shards"),
    "a missing shard": (sharded("a.safetensors"), "a.safetensors is missing"),
    "a link outside": (link_out, "leads out of"),
    "another schedule": (scheduler(beta_schedule="linear"), "has a schedule .'linear'. that is not known"),
    "betas of its own": (scheduler(trained_betas=[0.1]), "that is not known"),
    "another prediction": (scheduler(prediction_type="flow"), "predicts 'flow'"),
    "no learned variance": (network(out_channels=3), "do not fit its scheduler's variance_type"),
    "a network of stage II": (network(in_channels=6), "takes 6 channels, not 3: is it another stage"),
    "another size": (network(sample_size=32), "makes pictures of 32; a base must make 64"),
    "another width of text": (network(encoder_hid_dim=64), "was trained on text 64 wide; the encoder makes 48"),
    "no T5": (lambda f: edit(f / "text_encoder/config.json", model_type="bert"), "text_encoder is a 'bert', not a T5"),
    "a broken vocabulary": (write("tokenizer/spiece.model", "x"), "tokenizer cannot be read"),
    "an impossible threshold": (scheduler(sample_max_value="much"), "scheduler_config.json cannot be followed"),
    "a cap beyond floats": (scheduler(sample_max_value=10**400), "scheduler_config.json cannot be followed"),
    "an unknown spacing": (scheduler(timestep_spacing="odd"), "scheduler_config.json cannot be followed"),
    "an unknown variance": (scheduler(variance_type="learned"), "scheduler_config.json cannot be followed"),
    "a prediction that is no name": (scheduler(prediction_type=["epsilon"]), "predicts .'epsilon'."),
    "channels that are no number": (network(out_channels=[6]), "do not fit its scheduler's variance_type"),
    "a network told a level": (network(class_embed_type="timestep"), "class_embed_type is 'timestep', not None"),
    "a file and an index": (write("unet/diffusion_pytorch_model.safetensors.index.json", "{}"), "holds both"),
    "weights elsewhere": (
        lambda f: edit(f / "text_encoder/config.json", transformers_weights="a.bin"), "asks for weights beside its own"
    ),
    "an adapter": (write("text_encoder/adapter_config.json", "{}"), "asks for weights beside its own"),
    "an encoder that is no name": (lambda f: edit(f / "text_encoder/config.json", model_type=[]), "not a T5"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_in_one_line(folder: Path, damage: str) -> None:
    change, says = DAMAGES[damage]
    change(folder)
    with pytest.raises(UserError, match=says) as caught:
        # What is checked when it is first used is checked before any other work.
        load_cascade(folder).encode(["a ball"])
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model: ")


def test_a_low_resolution_picture_is_noised_as_in_training_or_not_at_all(stage_2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stage_2, tmp_path / "II")
    edit(folder / "image_noising_scheduler/scheduler_config.json", beta_schedule="scaled_linear")
    with pytest.raises(
        UserError, match="image_noising_scheduler has the schedule scaled_linear, not squaredcos_cap_v2"
    ):
        read(folder, "II", half=False)


def test_aug_level_ends_where_training_did(stage_1: Path, stage_2: Path, stage_3: Path) -> None:
    """The upscaler's max_noise_level of 350, beyond which diffusers refuses as well."""
    cascade = load_cascade(f"{stage_1}, {stage_2}, {stage_3}")
    stages = tuple(cascade.defaults[size] for size in cascade.sizes)
    check(Request("a ball", stages=(*stages[:2], replace(stages[2], aug_level=0.35))), cascade)
    with pytest.raises(UserError, match=r"^aug_level: must be between 0 and 0\.35 for sr1024 of .*, got 0\.4"):
        check(Request("a ball", stages=(*stages[:2], replace(stages[2], aug_level=0.4))), cascade)


@pytest.mark.parametrize(("variance", "gamma"), [("fixed_small", 0.0), ("fixed_large", 1.0), ("learned_range", None)])
def test_a_variance_that_was_not_learned_is_the_schedulers(folder: Path, variance: str, gamma: float | None) -> None:
    edit(folder / "scheduler/scheduler_config.json", variance_type=variance)
    assert load_cascade(folder).defaults[64].options.get("gamma") == gamma


def test_a_text_that_cannot_be_kept_is_read_all_the_same(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is safetensors' own error, which is no OSError."""
    import safetensors.torch

    def full(*_: Any) -> None:
        raise safetensors.SafetensorError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert load_cascade(folder).encode(["a ball"]).tokens.shape[0] == 1


def test_nothing_in_the_folder_is_executed(folder: Path) -> None:
    """Code beside the weights, and configurations that point to it, change nothing."""
    mark = folder.parent / "executed"
    code = f"open({str(mark)!r}, 'w').write('x')\nclass Evil: ...\n"
    for part in ("unet", "tokenizer", "text_encoder", "."):
        (folder / part / "evil.py").write_text(code)
    edit(folder / "text_encoder/config.json", auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"})
    edit(folder / "tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    edit(folder / "unet/config.json", auto_map={"AutoModel": "evil.Evil"}, _class_name="Evil")
    list(generate(Request("a ball", stages=(BASE,)), load_cascade(folder)))
    assert not mark.exists()


@pytest.mark.parametrize("change", ["channels", "missing"])
def test_weights_that_do_not_fit_are_refused(folder: Path, change: str) -> None:
    if change == "channels":
        edit(folder / "unet/config.json", block_out_channels=[8, 32])
    else:
        path = folder / "unet/diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        del weights["conv_in.bias"]
        save_file(weights, path)
    cascade = load_cascade(folder)
    with pytest.raises(UserError, match=r"unet (cannot be loaded|do not fit)") as caught:
        list(generate(Request("a ball", stages=(BASE,)), cascade))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("{0}/II", "II makes 256"),
        ("{0}/II,{0}/I", "without gaps"),
        ("{0}/I,{0}/I", "without gaps"),
        ("{0}/I,{0}/none", "none is not a folder|holds no"),
        ("{0}", "holds no cascade.json and no model_index.json"),
    ],
)
def test_stages_out_of_order_are_refused(published: Path, names: str, says: str) -> None:
    name = names.format(published)
    for ask in (load_cascade, defaults_of):
        with pytest.raises(UserError, match=says):
            ask(name)


def test_the_digest_is_the_weights_not_the_place(published: Path, folder: Path) -> None:
    before = load_cascade(published / "I").digest
    assert load_cascade(folder).digest == before
    edit(folder / "scheduler/scheduler_config.json", beta_start=0.5)
    assert load_cascade(folder).digest != before


def test_half_precision_takes_the_smaller_variant(folder: Path) -> None:
    full = folder / "unet/diffusion_pytorch_model.safetensors"
    half = folder / "unet/diffusion_pytorch_model.fp16.safetensors"
    save_file({name: value.half() for name, value in load_file(full).items()}, half)
    assert hub.weights(folder, "unet", "diffusion_pytorch_model").files == (full,)
    assert hub.weights(folder, "unet", "diffusion_pytorch_model", half=True).files == (half,)
    full.unlink()
    cascade = load_cascade(folder, Loading(dtype="bfloat16"))
    list(generate(Request("a ball", stages=(BASE,)), cascade))
    assert cascade.stages[0].network.unet.dtype == torch.bfloat16


def test_shards_are_read(folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    found = hub.weights(folder, "unet", "diffusion_pytorch_model")
    assert len(found.files) > 2 and found.parameters == sum(p.numel() for p in unet.parameters())
    network = load_cascade(folder).stages[0].network.unet
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), unet.state_dict().values()))


@pytest.mark.parametrize("changes", [{"dtype": "int8"}, {"device": "tpu"}, {"device": "cuda:x"}])
def test_a_wrong_way_to_load_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^(dtype|device): must be"):
        Loading(**changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
@pytest.mark.parametrize("changes", [{"eight_bit": True}, {"device": "cuda"}])
def test_what_needs_a_card_is_refused_without_one(published: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^--(eight-bit: needs an NVIDIA card|device: cuda is not there)"):
        load_cascade(published / "I", Loading(**changes))


def test_a_missing_package_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagen_core.models.deepfloyd import load

    monkeypatch.setattr(load, "NEEDED", ("no_such_package",))
    with pytest.raises(UserError, match="no_such_package is missing; pip install -r requirements-deepfloyd.txt"):
        load_cascade(published / "I")


def test_running_out_of_memory_names_the_knobs(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = load_cascade(published / "I")

    def full(*args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.\nmany lines")

    monkeypatch.setattr(cascade.stages[0].network.unet, "forward", full)
    with pytest.raises(UserError, match="out of memory; try --dtype float16"):
        list(generate(Request("a ball", stages=(BASE,)), cascade))


# What the authors ask of whoever shows pictures.


def finished(cascade: Cascade) -> StageResult:
    return [e for e in generate(Request("a ball", 0, 2, (BASE,)), cascade) if isinstance(e, StageResult)][-1]


def test_finished_pictures_are_checked_and_marked(published: Path) -> None:
    cascade = load_cascade(published / "I")
    assert cascade.guard.startswith("Finished pictures are checked for unsafe content and watermarked")
    result = finished(cascade)
    assert result.withheld == (False, False)
    changed = (result.image - result.unmarked).abs().amax((0, 1)) > 2 / 255
    # IF's mark is a few pixels near the lower right corner.
    assert changed.any() and not changed[:48].any() and not changed[:, :48].any()
    plain = finished(load_cascade(published / "I", Loading(safety=False)))
    assert_close(result.unmarked, plain.image)


def test_unsafe_pictures_are_withheld(folder: Path) -> None:
    """The checker's bias is turned up: both pictures are black, for people and for the next stage."""
    path = folder / "safety_checker/model.safetensors"
    weights = load_file(path)
    nn.init.ones_(weights["p_head.bias"])
    save_file(weights, path, metadata={"format": "pt"})
    result = finished(load_cascade(folder))
    assert result.withheld == (True, True) and (result.unmarked == -1).all()


def test_guard_says_what_is_so(published: Path) -> None:
    assert "switched off" in load_cascade(published / "I", Loading(safety=False)).guard
    assert plan((str(published / "I"),), Loading())["guard"] == load_cascade(published / "I").guard
    assert load_cascade("tabletop").guard == ""


def test_a_checker_without_its_weights_is_refused(folder: Path) -> None:
    path = folder / "safety_checker/model.safetensors"
    weights = load_file(path)
    del weights["p_head.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="do not fit its config.json .first at p_head.weight"):
        finished(load_cascade(folder))


# The same commands and the same page.


def test_defaults_are_the_schedulers(published: Path) -> None:
    defaults = defaults_of(f"{published / 'I'},{published / 'II'}")
    base = defaults[64]
    assert (base.sampler, base.spacing, base.threshold, base.percentile) == ("ancestral", "leading", "dynamic", 95.0)
    assert (
        base.options == {"percentile": 95.0, "cap": 1.5}
        and defaults[256].threshold == "static"
        and defaults[256].aug_level == 0.25
    )
    assert request("a ball", size=256, defaults=defaults).stages == (base, defaults[256])
    # An option of the default's rule goes with it; a percentile is kept under any.
    assert request("a ball", threshold="none", defaults=defaults).stages[0].options == {"percentile": 95.0}
    assert defaults_of("tabletop") == DEFAULTS


def test_the_command_line_runs_it(published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from imagen_core.records import trace

    out, steps = tmp_path / "a.png", tmp_path / "a.npz"
    model = f"{published / 'I'},{published / 'II'}"
    line = ["sample", "a red ball", "--model", model, "--size", "256", "--steps", "3", "--set", "sr256.steps=2"]
    assert main([*line, "--out", str(out), "--trace", str(steps)]) == 0
    recorded = trace.load(steps)
    assert recorded.request.stages[0].options == {"percentile": 95.0, "cap": 1.5}
    assert set(recorded.stages) == {"base64", "sr256"}
    # The same rules from a step on end in the same picture: the learned variance is made anew.
    again = tmp_path / "b.png"
    assert main(["branch", "--from", str(steps), "--step", "2", "--model", model, "--out", str(again)]) == 0
    assert ImageChops.difference(Image.open(out), Image.open(again)).getbbox() is None
    assert main(["sample", "a ball", "--model", model, "--size", "1024", "--out", str(out)]) == 2
    assert "size: 1024 is not offered" in capsys.readouterr().err


def test_info_plans_before_anything_is_loaded(
    published: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagen_core.models.deepfloyd import load, safety

    with monkeypatch.context() as patch:
        for module in (load, safety):
            patch.setattr(module, "from_folder", lambda *_, **__: pytest.fail("nothing may be loaded"))
        assert main(["info", "--model", f"{published / 'I'},{published / 'II'}", "--dtype", "bfloat16", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    parts = {name.rsplit("/")[-1]: facts for name, facts in told["parts"].items()}
    assert list(parts) == ["I: text_encoder", "I: unet", "I: safety_checker", "II: unet"]
    unet = load_cascade(published / "I").stages[0].network.unet
    assert parts["I: unet"]["parameters"] == sum(p.numel() for p in unet.parameters())
    assert told["dtype"] == "bfloat16" and all(facts["where"] == "cpu" for facts in parts.values())


def test_a_plan_spills_what_has_no_room() -> None:
    from imagen_core.models.deepfloyd.memory import _place

    where, after = _place(30_000_000_000, {"cuda:0": 16_000_000_000, "cpu": 8_000_000_000})
    assert where == "cuda:0 16 GB, cpu 8 GB, disk 6 GB" and set(after.values()) == {0}
    assert _place(5_000_000_000, {"cuda:0": 16_000_000_000, "cpu": 0})[0] == "cuda:0"


def test_what_an_earlier_stage_brings_is_not_asked_for_again(published: Path) -> None:
    """Stage II's copies of the encoder, the checker and the mark would be gigabytes fetched for nothing."""
    from imagen_core.models.deepfloyd.load import find

    sources = (str(published / "I"), str(published / "II"))
    first, second = find(sources, Loading())
    assert set(first.weights) == {"unet", "text_encoder", "safety_checker", "watermarker"}
    assert "text_encoder" in second.parts and set(second.weights) == {"unet"}
    assert set(find(sources, Loading(safety=False))[0].weights) == {"unet", "text_encoder"}


def test_numbers_that_overflow_stop_the_run_without_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = next((folder / "unet").glob("*.safetensors"))
    tensors = load_file(weights)
    tensors["conv_in.weight"] = tensors["conv_in.weight"] * 3e4
    save_file(tensors, weights)
    out = tmp_path / "out"
    out.mkdir()
    line = ["sample", "a ball", "--model", str(folder), "--steps", "2", "--dtype", "float16"]
    assert main([*line, "--out", str(out / "a.png"), "--trace", str(out / "a.npz")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "imagen_core sample: dtype: the estimate of base64 at step 1 is not finite; "
        "its numbers overflow, so try --dtype bfloat16 or float32"
    )
    assert list(out.iterdir()) == []
