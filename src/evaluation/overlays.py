"""Masks drawn over their images: the true one, the predicted one, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from src.data import tiles
from src.data.masks import Masks
from src.data.raw import IGNORED
from src.data.shown import Picture
from src.evaluation.grid import Cell, Row, grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSED, INVENTED, CONFUSED = (0.85, 0.15, 0.1), (0.1, 0.35, 0.9), (0.95, 0.6, 0.0)
OPACITY = 0.45


def images(data: Masks, masks: Mapping[int, np.ndarray], *, most: int = 4) -> Figure:
    """The first of some whole images: as they are, with the true mask, with the predicted mask, and with the errors.

    Args:
        masks: predicted ones by the number of the image, the worst one first.
    """
    rows = []
    for number, mask in list(masks.items())[:most]:
        image, truth = data.whole(number)
        wrong = (mask != truth) & (truth != IGNORED)
        views = {
            f"image {data.image_names[number]}": Picture(_bytes(_colours(image))),
            "true": overlay(image, truth),
            "predicted": overlay(image, mask),
            f"errors: {wrong.mean():.1%}": _errors(image, truth, mask),
        }
        rows.append(Row([Cell(view, caption) for caption, view in views.items()]))
    return grid(rows, title=f"The images with most errors\n{_legend(data.classes)}", side=2.4)


def worst_tiles(data: Masks, masks: Mapping[int, np.ndarray], *, size: int, most: int = 8) -> Figure:
    """The tiles with most errors, each above itself with the errors in colour. Tiles at an image's end may overlap others."""
    ranked = []
    for number, mask in masks.items():
        truth = data.whole(number)[1]
        wrong = (mask != truth) & (truth != IGNORED)
        cut, corners = tiles.cut(wrong, size=size, stride=size)
        ranked += [(share, number, *corner) for share, corner in zip(cut.mean(axis=(1, 2)), corners.tolist(), strict=True)]
    ranked.sort(key=lambda tile: (-tile[0], *tile[1:]))
    plain, coloured = [], []
    for share, number, top, left in ranked[:most]:
        image, truth = data.whole(number)
        tile = (..., slice(top, top + size), slice(left, left + size))
        caption = f"{data.image_names[number]} ({left}, {top})\n{share:.1%} wrong"
        plain.append(Cell(Picture(_bytes(_colours(image[tile]))), caption))
        coloured.append(Cell(_errors(image[tile], truth[tile], masks[number][tile])))
    return grid([Row(plain), Row(coloured)], title=f"The tiles with most errors\n{_legend(data.classes)}", side=1.15)


def overlay(image: np.ndarray, mask: np.ndarray) -> Picture:
    """An image (channel, height, width) from 0 to 255 under the colours of its classes; the first class has no colour.

    Pixels that do not count are grey.
    """
    from matplotlib import colormaps

    colours = _colours(image)
    classes = colormaps["tab10"](np.maximum(mask.astype(int) - 1, 0) % 10)[..., :3]
    classes[mask == IGNORED] = 0.5
    return Picture(_bytes(np.where(mask[..., None] > 0, (1 - OPACITY) * colours + OPACITY * classes, colours)))


def _errors(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Picture:
    """By the kind of error: the first class was missed, it was invented, or two of the others were confused."""
    colours = _colours(image) * 0.6 + 0.4  # pale, so that the errors stand out
    for wrong, colour in (
        ((truth == 0) & (mask != 0), MISSED),
        ((truth != 0) & (mask == 0), INVENTED),
        ((truth != mask) & (truth != 0) & (mask != 0), CONFUSED),
    ):
        colours[wrong & (truth != IGNORED)] = colour
    return Picture(_bytes(colours))


def _colours(image: np.ndarray) -> np.ndarray:
    """From (channel, height, width) to (height, width, 3), from 0 to 1."""
    return np.broadcast_to(image.transpose(1, 2, 0) / 255, (*image.shape[1:], 3)).copy()


def _bytes(colours: np.ndarray) -> np.ndarray:
    return np.round(255 * colours).astype(np.uint8)


def _legend(classes: list[str]) -> str:
    confused = "; orange: two other classes were confused" if len(classes) > 2 else ""
    return f"Red: {classes[0]} was missed; blue: {classes[0]} was predicted where there is none{confused}"
