"""Columns give what was stored, whole batches at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data import columns
from src.data.columns import Column, Dense, Ragged, Windows
from src.errors import InputError


def ragged(lengths: list[int], **settings) -> Ragged:
    return Ragged(np.arange(100, 100 + sum(lengths)), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **settings)


@pytest.mark.slow
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    data=st.data(),
    padding=st.integers(-3, 3),
    multiple=st.integers(1, 5),
)
def test_ragged_rows_are_padded_to_the_longest(lengths, data, padding, multiple):
    column = ragged(lengths, padding=padding, multiple=multiple)
    rows = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8)))
    taken = column.take(rows)
    longest = max(1, *(lengths[row] for row in rows)) if len(rows) > 1 else max(1, lengths[rows[0]])
    assert taken.shape == (len(rows), -(-longest // multiple) * multiple)
    for line, row in zip(taken, rows, strict=True):
        assert line[: lengths[row]].tolist() == column[row].tolist()
        assert set(line[lengths[row] :].tolist()) <= {padding}
    assert column.lengths.tolist() == lengths
    assert column.nbytes(rows) == 8 * sum(lengths[row] for row in rows)


@pytest.mark.parametrize(
    "column",
    [
        Dense(np.arange(60).reshape(20, 3)),
        ragged([3, 0, 5, 1] * 5, padding=-1, multiple=2),
        Windows(np.arange(26).reshape(26, 1), length=4, shift=2, count=20),
    ],
    ids=["dense", "ragged", "windows"],
)
def test_rows_that_are_held_in_memory_are_the_same(column: Column):
    rows = np.array([7, 2, 3, 19, 2])
    held = column.held(rows)
    assert len(held) == len(rows)
    for positions in (np.arange(5), np.array([4, 1])):
        taken = held.take(positions)
        assert np.array_equal(taken, column.take(rows[positions]))
        assert taken.dtype == column.take(rows).dtype


def test_windows_begin_at_their_rows():
    series = np.arange(20).reshape(10, 2)
    inputs, targets = Windows(series, length=3, count=6), Windows(series, length=2, shift=3, count=6)
    rows = np.array([0, 5])
    assert inputs.take(rows)[:, :, 0].tolist() == [[0, 2, 4], [10, 12, 14]]
    assert targets.take(rows)[:, :, 0].tolist() == [[6, 8], [16, 18]]
    assert len(Windows(series, length=3)) == 8
    assert len(targets) == 6


def test_a_field_of_several_columns():
    field = {"tokens": ragged([2, 1]), "length": Dense(np.array([2, 1]))}
    taken = columns.take(field, np.array([1, 0]))
    assert {name: values.tolist() for name, values in taken.items()} == {"tokens": [[102, 0], [100, 101]], "length": [1, 2]}
    assert columns.nbytes({"input": field}, np.array([0, 1])) == 3 * 8 + 2 * 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ragged(np.zeros(3), np.array([0, 2])), "expected offsets that rise from 0 to 3, .*; received 0 to 2"),
        (lambda: Ragged(np.zeros(3), np.array([0, 2, 1, 3])), "expected offsets that rise"),
        (lambda: Windows(np.zeros(3), length=4), "expected windows within a series of 3 steps; received length 4"),
        (lambda: Windows(np.zeros(9), length=4, count=7), "expected windows within a series of 9 steps"),
    ],
)
def test_columns_that_do_not_fit_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
