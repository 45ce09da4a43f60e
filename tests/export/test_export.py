"""The export: what its folder holds, what its graphs compute, and what it refuses."""

from __future__ import annotations

import gzip
import importlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tab_vectors
import torch
from conftest import CONFIGS
from tiny_export import Exported
from torch import Tensor, nn

from imagen_core.__main__ import main
from imagen_core.export import folder, language, networks, rules, tracing
from imagen_core.files.digests import sha256
from imagen_core.models.cascade import Stage
from imagen_core.networks.text import LAST, MIX, TextEncoder
from imagen_core.networks.unet import UNet
from imagen_core.training.recipes import STAGES
from imagen_core.types import UserError


def unpacked(exported: Exported, name: str) -> bytes:
    """A packed file of the folder, as the engine in the browser unpacks it."""
    facts = json.loads((exported.place / "weights" / "manifest.json").read_text())["files"][name]
    data = gzip.decompress((exported.place / "weights" / name).read_bytes())
    if facts["planes"]:
        data = np.frombuffer(data, np.uint8).reshape(2, -1).T.tobytes()
    return data[: facts["size"]]


def test_the_folder_holds_what_its_manifest_says(exported: Exported) -> None:
    weights = exported.place / "weights"
    manifest = json.loads((weights / "manifest.json").read_text())
    assert {path.name for path in weights.iterdir()} == {"manifest.json", *manifest["files"]}
    assert {name for part in manifest["parts"].values() for name in part} == set(manifest["files"])
    for name, facts in manifest["files"].items():
        data = (weights / name).read_bytes()
        assert (len(data), sha256(data)) == (facts["bytes"], facts["sha256"]), name
    assert [stage["name"] for stage in manifest["stages"]] == ["base64", "sr256"]
    assert manifest["digest"] == exported.cascade.digest and list(manifest["defaults"]) == ["64", "256"]
    for name in folder.VENDOR:
        assert (exported.place / "vendor" / name).stat().st_size > 1000
    assert (exported.place / "engine" / "noise.js").is_file()
    assert not list((exported.place / "engine").glob("*.test.js"))


def test_graphs_agree_with_torch_and_say_how_well(exported: Exported) -> None:
    errors = {
        name: float(error)
        for facts in exported.facts.values()
        if isinstance(facts, dict)
        for name, error in facts.get("error", {}).items()
    }
    assert errors.keys() >= {"text", "base64.context", "base64.network", "sr256.low_res", "rule.dynamic"}
    assert all(error < 2e-5 for name, error in errors.items() if name != "text"), errors
    # The step is the engine's own arithmetic to the last bit.
    assert all(error == 0 for name, error in errors.items() if name.startswith("step.")), errors
    assert 0 < errors["text"] < 1e-2


