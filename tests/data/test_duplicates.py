"""Examples that are equal to another one."""

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


def test_copies_of_each_kind_are_counted_and_named(tmp_path, capsys):
    image, target = noise(60)
    target = target.copy()
    for number, other in ((1, 0), (2, 0), (51, 50), (45, 10), (55, 11)):
        image[number], target[number] = image[other], target[other]
    target[51] = (target[50] + 1) % 3
    splits = {"train": np.arange(40), "val": np.arange(40, 50), "test": np.arange(50, 60)}
    named = Arrays(image, target, splits=splits, names=[f"{number}.png" for number in range(60)])
    card = prepare(tmp_path / "d", named, max_duplicates=1.0).card
    assert card["duplicates"] == {
        "val in train": 1,
        "test in train": 1,
        "test in val": 0,
        "train in train": 2,
        "val in val": 0,
        "test in test": 1,
        "under two labels": 1,
    }
    assert card["notes"] == [
        "1 example of val in train too: 45.png = 10.png.",
        "1 example of test in train too: 55.png = 11.png.",
        "2 copies within train: 1.png = 0.png, 2.png = 0.png.",
        "1 copy within test: 51.png = 50.png.",
        "1 example under two labels: 51.png = 50.png.",
    ]
    assert capsys.readouterr().err.splitlines() == [f"data: noise: {line}" for line in card["notes"]]


def test_the_first_of_many_copies_are_named_by_row_and_class(tmp_path):
    notes = prepare(tmp_path / "d", with_copies(7), max_duplicates=1.0).card["notes"]
    assert notes[0].startswith("7 examples of test in train too: row 50 (class 2) = row 0 (class 0), row 51")
    assert notes[0].endswith(", row 54 (class 0) = row 4 (class 1) and 2 more.")
    assert len(notes) == 2


def test_too_many_duplicates_are_refused(tmp_path):
    message = r"at most 20\.0% of a split .*; 3 of 10 examples of test \(30\.0%\) are in train too.*max_duplicates"
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path / "d", with_copies(3), max_duplicates=0.2)
    assert "3 examples under two labels: row 50 (class 2) = row 0 (class 0), " in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_only_whole_examples_are_copies(tmp_path):
    split = {"val": 3, "test": 4, "seed": 0}
    assert set(prepare(tmp_path / "d", pieces(), split=split).card["duplicates"].values()) == {0}
    card = prepare(tmp_path / "some", pieces(copies=1), split=split, max_duplicates=1.0).card
    assert sum(card["duplicates"].values()) == 2  # a copy somewhere, whose pieces have other targets
    assert any("picture 11" in note and "picture 0" in note for note in card["notes"])
    with pytest.raises(InputError, match=r"examples of (val|test) \([0-9.]+%\) are in"):
        prepare(tmp_path / "copies", pieces(copies=6), split=split)
