"""Tiles: every pixel is in one, nothing is padded, and pasting restores the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data import tiles
from src.errors import InputError


@pytest.mark.slow
@given(
    height=st.integers(5, 30),
    width=st.integers(5, 30),
    size=st.integers(1, 5),
    share=st.floats(0, 1),
    channels=st.integers(0, 3),
)
def test_pasting_and_blending_restore_the_picture(height, width, size, share, channels):
    shape = (channels, height, width) if channels else (height, width)
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    cut, corners = tiles.cut(picture, size=size, stride=max(1, round(share * size)))
    assert cut.shape == (len(corners), *shape[:-2], size, size)
    assert len(np.unique(corners, axis=0)) == len(corners)
    assert np.array_equal(tiles.paste(cut, corners, height=height, width=width), picture)
    canvas = tiles.Canvas(height=height, width=width)
    for tile, (top, left) in zip(cut, corners, strict=True):
        canvas.add({"pixels": tile.astype(np.float32)}, top=top, left=left)
    assert np.allclose(canvas.means()["pixels"], picture, atol=1e-3)


def test_the_corners_of_tiles():
    _, corners = tiles.cut(np.zeros((10, 7)), size=4, stride=4)
    assert corners.tolist() == [[0, 0], [0, 3], [4, 0], [4, 3], [6, 0], [6, 3]]
    _, corners = tiles.cut(np.zeros((4, 4)), size=4, stride=2)
    assert corners.tolist() == [[0, 0]]


def test_in_an_overlap_the_tile_with_the_nearer_middle_counts_more():
    canvas = tiles.Canvas(height=4, width=6)
    canvas.add({"value": np.zeros((1, 4, 4), dtype=np.float32)}, top=0, left=0)
    canvas.add({"value": np.ones((1, 4, 4), dtype=np.float32)}, top=0, left=2)
    blended = canvas.means()["value"]
    assert blended.shape == (1, 4, 6)
    assert np.allclose(blended[0], [0, 0, 1 / 3, 2 / 3, 1, 1])


def test_an_area_without_a_tile_fails():
    canvas = tiles.Canvas(height=4, width=6)
    canvas.add({"value": np.zeros((4, 4), dtype=np.float32)}, top=0, left=0)
    with pytest.raises(AssertionError, match="has no tile"):
        canvas.means()


def test_a_picture_smaller_than_a_tile_is_refused():
    with pytest.raises(InputError, match=r"at least 8x8 pixels; received 10x7\. Set data\.tile to at most 7"):
        tiles.cut(np.zeros((3, 10, 7)), size=8, stride=8)
