"""Which examples belong to which split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.raw import Raw, SplitBy
from src.data.splitting import SPLITS, assign, grouped, notes, stratified, stratified_folds
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


def by(kind: str, numbers: np.ndarray, **settings) -> Raw:
    """Examples whose splits go by these numbers."""
    names = [f"{kind} {number}" for number in range(int(numbers.max()) + 1)]
    return Raw({"image": IMAGE, "target": TARGET, "split_by": numbers}, classes=CLASSES,
               split_by=SplitBy(kind, "column", names), **settings)  # fmt: skip


@pytest.mark.slow
@given(counts=st.lists(st.integers(1, 12), min_size=3, max_size=30), data=st.data())
def test_groups_stay_together_and_sizes_are_near_to_those_asked_for(counts, data):
    values = np.repeat(np.arange(len(counts)), counts)
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values))))
    sizes = np.array(data.draw(st.sampled_from([(0.5, 0.5), (0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3)]))) * len(values)
    parts = grouped(np.random.default_rng(0), values, labels, sizes)
    assert {*parts} == {*range(len(sizes))}, "no part is empty"
    assert all(len({*parts[values == value]}) == 1 for value in values)
    assert np.abs(np.bincount(parts) - sizes).max() <= 2 * max(counts)


def test_groups_of_one_example_are_drawn_as_examples_are():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    parts = grouped(np.random.default_rng(0), np.arange(100), labels, [70, 20, 10])
    table = np.array([np.bincount(labels[parts == part]) for part in range(3)])
    assert np.abs(table - np.outer([0.7, 0.2, 0.1], [60, 30, 10])).max() <= 1


def test_grouped_splits_depend_on_the_seed_and_have_their_sizes():
    raw = by("group", np.repeat(np.arange(24), 5))
    one, same, other = (split(raw, val=0.2, test=30, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one["test"], same["test"])
    assert not np.array_equal(one["test"], other["test"])
    assert sizes(one) == [65, 25, 30]
    assert sorted(np.concatenate([*one.values()])) == list(range(120))
    assert np.abs(np.bincount(TARGET[one["test"]]) - np.bincount(TARGET) / 4).max() <= 3, "stratified as well as groups allow"
    assert [*notes(raw, np.arange(120), one)] == ["the splits have whole groups, by column: 13 in train, 5 in val, 6 in test."]


def test_a_group_is_in_one_fold():
    patient = np.arange(120) % 17
    groups = [split(by("group", patient), val=0.1, folds=4, fold=fold) for fold in range(4)]
    assert sorted(np.concatenate([one["test"] for one in groups])) == list(range(120))
    for one in groups:
        own = [{*patient[rows]} for rows in one.values()]
        assert sum(map(len, own)) == len(set.union(*own)) == 17
        assert 23 <= len(one["test"]) <= 37


def test_the_newest_test_and_examples_of_one_time_stay_together():
    day = np.random.default_rng(0).permutation(np.arange(120) // 6)  # twenty days with six examples each
    raw = by("time", day)
    groups = split(raw, val=0.2, test=20)
    assert [sorted({*day[groups[name]]}) for name in SPLITS] == [[*range(13)], [*range(13, 17)], [17, 18, 19]]
    assert all(np.array_equal(split(raw, val=0.2, test=20, seed=1)[name], groups[name]) for name in SPLITS)
    (note,) = notes(raw, np.arange(120), groups)
    assert note == "the splits go by time, column: train from time 0 to time 12, val from time 13 to time 16, " \
        "test from time 17 to time 19."  # fmt: skip
    groups = split(by("time", day, splits={"test": np.arange(20)}), val=0.2)
    assert {*groups["test"]} == {*range(20)}
    assert day[groups["train"]].max() < day[groups["val"]].min()
    few = split(by("time", np.minimum(day, 2)), val=6, test=6)
    assert sizes(few) == [6, 6, 108], "there are only three times"


@pytest.mark.parametrize(
    ("raw", "settings", "message"),
    [
        (by("group", np.arange(120) % 2), {}, r"at least 3 different values of column, .* one for each of train, test, val;"),
        (by("group", np.arange(120) % 3), {"folds": 4}, r"one for each of 4 folds; received 3 in 120 examples"),
        (by("group", np.arange(120) % 2), {"folds": 2}, r"at least 2 different values .* train, val; received 1 in "),
        (by("time", np.arange(120) % 2), {}, r"at least 3 different values of column.*; received 2 in 120 examples"),
        (by("time", np.arange(120)), {"folds": 4}, r"by time, column, alone: .*; received data\.dataset\.split\.folds=4 too"),
        (by("time", np.arange(120), splits={"val": np.arange(9), "test": np.arange(9, 20)}), {}, "received stated splits"),
        (
            by("group", np.arange(120) % 7, splits={"test": np.arange(9)}),
            {},
            "all examples of one column in one split; received group 0 in train and test, and 7 such groups in total",
        ),
    ],
)  # fmt: skip
def test_splits_that_do_not_go_with_their_column_are_refused(raw, settings, message):
    with pytest.raises(InputError, match=message):
        split(raw, **{"val": 0.2, "test": 0.2, **settings})
