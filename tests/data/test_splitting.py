"""Which examples belong to which split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.raw import Raw
from src.data.splitting import SPLITS, assign, stratified, stratified_folds
from src.errors import InputError
from tests.data.prepared import SPLIT, pieces
from tests.pictures import noise

IMAGE, TARGET = noise(120)
CLASSES = ["a", "b", "c"]


def split(raw: Raw | None = None, **settings) -> dict[str, np.ndarray]:
    raw = raw or Raw({"image": IMAGE, "target": TARGET}, classes=CLASSES)
    group = raw.arrays.get("group", np.arange(len(raw.arrays["image"])))
    return assign(raw, group, name="noise", **{"seed": 0, **settings})


def sizes(groups: dict[str, np.ndarray]) -> list[int]:
    return [len(groups[split]) for split in SPLITS]


@pytest.mark.parametrize(("val", "test"), [(0.2, 0.25), (24, 30), (0.2, 30), (1, 1)])
def test_splits_have_exactly_the_requested_sizes(val, test):
    groups = split(val=val, test=test)
    assert sizes(groups) == ([118, 1, 1] if val == 1 else [66, 24, 30])
    assert sorted(np.concatenate([*groups.values()])) == list(range(120))
    assert all(np.array_equal(numbers, np.sort(numbers)) for numbers in groups.values())


@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=6), data=st.data())
def test_every_class_has_its_share_to_within_one_example(counts, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    number = data.draw(st.integers(1, len(labels) - 1))
    rows = stratified(np.random.default_rng(0), np.arange(len(labels)), labels, number)
    assert len(set(rows)) == number
    for label, count in enumerate(counts):
        assert abs((labels[rows] == label).sum() - count * number / len(labels)) < 1


def test_the_draw_depends_on_the_seed_only():
    one, same, other = (split(**{**SPLIT, "seed": seed})["test"] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), folds=st.integers(2, 7))
def test_folds_are_equal_and_so_are_the_classes_in_them(counts, folds):
    labels = np.repeat(np.arange(len(counts)), counts)
    numbers = stratified_folds(np.random.default_rng(0), labels, folds)
    sizes = np.bincount(numbers, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(len(counts)):
        of_class = np.bincount(numbers[labels == label], minlength=folds)
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize(("stated", "part"), [({}, "test"), ({"test": np.arange(90, 120)}, "val")])
def test_each_example_is_held_out_in_one_fold(stated, part):
    raw = Raw({"image": IMAGE, "target": TARGET}, classes=CLASSES, splits=stated)
    groups = [split(raw, val=0.1, test=0.2, folds=4, fold=fold) for fold in range(4)]
    free = range(90 if stated else 120)
    assert sorted(np.concatenate([one[part] for one in groups])) == list(free)
    for one in groups:
        assert sorted(np.concatenate([*one.values()])) == list(range(120))
        assert len(one["val"]) == (12 if part == "test" else len(one["val"]))
        assert all(np.array_equal(one[split], stated[split]) for split in stated)


@pytest.mark.parametrize(
    ("stated", "settings"), [((), {"folds": 4, "fold": 4}), ((), {"folds": 121}), (("val", "test"), {"folds": 2})]
)
def test_a_fold_that_there_is_not_is_refused(stated, settings):
    splits = {name: np.arange(10) + 10 * number for number, name in enumerate(stated)}
    with pytest.raises(InputError, match=r"split\.fold from 0 to \d+, at most \d+ folds.*; received folds="):
        split(Raw({"image": IMAGE, "target": TARGET}, classes=CLASSES, splits=splits), val=9, test=9, **settings)


def test_stated_splits_are_kept():
    stated = {"train": np.arange(90), "test": np.arange(90, 120)}
    groups = split(Raw({"image": IMAGE, "target": TARGET}, classes=CLASSES, splits=stated), val=9, test=50)
    assert np.array_equal(groups["test"], stated["test"])
    assert len(groups["val"]) == 9
    assert {*groups["val"], *groups["train"]} == {*range(90)}


def test_a_share_is_one_of_all_examples():
    groups = split(Raw({"image": IMAGE, "target": TARGET}, classes=CLASSES, splits={"test": np.arange(90, 120)}), val=0.2)
    assert sizes(groups) == [66, 24, 30]


def test_examples_without_classes_are_split_too():
    assert sizes(split(Raw({"image": IMAGE}), val=0.2, test=0.25)) == [66, 24, 30]


def test_whole_examples_are_drawn_where_rows_are_pieces():
    groups = split(pieces().raw, val=2, test=0.25)
    assert sizes(groups) == [7, 2, 3]
    assert sorted(np.concatenate([*groups.values()])) == list(range(12))


def test_a_stated_split_of_pieces_is_kept():
    groups = split(pieces(splits={"test": np.arange(55, 60)}).raw, val=1)
    assert groups["test"].tolist() == [11]
    assert sizes(groups) == [10, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val": 0, "test": 0.2}, r"from 1 to 95 examples in the split val; data.dataset.split.val=0 gives 0 of 120"),
        ({"test": 0.2}, "from 1 to 95 .* split val"),
        ({"val": 0.2, "test": 120}, "from 1 to 119 .* split test.*gives 120 of 120"),
        ({"val": 0.5, "test": 0.5}, "from 1 to 59 .* split val"),
        ({"val": -5, "test": 5}, "gives -5 of 120"),
        ({"val": 1.0, "test": 5}, r"split\.val: expected a share below 1, .*; received 1\.0\. For 1 examples write 1\."),
    ],
)
def test_a_split_that_leaves_nothing_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        split(**settings)
