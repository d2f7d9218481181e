"""Arrays on disk while a data set is prepared."""

import numpy as np
import pytest

from src.data import scratch


@pytest.mark.parametrize("row", [(7,), (3, 80, 80)])  # in one thread, and in several
@pytest.mark.parametrize("rows", [None, np.arange(3, 190, 2), np.arange(20, 120)])
def test_a_function_sees_each_row_once_and_in_order(tmp_path, monkeypatch, row, rows):
    monkeypatch.setattr(scratch, "CHUNK", 100_000)
    with scratch.within(tmp_path):
        array = scratch.empty((200, *row), np.uint8)
    array[...] = np.random.default_rng(0).integers(0, 256, array.shape)
    expected = array if rows is None else array[rows]
    assert np.array_equal(np.concatenate([*scratch.reduce(np.copy, array, rows)]), expected)


def test_an_array_on_disk_is_shortened_and_becomes_a_file_without_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "CHUNK", 100)
    values = np.random.default_rng(0).integers(0, 256, (1000, 3, 5), dtype=np.uint8)
    kept = [0, 1, *range(5, 700), 999]
    with scratch.within(tmp_path):
        array = scratch.empty(values.shape, np.uint8)
        array[...] = values
        array = scratch.shorten(array, kept)
    assert np.array_equal(array, values[kept])
    (before,) = tmp_path.iterdir()
    inode = before.stat().st_ino
    scratch.save(tmp_path / "image.npy", array)
    np.save(tmp_path / "expected.npy", values[kept])
    assert (tmp_path / "image.npy").stat().st_ino == inode
    assert (tmp_path / "image.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.npy", "image.npy"]
