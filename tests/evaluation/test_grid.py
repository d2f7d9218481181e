"""Grids of examples: where cells lie, their captions, and a kind of example that the repository does not know."""

from dataclasses import dataclass

import numpy as np
import pytest

from src.data.shown import Picture, Shown
from src.evaluation import grid as grids
from src.evaluation.grid import GAP, Cell, Row, SignedMap, grid, stretched
from src.evaluation.plotting import write


def picture(seed: int, height: int = 8, width: int = 8, channels: int = 1) -> Picture:
    return Picture.of(np.random.default_rng(seed).integers(256, size=(channels, height, width)).astype(np.uint8))


def extents(figure) -> np.ndarray:
    """Left, right, bottom and top of each image, in inches."""
    return np.array([image.get_extent() for image in figure.axes[0].images])


def test_cells_lie_in_rows_and_columns_and_do_not_overlap():
    rows = [Row([Cell(picture(3 * line + column, 4 + 4 * line)) for column in range(3 - line)]) for line in range(2)]
    figure = grid(rows, title="five", side=0.5)
    left, right, bottom, top = extents(figure).T
    assert left.tolist() == pytest.approx([0, 0.5 + GAP, 1 + 2 * GAP, 0, 0.5 + GAP])
    assert (right - left).tolist() == pytest.approx([0.5] * 5)
    assert (bottom - top).tolist() == pytest.approx([0.25] * 3 + [0.5] * 2), "as tall as wide, or half of it"
    assert top[3] >= bottom[0] + GAP / 2
    width, height = figure.get_size_inches()
    assert (width, height) == pytest.approx((right.max(), bottom.max()))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_drawn_as_they_are(channels, tmp_path):
    """In the file, each pixel of a picture is a square of its own colour; grey is drawn dark on white."""
    shown = picture(0, channels=channels)
    path = write(grid([Row([Cell(shown)])], title=""), tmp_path / "one.png")
    from PIL import Image

    drawn = np.asarray(Image.open(path).convert("RGB")).astype(int)
    middle = (np.arange(8) + 0.5) * 110 / 8
    top, left = (drawn.shape[0] - 110, (drawn.shape[1] - 110) // 2)
    seen = np.array([[drawn[int(top + y) - 5, int(left + x)] for x in middle] for y in middle])
    expected = shown.pixels.astype(int) if channels == 3 else 255 - np.repeat(shown.pixels[..., None].astype(int), 3, axis=2)
    assert np.median(np.abs(seen - expected)) <= 3


def test_captions_and_labels_stand_above_and_on_the_left():
    figure = grid([Row([Cell(picture(0), "two\nlines"), Cell(picture(1))], "a row")], title="the title")
    ax = figure.axes[0]
    assert ax.get_title() == "the title"
    label, caption = ax.texts
    assert (label.get_text(), caption.get_text()) == ("a row", "two\nlines")
    _, _, _, top = extents(figure)[0]
    assert caption.get_position()[1] < top
    assert label.get_position()[0] < 0


@pytest.mark.parametrize("letters", [5, 18, 26, 80])
def test_a_caption_does_not_reach_into_the_next_cell(letters):
    text = ("Golden retriever, 100% " * 4)[:letters]
    figure = grid([Row([Cell(picture(0), text), Cell(picture(1), text)])], title="")
    first, second = (caption.get_window_extent() for caption in figure.axes[0].texts if caption.get_text())
    assert first.x1 <= second.x0


def test_a_signed_map_is_white_at_zero():
    figure = grid([Row([Cell(SignedMap(np.array([[-1.0, 4.0]])))])], title="")
    (image,) = figure.axes[0].images
    assert image.get_clim() == (-4, 4)


def test_three_channels_of_any_range_are_stretched():
    pixels = stretched(np.array([[[-1.0]], [[0.0]], [[3.0]]])).pixels
    assert pixels.tolist() == [[[0, 64, 255]]]
    assert stretched(np.zeros((3, 2, 2))).pixels.max() == 0


@dataclass(frozen=True)
class Text(Shown):
    words: str


def test_a_new_kind_of_example_brings_its_own_drawer():
    with pytest.raises(TypeError, match=r"expected a kind of Shown that figures can draw; received Text\. Register"):
        grid([Row([Cell(Text("hello"))])], title="")

    def draw(shown, ax, box):
        ax.text(box.left, box.bottom, shown.words)

    grids.draw.register(Text, draw)
    figure = grid([Row([Cell(Text("hello"), "a greeting")])], title="")
    assert {text.get_text() for text in figure.axes[0].texts} == {"", "hello", "a greeting"}
