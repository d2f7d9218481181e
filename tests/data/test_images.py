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
