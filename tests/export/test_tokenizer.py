"""The tokenizer of a tab gives the ids that transformers gives."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from imagen_core.export import folder, language
from imagen_core.networks.text import minilm
from imagen_core.worlds.tabletop.tabletop import TableTop

LIBRARY = folder.NODE_MODULES / "@huggingface" / "tokenizers" / "dist" / "tokenizers.min.mjs"
# Emoji, joined ones and flags; right to left; combining and invisible signs; control signs; other scripts; long words.
HOSTILE = (
    "", " ", "\t\n", "🙂", "👩\u200d👩\u200d👧\u200d👦 on a table", "🇩🇪🏳️\u200d🌈", "كرة حمراء على العشب", "כדור אדום",
    "a\u202ellab der", "cafe\u0301 café CAFÉ", "İstanbul ß ﬁ ﬂ Ǆ", "a\u0000b\u0001c\u007f", "a\u200bb\u200dc\ufeffd",
    "红色的球在草地上", "赤いボール", "빨간 공", "[CLS] [SEP] [MASK] [PAD] [UNK]", "[cls]", "##ball ##s",
    "don't won't it's", "3.14 1,000 50%", "x" * 500, "ball" * 120, "!" * 300, "\u0301" * 20, "\U0010ffff", "\ufffd",
    "<script>alert(1)</script>", "a\u2028b\u2029c\u0085d", "𝒂 𝓻𝓮𝓭 ball", "½ ² ™ № Ω", "“quoted” ‘words’ – —",
)  # fmt: skip


def test_ids_are_those_of_transformers(tmp_path: Path) -> None:
    if not LIBRARY.is_file() or shutil.which("node") is None:
        pytest.skip("npm install")
    for name, data in language.tokenizer(minilm()).items():
        (tmp_path / name).write_bytes(data)
    texts = [*HOSTILE, *(TableTop().caption(seed, seed % 7) for seed in range(2000))]
    command = ["node", str(Path(__file__).with_name("tokenize.js")), str(LIBRARY), str(tmp_path)]
    found = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=60)
    tokenizer, _ = minilm().warm_up()
    expected = tokenizer(texts, padding=False, truncation=False)["input_ids"]
    wrong = [text for text, a, b in zip(texts, json.loads(found.stdout), expected, strict=True) if a != b]
    assert wrong == []
