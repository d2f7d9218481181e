"""Arrays on disk while a data set is prepared."""

from contextlib import nullcontext

import numpy as np
import pytest

from src.data import scratch
from tests import disks


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


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_array_that_grows_is_the_file_of_all_its_rows(tmp_path, on_disk):
    values = np.random.default_rng(0).integers(0, 1000, (12, 3, 5), dtype=np.int32)
    with scratch.within(tmp_path) if on_disk else nullcontext():
        growing, other = scratch.Growing((3, 5), np.int32), scratch.Growing((2,), np.uint8)
        for rows in (values[:4], values[4:11:2], values[11:].transpose(0, 2, 1).copy().transpose(0, 2, 1)):
            growing.append(rows)
        other.append(np.ones((1, 2), dtype=np.uint8))
    array, expected = growing.array(), np.concatenate([values[:4], values[4:11:2], values[11:]])
    assert np.array_equal(array, expected)
    assert other.array().tolist() == [[1, 1]]
    assert isinstance(array, np.memmap) == on_disk
    array[2] = 7
    if on_disk:
        scratch.save(tmp_path / "image.npy", array)
        expected[2] = 7
        np.save(tmp_path / "expected.npy", expected)
        assert (tmp_path / "image.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_an_array_that_grows_beyond_the_disk_names_its_file(tmp_path):
    with disks.small(tmp_path / "full", size="64k") as folder:
        with scratch.within(folder):
            growing = scratch.Growing((100,), np.uint8)
        with pytest.raises(OSError, match="No space left on device") as caught:
            growing.append(np.zeros((2000, 100), dtype=np.uint8))
        assert caught.value.filename == str(folder / "0.scratch.npy")
