"""Damaged .npy files: two kinds of error, whatever numpy makes of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from imagen_core.files.arrays import open_array


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("arrays") / "whole.npy"
    np.save(file, np.arange(10, dtype=np.int32).reshape(5, 2))
    return file


def test_a_whole_file_is_a_memory_map(whole: Path) -> None:
    array = open_array(whole)
    assert isinstance(array, np.memmap)
    assert_array_equal(array, np.arange(10).reshape(5, 2))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:25] + b"{" + data[26:],
        lambda data: data[:-8],
        lambda data: data.replace(b"(5, 2)", b"(" + b"9" * 4 + b",)"),
        lambda data: data.replace(b"'<i4'", b"'|O' "),
    ],
    ids=["empty", "header", "cut", "shape", "objects"],
)
def test_a_damaged_file_is_a_value_error(whole: Path, tmp_path: Path, change) -> None:
    (tmp_path / "damaged.npy").write_bytes(change(whole.read_bytes()))
    with pytest.raises(ValueError, match=r"damaged\.npy is not a whole"):
        open_array(tmp_path / "damaged.npy")


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(data=st.data())
def test_any_bytes_are_an_array_or_one_of_two_errors(whole: Path, data: st.DataObject) -> None:
    damaged = bytearray(whole.read_bytes())
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), max_size=4)):
        damaged[at] = value
    file = whole.with_name("any.npy")
    file.write_bytes(damaged)
    with suppress(OSError, ValueError):
        open_array(file)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_array(tmp_path / "none.npy")
