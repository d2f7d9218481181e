"""Evaluation of predicted masks: scores of whole images with intervals over images, and figures of the errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from src import metrics
from src.data.base import Data
from src.data.masks import Masks
from src.data.raw import IGNORED
from src.evaluation import overlays, thresholds
from src.evaluation.plotting import axes
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Tile(NamedTuple):
    """A tile of a predicted mask. The class is the one that most wrong pixels were predicted as, or else most pixels."""

    error: float
    image: int
    top: int
    left: int
    row: int
    predicted: int
    caption: str


class Segmentation(Evaluation):
    """Scores for a class at each pixel, over whole images.

    The table has one row an image. A probability for each pixel would take a hundred times the room of the images. Instead, the
    table has the counts of pixels by true and predicted class, the predicted mask as PNG, and histograms of each class's
    probability over its own pixels (`inside`) and over all others (`outside`). Intervals resample images, because the pixels of
    one image are not independent.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        if not isinstance(data, Masks):
            raise ValueError(
                f"task=segmentation: expected data with a mask for each image; {type(data).__name__} has none. Choose "
                "data=isbi2012, or data=mask_folder with images of your own."
            )
        super().__init__(headline=headline)
        self.classes = list(data.classes)
        self._data = data

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, Sequence[object]]:
        columns: dict[str, list[object]] = {"mask": [], "log_loss": []}
        for probability, truth in zip(outputs["probability"], target, strict=True):
            mask, counted = probability.argmax(axis=0).astype(np.uint8), truth != IGNORED
            counts = metrics.confusion(truth[counted].astype(np.int64), mask[counted], len(self.classes))
            right = np.take_along_axis(probability, np.where(counted, truth, 0)[None].astype(np.int64), axis=0)[0][counted]
            columns["mask"].append(_packed(mask))
            columns["log_loss"].append(float(-np.log(right.clip(1e-12)).mean()) if len(right) else 0.0)
            for i, name in enumerate(self.classes):
                for j, other in enumerate(self.classes):
                    columns.setdefault(f"{name}_as_{other}", []).append(int(counts[i, j]))
                for kind, pixels in (("inside", truth == i), ("outside", counted & (truth != i))):
                    columns.setdefault(f"{kind}_{name}", []).append(thresholds.histogram(probability[i][pixels]).tolist())
        return columns

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, Sequence[object]]:
        """The mask, a PNG of class numbers, and the share of the pixels that each class has."""
        masks = [probability.argmax(axis=0).astype(np.uint8) for probability in outputs["probability"]]
        shares = {f"share_{name}": [float((mask == i).mean()) for mask in masks] for i, name in enumerate(self.classes)}
        return {"mask": [_packed(mask) for mask in masks], **shares}

    def scores(self, table: pd.DataFrame) -> Scores:
        counts = self._counts(table)
        pixels, losses = counts.sum(axis=(1, 2)), table["log_loss"].to_numpy(np.float64)
        values = {key: float(value) for key, value in self._named(counts.sum(axis=0)).items()}
        values["log_loss"] = float(losses @ pixels / (pixels.sum() or np.nan))
        drawn = bootstrap(len(table))
        resampled = self._named(np.einsum("rn,nij->rij", drawn, counts))
        intervals = {key: interval(value) for key, value in resampled.items()}
        counted = sums(drawn, pixels)
        intervals["log_loss"] = interval(sums(drawn, losses * pixels) / np.where(counted, counted, np.nan))
        return Scores(values, intervals)

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """Tiles that do not overlap: those with most errors, then others at even steps down to the fewest errors.

        `prediction` is the class that most of the wrong pixels were predicted as; where all are right, most of the pixels.
        """
        size = self._data.shape[-1]
        apart: list[Tile] = []
        by_image: dict[int, list[Tile]] = {}
        for tile in sorted(self._tiles(table), key=lambda tile: (-tile.error, tile.image, tile.top, tile.left)):
            others = by_image.setdefault(tile.image, [])
            if not any(max(abs(tile.top - other.top), abs(tile.left - other.left)) < size for other in others):
                apart.append(tile)
                others.append(tile)
        rest = apart[mistakes:]
        positions = np.linspace(0, len(rest) - 1, min(right, len(rest))).round().astype(int)
        chosen = [*apart[:mistakes], *(rest[position] for position in positions)]
        rows = [(tile.row, tile.predicted, tile.caption) for tile in chosen]
        return pd.DataFrame(rows, columns=["index", "prediction", "caption"])

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        masks = {number: unpacked(mask) for number, mask in zip(table["index"], table["mask"], strict=True)}
        shares = self._counts(table)
        right = np.diagonal(shares, axis1=1, axis2=2).sum(axis=1) / np.maximum(shares.sum(axis=(1, 2)), 1)
        numbers = table["index"].to_numpy()[np.argsort(right, kind="stable")]
        return {
            "overlays": overlays.images(self._data, {number: masks[number] for number in numbers}),
            "worst_tiles": overlays.worst_tiles(self._data, masks, size=self._data.shape[-1]),
            "dice_by_image": self._by_image(table, shares),
            "thresholds": thresholds.curves(
                {name: (_summed(table[f"inside_{name}"]), _summed(table[f"outside_{name}"])) for name in self.classes}
            ),
        }

    def _tiles(self, table: pd.DataFrame) -> Iterator[Tile]:
        size = self._data.shape[-1]
        for number, mask in zip(table["index"], table["mask"], strict=True):
            whole = unpacked(mask)
            rows, corners = self._data.tiles(number)
            for row, (top, left), truth in zip(rows.tolist(), corners.tolist(), self._data.targets(rows), strict=True):
                predicted = whole[top : top + size, left : left + size]
                wrong = (predicted != truth) & (truth != IGNORED)
                most = int(np.bincount(predicted[wrong] if wrong.any() else predicted.ravel()).argmax())
                caption = f"{self._data.image_names[number]} ({left}, {top})\n{wrong.mean():.1%} wrong\n{self.classes[most]}"
                yield Tile(float(wrong.mean()), number, top, left, row, most, caption)

    def _counts(self, table: pd.DataFrame) -> np.ndarray:
        """Pixels by image, true class and predicted class."""
        names = [f"{name}_as_{other}" for name in self.classes for other in self.classes]
        return table[names].to_numpy(np.int64).reshape(-1, len(self.classes), len(self.classes))

    def _named(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Scores by flat name. The Dice coefficient is the F1 of pixels; it is NaN for a class neither true nor predicted."""
        scores = metrics.from_confusion(counts)
        dice = scores["f1"]
        overlap = {"dice": dice, "iou": dice / (2 - dice), "precision": scores["precision"], "recall": scores["recall"]}
        present = _present(counts).astype(np.float64)
        share = present / np.maximum(present.sum(axis=-1, keepdims=True), 1)
        return {
            "accuracy": scores["accuracy"],
            "balanced_accuracy": scores["balanced_accuracy"],
            "dice_macro": (np.nan_to_num(dice) * share).sum(axis=-1),
            "iou_macro": (np.nan_to_num(overlap["iou"]) * share).sum(axis=-1),
            **{f"{key}/{name}": value[..., i] for key, value in overlap.items() for i, name in enumerate(self.classes)},
        }

    def _by_image(self, table: pd.DataFrame, counts: np.ndarray, *, most: int = 40) -> Figure:
        dice = metrics.from_confusion(counts)["f1"]
        shown = np.argsort(np.nansum(dice, axis=1) / np.maximum(np.isfinite(dice).sum(axis=1), 1), kind="stable")[:most]
        figure, ax = axes(width=5.5, height=max(2.0, 0.24 * len(shown) + 1.2))
        for i, name in enumerate(self.classes):
            ax.plot(dice[shown, i], np.arange(len(shown)), "o", label=name, markersize=5)
        ax.set_yticks(
            np.arange(len(shown)), [self._data.image_names[number] for number in table["index"].to_numpy()[shown]], fontsize=7
        )
        title = "Dice by image" + (f", the worst {most} of {len(table)}" if len(table) > most else "")
        ax.set(xlim=(-0.02, 1.02), xlabel="Dice coefficient", title=title)
        ax.invert_yaxis()
        ax.grid(axis="x", alpha=0.3)
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure


def _present(counts: np.ndarray) -> np.ndarray:
    """Whether a class is true or predicted somewhere; otherwise it has no Dice coefficient."""
    return counts.sum(axis=-1) + counts.sum(axis=-2) > 0


def unpacked(mask: bytes) -> np.ndarray:
    """A predicted mask from the table, shape (height, width)."""
    from PIL import Image

    return np.asarray(Image.open(BytesIO(mask)))


def _packed(mask: np.ndarray) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(mask).save(buffer, format="png")
    return buffer.getvalue()


def _summed(histograms: pd.Series) -> np.ndarray:
    return np.stack(histograms.to_list()).sum(axis=0)
