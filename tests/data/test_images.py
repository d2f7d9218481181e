"""Splits that keep some classes, or some labelled examples."""

import numpy as np
import pytest

from src.data.images import Images


def keeping(images, **keep) -> Images:
    whole = images()
    return Images(prepared=whole.prepared, shape=list(whole.shape), num_classes=whole.num_classes, batch_size=16, keep=keep)


def test_a_split_keeps_the_named_classes(images):
    whole, some = images(), keeping(images, train=[1], val=[2, 0])
    for split, classes in (("train", {1}), ("val", {0, 2}), ("test", {0, 1, 2})):
        assert set(some.targets(some.rows(split))) == classes
        kept = np.isin(whole.targets(whole.rows(split)), list(classes))
        assert some.rows(split).tolist() == whole.rows(split)[kept].tolist()
    assert np.array_equal(some.mean, whole.mean)


@pytest.mark.parametrize("keep", [{"train": [3]}, {"train": []}, {"training": [1]}, {"val": [-1]}])
def test_an_unknown_class_or_split_is_refused(images, keep):
    with pytest.raises(ValueError, match=r"data\.keep: expected classes from 0 to 2 by split"):
        keeping(images, **keep)


def labelled(images, number, *, seed=0, **keep) -> Images:
    whole = images()
    facts = {"shape": list(whole.shape), "num_classes": whole.num_classes, "batch_size": 16}
    return Images(prepared=whole.prepared, labelled=number, seed=seed, keep=keep, **facts)


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (20, 20), (40, 40), (0.25, 10), (0.001, 1)])
def test_the_training_split_keeps_a_number_or_a_share_of_each_class(images, number, expected):
    whole, some = images(), labelled(images, number)
    rows = some.rows("train")
    assert np.bincount(some.targets(rows)).tolist() == [expected] * 3
    assert rows.tolist() == sorted({*rows} & {*whole.rows("train")})
    assert some.rows("val").tolist() == whole.rows("val").tolist()
    assert np.array_equal(some.mean, whole.mean)


def test_the_draw_depends_on_the_seed(images):
    drawn = [labelled(images, 5, seed=seed).rows("train").tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    kept = labelled(images, 5, train=[0, 2])
    assert np.bincount(kept.targets(kept.rows("train"))).tolist() == [5, 0, 5]


@pytest.mark.parametrize("number", [0, -1, 41, 1.5, 0.0])
def test_an_impossible_number_of_labels_is_refused(images, number):
    with pytest.raises(
        ValueError, match=rf"data\.labelled: expected a number .* from 1 to 40, or a share .* received {number}"
    ):
        labelled(images, number)
