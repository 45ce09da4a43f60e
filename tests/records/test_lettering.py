"""Text on pictures: signs of the field have glyphs, and what has none is named by its code."""

from __future__ import annotations

import pytest

from imagen_core.records.lettering import MISSING, fitted, font, has_glyph, legible


@pytest.mark.parametrize("character", "σ∞×–éx̂₀·…²α√ Ж≤")
def test_signs_have_glyphs(character: str) -> None:
    assert has_glyph(character)


@pytest.mark.parametrize("character", ["红", "球", "あ", "한", MISSING])
def test_what_has_no_glyph_is_written_as_its_code(character: str) -> None:
    assert not has_glyph(character)
    assert legible(f"a {character} ball") == f"a {character.encode('ascii', 'backslashreplace').decode()} ball"


def test_lines_fit_and_keep_every_word() -> None:
    text = "aug_level 0.1 · σ = 0.100 · SNR = ∞ (untouched)"
    lines = fitted(text, 12, 248)
    assert len(lines) == 2 and " ".join(lines) == text
    assert all(font(12).getlength(line) <= 248 for line in lines)


def test_a_word_without_room_is_cut() -> None:
    (line,) = fitted("x" * 500, 12, 100)
    assert line.endswith("…") and font(12).getlength(line) <= 100
    assert fitted("", 12, 100) == [""]
