"""Examples that are in two splits."""

import numpy as np
import pytest

from src.errors import InputError
from tests.data.prepared import pieces, prepare
from tests.pictures import Arrays, noise


def with_copies(number: int) -> Arrays:
    """Splits of 40, 10 and 10 rows; the first rows of test are copies of rows of train."""
    image, target = noise(60)
    image[50 : 50 + number] = image[:number]
    splits = {"train": np.arange(40), "val": np.arange(40, 50), "test": np.arange(50, 60)}
    return Arrays(image, target, splits=splits)


def test_duplicates_are_counted(tmp_path):
    card = prepare(tmp_path / "d", with_copies(3), max_duplicates=0.3).card
    assert card["duplicates"] == {"val in train": 0, "test in train": 3, "test in val": 0}


def test_too_many_duplicates_are_refused(tmp_path):
    message = r"at most 20\.0% of a split .*; 3 of 10 examples of test \(30\.0%\) are in train too.*max_duplicates"
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "d", with_copies(3), max_duplicates=0.2)
    assert not list(tmp_path.iterdir())


def test_only_whole_examples_are_copies(tmp_path):
    split = {"val": 3, "test": 4, "seed": 0}
    assert set(prepare(tmp_path / "d", pieces(), split=split).card["duplicates"].values()) == {0}
    with pytest.raises(InputError, match=r"examples of (val|test) \([0-9.]+%\) are in"):
        prepare(tmp_path / "copies", pieces(copies=6), split=split)
