"""Parts that have some classes alone."""

import numpy as np
import pytest

from src.data.images import Images


def keeping(images, **keep) -> Images:
    whole = images()
    return Images(prepared=whole.prepared, shape=list(whole.shape), num_classes=whole.num_classes, batch_size=16, keep=keep)


def test_a_part_keeps_the_classes_that_are_named(images):
    whole, some = images(), keeping(images, train=[1], val=[2, 0])
    for part, classes in (("train", {1}), ("val", {0, 2}), ("test", {0, 1, 2})):
        assert set(some.targets(some.rows(part))) == classes
        kept = np.isin(whole.targets(whole.rows(part)), list(classes))
        assert some.rows(part).tolist() == whole.rows(part)[kept].tolist()
    assert np.array_equal(some.mean, whole.mean)


@pytest.mark.parametrize("keep", [{"train": [3]}, {"train": []}, {"training": [1]}, {"val": [-1]}])
def test_a_class_or_a_part_that_is_not_there_is_refused(images, keep):
    with pytest.raises(ValueError, match=r"data\.keep: expected classes from 0 to 2 that train, val, test have"):
        keeping(images, **keep)


def labelled(images, number, *, seed=0, **keep) -> Images:
    whole = images()
    facts = {"shape": list(whole.shape), "num_classes": whole.num_classes, "batch_size": 16}
    return Images(prepared=whole.prepared, labelled=number, seed=seed, keep=keep, **facts)


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (20, 20), (40, 40), (0.25, 10), (0.001, 1)])
def test_so_many_examples_of_each_class_are_learned_from(images, number, expected):
    whole, some = images(), labelled(images, number)
    rows = some.rows("train")
    assert np.bincount(some.targets(rows)).tolist() == [expected] * 3
    assert rows.tolist() == sorted({*rows} & {*whole.rows("train")})
    assert some.rows("val").tolist() == whole.rows("val").tolist()
    assert np.array_equal(some.mean, whole.mean)


def test_the_seed_draws_them(images):
    drawn = [labelled(images, 5, seed=seed).rows("train").tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    kept = labelled(images, 5, train=[0, 2])
    assert np.bincount(kept.targets(kept.rows("train"))).tolist() == [5, 0, 5]


@pytest.mark.parametrize("number", [0, -1, 41, 1.5, 0.0])
def test_a_number_of_labels_that_is_not_there_is_refused(images, number):
    with pytest.raises(
        ValueError, match=rf"data\.labelled: expected a number .* from 1 to 40, or a share .* received {number}"
    ):
        labelled(images, number)
