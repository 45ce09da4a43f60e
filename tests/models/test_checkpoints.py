"""Cascades on disk: they come back as they were, and anything altered, missing or hostile is refused in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, edit, redigest, write_tiny
from torch.testing import assert_close

from imagen_core.models import saving
from imagen_core.models.cascade import Cascade
from imagen_core.models.opening import load_cascade
from imagen_core.models.saving import push_to_hub, save_cascade, save_stage
from imagen_core.networks.unet import UNet
from imagen_core.training.recipes import STAGES
from imagen_core.types import UserError


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_a_cascade_comes_back(tiny: Cascade) -> None:
    assert tiny.sizes == (64, 256, 1024)
    assert [stage.spec for stage in tiny.stages] == list(STAGES.values())
    torch.manual_seed(0)
    before, after = UNet(CONFIGS["base"]).state_dict(), tiny.stages[0].network.state_dict()
    assert before.keys() == after.keys()
    assert_close(after["stem.weight"], before["stem.weight"].half().float())
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in tiny.stages[0].network.parameters())


def test_a_base_alone_is_a_cascade(tmp_path: Path) -> None:
    assert load_cascade(write_tiny(tmp_path, ("base",))).sizes == (64,)


def test_large_weights_are_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "SHARD_BYTES", 40_000)
    folder = write_tiny(tmp_path, ("base",))
    shards = list(folder.glob("base64/model-*.safetensors"))
    assert len(shards) > 2 and all(shard.stat().st_size < 60_000 for shard in shards)
    assert load_cascade(folder).sizes == (64,)
    # Weights that are written again leave no shard behind.
    monkeypatch.setattr(saving, "SHARD_BYTES", 9_000_000)
    save_stage(folder, STAGES["base"], CONFIGS["base"], dict(UNet(CONFIGS["base"]).state_dict()), {})
    assert len(list(folder.glob("base64/*.safetensors"))) == 1


def test_an_interrupted_exchange_leaves_the_old_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = load_cascade(folder), Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_stage(folder, STAGES["base"], CONFIGS["base"], dict(UNet(CONFIGS["base"]).state_dict()), {})
    assert load_cascade(folder).digest == before.digest and not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("base64/model.safetensors", lambda p: p.unlink(), "model.safetensors is missing"),
        ("base64/model.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-10]), "was altered"),
        ("base64/config.json", lambda p: p.write_text(p.read_text().replace("v", "w")), "config.json was altered"),
        ("cascade.json", lambda p: p.write_text("{"), "not a cascade's description"),
        ("cascade.json", lambda p: p.unlink(), "holds no cascade.json"),
        ("cascade.json", lambda p: edit(p, lambda d: d.update(format=9)), "has format 9"),
        ("cascade.json", lambda p: edit(p, lambda d: d["text_encoder"].update(name="gpt")), "text encoder 'gpt'"),
        (
            "cascade.json",
            lambda p: edit(p, lambda d: d["text_encoder"].update(digest="0")),
            "trained with another minilm",
        ),
        ("cascade.json", lambda p: edit(p, lambda d: d.update(stages=["../../etc"])), "leads out of"),
        ("cascade.json", lambda p: edit(p, lambda d: d.update(stages=[])), "names no stage"),
        ("cascade.json", lambda p: p.write_text("[" * 200_000), "not a cascade's description"),
        ("cascade.json", lambda p: edit(p, lambda d: d.update(digests=[[1, 2]])), "not a cascade's description"),
        ("cascade.json", lambda p: edit(p, lambda d: d["text_encoder"].update(name="t5")), "text encoder 't5'"),
        ("cascade.json", lambda p: edit(p, lambda d: d.update(stages=["a\0b"])), "leads out of"),
    ],
)
def test_damage_is_refused(folder: Path, file: str, damage: Callable[[Path], object], says: str) -> None:
    damage(folder / file)
    with pytest.raises(UserError, match=says) as caught:
        load_cascade(folder)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["unet"].update(channels=[64, 64]), "do not fit its config.json"),
        (lambda d: d["unet"].update(channels=[10**9, 32]), "config.json: unet: channels must be multiples"),
        (lambda d: d["unet"].update(factor=9), "config.json: unet: factor must be between 2 and 8"),
        (lambda d: d["unet"].update(surprise=1), "does not describe a stage"),
        (lambda d: d["stage"].update(schedule="sine"), "unknown schedule"),
        (lambda d: d["stage"].update(schedule=["cosine"]), "does not describe a stage"),
        (lambda d: d["stage"].update(name="other"), "do not belong together"),
        (lambda d: d["unet"].update(channels=[32.0, 32]), "channels must be multiples"),
        (lambda d: d["unet"].update(embed="x"), "between 1 and 4096"),
        (lambda d: d["unet"].update(fold=0), "between 1 and 4096"),
        (lambda d: d["unet"].update(fold=3), "do not belong together"),
        (lambda d: d["unet"].update(low_res=True), "do not belong together"),
        (lambda d: d["unet"].update(text_width=64), "do not belong together"),
        (lambda d: d["unet"].update(text_width="%2000000000d"), "text_width must be between 1 and 4096"),
        (lambda d: d["unet"].update(text_states=0), "text_states must be between 1 and 4096"),
        (lambda d: d["unet"].update(text_states=True), "text_states must be between 1 and 4096"),
        (lambda d: d["unet"].update(text_states=7), "do not"),
        (lambda d: d.update(training="abc"), "does not describe a stage"),
        (lambda d: d.pop("stage"), "does not describe a stage"),
    ],
)
def test_a_config_that_lies_is_refused(folder: Path, change: Callable[[dict], None], says: str) -> None:
    edit(folder / "base64/config.json", change)
    redigest(folder)
    with pytest.raises(UserError, match=says):
        load_cascade(folder)


@pytest.mark.parametrize(
    ("layer", "says"),
    [(100, "layer: must be 0 to 6 for minilm"), (-3, "layer: must be"), (10**60, "layer: must be"),
     ("2", "which is no whole number"), (True, "which is no whole number"), (float("inf"), "which is no whole number")],
)  # fmt: skip
def test_a_layer_that_the_encoder_lacks_is_refused_with_the_file(folder: Path, layer: object, says: str) -> None:
    edit(folder / "cascade.json", lambda d: d["text_encoder"].update(layer=layer))
    with pytest.raises(UserError, match=f"^model: .*cascade.json.*{says}"):
        load_cascade(folder)


def test_a_super_resolution_stage_predicts_v(folder: Path) -> None:
    edit(folder / "sr256/config.json", lambda d: d["stage"].update(prediction="eps"))
    redigest(folder)
    with pytest.raises(UserError, match="do not belong together"):
        load_cascade(folder)


def test_a_cascade_loads_from_a_hubs_cache_whose_files_are_links(folder: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--me--toy" / "blobs", tmp_path / "models--me--toy" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        shutil.copy(file, blobs / str(number))
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    assert load_cascade(snapshot).digest == load_cascade(folder).digest
    outside = tmp_path / "outside.json"
    (snapshot / "base64" / "config.json").resolve().rename(outside)
    (snapshot / "base64" / "config.json").unlink()
    (snapshot / "base64" / "config.json").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of"):
        load_cascade(snapshot)


def test_weights_that_are_not_safetensors_are_never_unpickled(folder: Path) -> None:
    torch.save({"stem.weight": torch.zeros(1)}, folder / "base64/model.safetensors")
    redigest(folder)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_cascade(folder)


def test_a_cascade_is_saved_as_it_was(tiny: Cascade, tmp_path: Path) -> None:
    save_cascade(tiny, tmp_path / "saved")
    saved = load_cascade(tmp_path / "saved")
    assert saved.digest == tiny.digest and saved.sizes == tiny.sizes
    card = (tmp_path / "saved" / "README.md").read_text()
    assert card.startswith("---\npipeline_tag: text-to-image") and "| base64 | 64 × 64 |" in card
    # A card of its own goes with it.
    (tmp_path / "saved" / "README.md").write_text("mine")
    save_cascade(saved, tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["README.md", "cascade.json"])
def test_a_description_that_links_elsewhere_is_not_read(folder: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text((folder / "cascade.json").read_text())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    with pytest.raises(UserError, match="leads out of"):
        save_cascade(load_cascade(folder), tmp_path / "saved")


def test_what_was_altered_after_loading_is_not_saved(folder: Path, tmp_path: Path) -> None:
    cascade = load_cascade(folder)
    (folder / "base64" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="was altered"):
        save_cascade(cascade, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_cascade_goes_to_a_hub_whole(tiny: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    sent: dict[str, object] = {}

    class Api:
        def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
            sent.update(repository=repository, private=private)

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
            sent["digest"] = load_cascade(folder_path).digest
            return f"https://huggingface.co/{repo_id}/commit/1"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push_to_hub(tiny, "me/tiny").endswith("me/tiny/commit/1")
    assert sent == {"repository": "me/tiny", "private": True, "digest": tiny.digest}
    monkeypatch.setattr(Api, "create_repo", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("down")))
    with pytest.raises(UserError, match=r"^hub: me/tiny cannot be written \(the hub is out of reach"):
        push_to_hub(tiny, "me/tiny")


def test_a_stage_that_is_not_our_own_kind_is_refused(folder: Path) -> None:
    """Latents, learned variances and others' augmentation belong to others' networks."""
    for change in ({"learned_variance": True}, {"augmentation": "deepfloyd"}, {"channels": 4}, {"latent_factor": 4}):
        edit(folder / "base64/config.json", lambda d, change=change: d["stage"].update(change))
        redigest(folder)
        with pytest.raises(UserError, match="do not belong together"):
            load_cascade(folder)
        edit(folder / "base64/config.json", lambda d, change=change: [d["stage"].pop(name) for name in change])
