"""How examples look."""

import numpy as np
import pytest

from src.data.shown import Picture


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 5)), (3, (4, 5, 3)), (2, (4, 5))])
def test_the_channels_of_a_picture_become_grey_or_colour(channels, shape):
    image = np.random.default_rng(0).integers(0, 256, (channels, 4, 5), dtype=np.uint8)
    pixels = Picture.of(image).pixels
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)
    assert np.array_equal(pixels, {1: image[0], 3: image.transpose(1, 2, 0), 2: image.mean(axis=0).round()}[channels])


def test_a_data_set_shows_what_it_stores(images):
    data = images(shape=(3, 8, 8))
    assert np.array_equal(data.show(5).pixels, data.inputs(np.array([5]))[0].transpose(1, 2, 0))
