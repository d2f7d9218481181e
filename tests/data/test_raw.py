"""Raw data that does not fit together, and data sets of some classes."""

import numpy as np
import pytest

from src.data import scratch
from src.data.raw import IGNORED, Raw, check, select_classes
from src.errors import InputError
from tests.pictures import noise
from tests.repository import ROOT, run

IMAGE, TARGET = noise(30)
FLAGS = np.eye(3, dtype=np.uint8)[TARGET]


def raw(image: np.ndarray = IMAGE, target: np.ndarray = TARGET, *, classes: int = 3, **stated) -> Raw:
    return Raw({"image": image, "target": target}, classes=[f"class {i}" for i in range(classes)], **stated)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (raw(classes=2), r"labels from 0 to 1 \(2 classes\); received 2 in row 2, and 10 such labels"),
        (raw(target=TARGET - 1), "labels from 0 to 2 .*received -1 in row 0"),
        (raw(target=np.zeros(30, dtype=np.int64)), "at least two classes"),
        (raw(*noise(0)), "at least one; received {'image': 0, 'target': 0}"),
        (raw(target=TARGET[:29]), "same number of rows in each array.*received {'image': 30, 'target': 29}"),
        (raw(target=2 * FLAGS), "a 0 or 1 for each of 3 classes; received rows of 3 values from 0 to 2"),
        (raw(target=FLAGS, classes=2), "a 0 or 1 for each of 2 classes"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, message):
    with pytest.raises(InputError, match=f"noise: .*{message}"):
        check(data, "noise")


def test_a_label_of_a_pixel_is_named_with_its_row_wherever_it_is(monkeypatch):
    monkeypatch.setattr(scratch, "CHUNK", 100)  # bytes: six masks at once
    masks = np.random.default_rng(0).integers(0, 3, (30, 4, 4), dtype=np.uint8)
    masks[5] = IGNORED
    check(raw(target=masks, ignores=True), "noise")
    with pytest.raises(InputError, match="received 255 in row 5, and 16 such labels in total"):
        check(raw(target=masks), "noise")
    masks[17, 2], masks[23, 0, 1] = 9, 3
    with pytest.raises(InputError, match="received 9 in row 17, and 5 such labels in total"):
        check(raw(target=masks, ignores=True), "noise")
    masks[masks != IGNORED] = 1
    with pytest.raises(InputError, match="at least two classes"):
        check(raw(target=masks, ignores=True), "noise")


def test_one_label_may_be_a_flag():
    one = raw(target=FLAGS[:, :1], classes=1)
    check(one, "noise")
    assert one.arrays["target"].shape == (30, 1)


def test_selected_classes_are_renumbered():
    some = select_classes(raw(splits={"test": np.arange(20, 30)}), [2, 0], "noise")
    assert some.classes == ["class 2", "class 0"]
    assert np.array_equal(some.arrays["image"], IMAGE[TARGET != 1])
    assert np.array_equal(some.arrays["target"], np.where(TARGET[TARGET != 1] == 2, 0, 1))
    assert np.array_equal(some.arrays["image"][some.splits["test"]], IMAGE[20:][TARGET[20:] != 1])


@pytest.mark.parametrize("classes", [[0], [0, 3], [0, 0], [-1, 0], []])
def test_classes_that_do_not_exist_are_refused(classes):
    with pytest.raises(InputError, match=r"data\.dataset\.classes: expected two or more classes from 0 to 2, each once"):
        select_classes(raw(), classes, "noise")


def test_classes_are_not_selected_among_several_labels():
    with pytest.raises(InputError, match="those of noise have none or several"):
        select_classes(raw(target=FLAGS), [0, 1], "noise")


def test_git_takes_what_dvc_adds_and_not_the_data():
    assert run(ROOT, "git", "check-ignore", "data/raw/flowers.dvc", code=1).stdout == ""
    assert run(ROOT, "git", "check-ignore", "data/raw/flowers/a.png").stdout == "data/raw/flowers/a.png\n"
