"""Masks over their pictures: what is true, what was said, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from src.data import tiles
from src.data.masks import Masks
from src.evaluation.style import sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSED, INVENTED, MISTAKEN = (0.85, 0.15, 0.1), (0.1, 0.35, 0.9), (0.95, 0.6, 0.0)
OPACITY = 0.45


def images(data: Masks, said: Mapping[int, np.ndarray], *, most: int = 4) -> Figure:
    """The first of some whole images: as they are, with the true mask, with the predicted one, and with the errors.

    Args:
        said: predicted masks by number of the image, the worst one first.
    """
    shown = dict(list(said.items())[:most])
    figure = sheet(width=10, height=2.7 * len(shown) + 0.5)
    for line, (number, mask) in enumerate(shown.items()):
        pixels, truth = data.whole(number)
        views = {
            f"image {data.names[number]}": _picture(pixels),
            "true": coloured(pixels, truth),
            "predicted": coloured(pixels, mask),
            f"errors: {(mask != truth).mean():.1%}": _errors(pixels, truth, mask),
        }
        for column, (title, view) in enumerate(views.items()):
            ax = figure.add_subplot(len(shown), 4, 4 * line + column + 1)
            ax.imshow(view, interpolation="nearest")
            ax.set_title(title, fontsize=9)
            ax.axis("off")
    figure.suptitle(f"The images with most errors. {_legend(data.classes)}", fontsize=9)
    return figure


def worst(data: Masks, said: Mapping[int, np.ndarray], *, size: int, most: int = 8) -> Figure:
    """The squares with most errors, each above itself with the errors in colour; the last of a line may overlap."""
    found = []
    for number, mask in said.items():
        wrong = mask != data.whole(number)[1]
        cut, corners = tiles.cut(wrong, size=size, stride=size)
        found += [(share, number, *corner) for share, corner in zip(cut.mean(axis=(1, 2)), corners.tolist(), strict=True)]
    found.sort(key=lambda place: (-place[0], *place[1:]))
    shown = found[:most]
    figure = sheet(width=10, height=3.2)
    for column, (share, number, top, left) in enumerate(shown):
        pixels, truth = data.whole(number)
        place = (..., slice(top, top + size), slice(left, left + size))
        for line, view in enumerate((_picture(pixels[place]), _errors(pixels[place], truth[place], said[number][place]))):
            ax = figure.add_subplot(2, len(shown), line * len(shown) + column + 1)
            ax.imshow(view, interpolation="nearest")
            ax.axis("off")
            if not line:
                ax.set_title(f"{data.names[number]} ({left}, {top})\n{share:.1%} wrong", fontsize=7)
    figure.suptitle(f"The squares with most errors. {_legend(data.classes)}", fontsize=9)
    return figure


def coloured(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture (channel, height, width) from 0 to 255 under the colours of its classes, the first of which has none."""
    from matplotlib import colormaps

    picture = _picture(pixels)
    colours = colormaps["tab10"](np.maximum(mask.astype(int) - 1, 0) % 10)[..., :3]
    return np.where(mask[..., None] > 0, (1 - OPACITY) * picture + OPACITY * colours, picture)


def _errors(pixels: np.ndarray, truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """By what is wrong: the first class missed, the first class invented, or one of the others taken for another."""
    picture = _picture(pixels) * 0.6 + 0.4  # pale, for the colours to be seen
    for wrong, colour in (
        ((truth == 0) & (said != 0), MISSED),
        ((truth != 0) & (said == 0), INVENTED),
        ((truth != said) & (truth != 0) & (said != 0), MISTAKEN),
    ):
        picture[wrong] = colour
    return picture


def _picture(pixels: np.ndarray) -> np.ndarray:
    """As (height, width, 3) from 0 to 1."""
    return np.broadcast_to(pixels.transpose(1, 2, 0) / 255, (*pixels.shape[1:], 3)).copy()


def _legend(classes: list[str]) -> str:
    rest = ", orange: one of the others for another" if len(classes) > 2 else ""
    return f"Red: {classes[0]} that was missed, blue: {classes[0]} where there is none{rest}"
