"""Judges of photographs: which distances each has, and DINOv2's features against transformers' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from imagen_core.__main__ import main
from imagen_core.evaluation import judges
from imagen_core.evaluation.frechet import frechet
from imagen_core.evaluation.judges import Judge, dinov2_features, photographic_judge
from imagen_core.evaluation.kid import kid
from imagen_core.records.png import to_bytes
from imagen_core.types import UserError


def pictures(n: int, seed: int) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of random weights, small enough to make here."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56, "patch_size": 28}
    folder = tmp_path_factory.mktemp("dinov2")
    Dinov2Model(Dinov2Config(**small)).save_pretrained(folder)
    return folder


def test_dinov2_gives_its_class_token_of_normalised_pictures(dinov2_folder: Path) -> None:
    """Against transformers' own processor and pooled output."""
    from transformers import BitImageProcessor, Dinov2Model

    flat = torch.tensor([[-1.0, -0.5, 0.0], [1.0, 0.2, 0.6]])[:, :, None, None].expand(2, 3, 16, 16)
    side = {"height": 224, "width": 224}
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    processor = BitImageProcessor(size=side, do_center_crop=False, image_mean=mean, image_std=std)
    pixels = processor([*to_bytes(flat)], return_tensors="pt", input_data_format="channels_first").pixel_values
    with torch.no_grad():
        expected = Dinov2Model.from_pretrained(dinov2_folder).eval()(pixel_values=pixels).pooler_output
    found = dinov2_features(str(dinov2_folder))
    assert_close(found(flat), expected, atol=0.02, rtol=0)
    assert not torch.allclose(found(flat)[0], found(flat)[1], atol=0.1)
    # More than one part gives what one gives.
    many = pictures(33, 0)
    assert_close(found(many)[32:], found(many[32:]), atol=1e-4, rtol=0)


def test_what_is_no_dinov2_is_refused_in_one_line(tmp_path: Path, dinov2_folder: Path) -> None:
    from transformers import Dinov2Config, ViTConfig, ViTModel

    with pytest.raises(UserError, match="--dinov2: .* is no DINOv2 folder"):
        dinov2_features(str(tmp_path))
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 16, "image_size": 32}
    ViTModel(ViTConfig(**small, intermediate_size=16)).save_pretrained(tmp_path)
    Dinov2Config(**small).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"--dinov2: the weights of .* are of another model"):
        dinov2_features(str(tmp_path))


def test_a_judge_has_the_distances_that_its_features_allow() -> None:
    def features(images: Tensor) -> Tensor:
        return images.mean((2, 3))

    def others(images: Tensor) -> Tensor:
        return images.std((2, 3))

    truth, drawn = pictures(12, 0), pictures(9, 1)
    plain = Judge(("a", "b"), ("0", "1"), truth, lambda *_: [], features, "x", "y")
    assert plain.distances(drawn) == {"frechet": round(frechet(features(drawn), features(truth)), 4)}
    found = replace(plain, inception=True, dinov2=others).distances(drawn)
    assert found == {
        **plain.distances(drawn),
        "kid": round(kid(features(drawn), features(truth)), 6),
        "dinov2": round(frechet(others(drawn), others(truth)), 4),
    }


def test_a_judge_of_photographs_has_kid_and_on_request_dinov2(
    tmp_path: Path, dinov2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    (tmp_path / "prompts.txt").write_text("a dog\na cat\n")
    for i in range(3):
        Image.new("RGB", (70, 70), (80 * i, 9, 200)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(judges, "clip_score", lambda source: lambda images, prompts: torch.zeros(len(images)))
    monkeypatch.setattr(judges, "inception", lambda: lambda images: images.mean((2, 3)))
    arguments = ("any", tmp_path / "prompts.txt", judges.read_pictures(tmp_path, 16), 1)
    images = pictures(4, 3)
    assert photographic_judge(*arguments).distances(images).keys() == {"frechet", "kid"}
    found = photographic_judge(*arguments, str(dinov2_folder)).distances(images)
    assert found.keys() == {"frechet", "kid", "dinov2"} and found["dinov2"] > 0


def test_dinov2_goes_with_the_other_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", "figures", "--dinov2", "x", "--out", str(tmp_path), "--cache", str(tmp_path)]) == 2
    assert "--dinov2: goes with --clip, --prompts and --reference" in capsys.readouterr().err