def test_a_folder_of_halves_is_packed_without_loss(exported: Exported) -> None:
    _, model = exported.cascade.encode.warm_up()
    table = model.get_input_embeddings().weight.detach()
    words = json.loads((exported.place / "weights" / "manifest.json").read_text())["text"]["words"]
    shards = [np.frombuffer(unpacked(exported, name), "<f2") for name in words["files"]]
    assert {len(shard) for shard in shards[:-1]} == {words["rows"] * 384}
    assert np.array_equal(np.concatenate(shards).reshape(-1, 384), table.half().numpy())
    for odd in (b"", b"a", b"abc", b"abcd"):
        even, other = folder.planes(odd)[: (len(odd) + 1) // 2], folder.planes(odd)[(len(odd) + 1) // 2 :]
        assert even == odd[::2] and other[: len(odd) // 2] == odd[1::2]


def test_dynamic_in_the_graph_takes_any_percentile_and_size(exported: Exported) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(unpacked(exported, "rule.dynamic.onnx.bin"))
    rule = rules.Rule("dynamic")
    made = torch.Generator().manual_seed(1)
    for percentile, side, spread in ((50.0, 64, 1.0), (100.0, 64, 3.0), (99.5, 256, 0.1), (97.3, 17, 2.0)):
        cond, uncond = (spread * torch.randn(2, 3, side, side, generator=made) for _ in range(2))
        inputs = (cond, uncond, torch.tensor(7.5), torch.tensor(percentile, dtype=torch.float64))
        found = session.run(None, {own.name: x.numpy() for own, x in zip(session.get_inputs(), inputs)})
        for name, array, wanted in zip(["raw", "hat", *rules.NUMBERS], found, rule(*inputs), strict=True):
            assert np.allclose(array, wanted.numpy(), rtol=2e-5, atol=2e-5), (name, percentile, side)


def test_a_graph_that_disagrees_is_not_written(tmp_path: Path, exported: Exported) -> None:
    class Halving(nn.Module):
        """Halves what it is traced with, and so other values wrongly."""

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (x * 0.5 if torch.compiler.is_exporting() else x * 0.6,)

    inputs = {"x": torch.ones(2, 3)}
    traced = tracing.Traced(Halving(), inputs, {"x": {0: "b"}}, ["y"], {"x": torch.ones(3, 3)})
    made = folder.Folder(tmp_path)
    with pytest.raises(UserError, match="halving is off by"):
        made.add_graph("halving", traced, "rules")
    assert list(tmp_path.iterdir()) == []
    made.add_graph("halving", replace(traced, allowed=1.0), "rules")
    assert [path.name for path in tmp_path.iterdir()] == ["halving.onnx.bin"]


@pytest.mark.slow
def test_an_export_that_was_killed_is_none_and_may_be_begun_again(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / folder.MANIFEST).write_text("of an earlier export")
    # A generator that is left early stands for a killed process.
    next(folder.write(exported.cascade, tmp_path))
    assert not (weights / folder.MANIFEST).exists()
    monkeypatch.setattr(folder, "write", lambda *_: iter([("bytes", 1)]))
    assert main(["export", "--to", str(tmp_path)]) == 0
    (weights / folder.BEGUN).unlink()
    assert main(["export", "--to", str(tmp_path)]) == 2


def test_vectors_are_what_the_engine_says_now() -> None:
    stored, fresh = json.loads(tab_vectors.FILE.read_text()), json.loads(json.dumps(tab_vectors.vectors()))

    def same(a: object, b: object) -> bool:
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(map(same, a, b))
        # Processors round logarithms differently.
        return a == pytest.approx(b, rel=1e-9, abs=1e-6) if isinstance(a, float) else a == b

    assert same(stored, fresh), "PYTHONPATH=. python tests/tab_vectors.py"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """``refused(*arguments)`` is the one line with which a verb refuses; nothing may be written."""

    def say(*arguments: str, to: Path = tmp_path / "out") -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main(["export", "--to", str(to), *arguments]) == 2
        assert sorted(tmp_path.rglob("*")) == before
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        return said

    return say


def test_missing_packages_are_one_line(refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    assert "onnx is missing; pip install -r requirements-web.txt" in refused()
    monkeypatch.setattr(tracing, "find_spec", importlib.util.find_spec)
    monkeypatch.setattr(tracing, "PACKAGES", ())
    monkeypatch.setattr(folder, "NODE_MODULES", tmp_path / "node_modules")
    assert "run npm install in " in refused()
    monkeypatch.setattr(folder, "ENGINE", tmp_path / "engine")
    assert "needs a checkout" in refused()


def test_a_bench_without_an_export_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "a ball", "--tab", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("imagen_core bench: --tab: ") and said.count("\n") == 1


def test_deepfloyd_and_strange_folders_are_refused(
    refused, stage_1: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracing, "PACKAGES", ())
    assert "DeepFloyd IF is too large" in refused("--model", str(stage_1))
    with tempfile.TemporaryDirectory() as other:
        (Path(other) / "mine.txt").write_text("keep me")
        assert "--to: " in refused(to=Path(other))
        assert [path.name for path in Path(other).iterdir()] == ["mine.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("layer", [LAST, MIX, 1])
def test_other_text_encoders_and_layers_export(layer: int) -> None:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    config = T5Config(vocab_size=300, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    model = T5EncoderModel(config).eval().requires_grad_(False)
    encoder = TextEncoder("t5", "", 32, 77, lambda: (None, model), layer, depth=2)
    assert 0 < tracing.graph(language.text(encoder))[1] < 1e-2
    # A tab reads rows of this width, in halves, from the table of words.
    assert sum(map(len, language.shards(encoder))) == 300 * encoder.state_width * 2
    unet = UNet(replace(CONFIGS["base"], text_width=32, text_states=encoder.states)).eval()
    stage = Stage(STAGES["base"], unet, {})
    assert tracing.graph(networks.context(stage, encoder.width))[1] < 1e-2
