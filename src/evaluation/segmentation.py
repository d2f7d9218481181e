"""What predicted masks are worth, image by image: scores with intervals over images, and figures that show the errors."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from src import metrics
from src.config.assembly import Experiment
from src.data.base import Data
from src.data.masks import Masks
from src.evaluation import overlays, thresholds
from src.evaluation.core import bootstrap, interval
from src.evaluation.style import axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Segmentation:
    """Scores for a class at each pixel, over whole images.

    Its table has a row an image. A probability for each pixel would be a hundred times as large as the images: kept are
    the counts of pixels by true and predicted class, the predicted mask as PNG, and histograms of each class's
    probability over its own pixels (`inside`) and all others (`outside`). Intervals resample images, for the pixels of
    one are not independent.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        if not isinstance(data, Masks):
            raise ValueError(
                f"task=segmentation: expected data with a mask for each image; {type(data).__name__} has none. Choose "
                "data=isbi2012, or data=mask_folder with images of your own."
            )
        self.headline = headline
        self.classes = list(data.classes)
        self._data = data

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray | list[Any]]:
        found: dict[str, list[Any]] = {"mask": [], "log_loss": []}
        for probability, truth in zip(outputs["probability"], target, strict=True):
            said = probability.argmax(axis=0).astype(np.uint8)
            counts = metrics.confusion(truth.ravel().astype(np.int64), said.ravel(), len(self.classes))
            right = np.take_along_axis(probability, truth[None].astype(np.int64), axis=0)
            found["mask"].append(_packed(said))
            found["log_loss"].append(float(-np.log(right.clip(1e-12)).mean()))
            for i, name in enumerate(self.classes):
                for j, other in enumerate(self.classes):
                    found.setdefault(f"{name}_as_{other}", []).append(int(counts[i, j]))
                for kind, pixels in (("inside", truth == i), ("outside", truth != i)):
                    found.setdefault(f"{kind}_{name}", []).append(thresholds.histogram(probability[i][pixels]).tolist())
        return found

    def scores(self, table: pd.DataFrame) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        counts = self._counts(table)
        pixels, losses = counts.sum(axis=(1, 2)), table["log_loss"].to_numpy(np.float64)
        found = self._named(counts.sum(axis=0))
        values = {key: float(value) for key, value in found.items()}
        values["log_loss"] = float(losses @ pixels / pixels.sum())
        drawn = bootstrap(len(table))
        resampled = self._named(np.einsum("rn,nij->rij", drawn, counts))
        intervals = {key: interval(value) for key, value in resampled.items()}
        intervals["log_loss"] = interval(drawn @ (losses * pixels) / (drawn @ pixels))
        return values, intervals

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """Tiles that do not overlap: those with most errors, then others at even steps down to the fewest.

        `prediction` is the class that most of the wrong pixels were taken for, or, where all are right, most of the pixels.
        """
        size = self._data.shape[-1]
        found = []
        for number, mask in zip(table["index"], table["mask"], strict=True):
            said = unpacked(mask)
            rows, corners = self._data.tiles(number)
            for row, (top, left), truth in zip(rows.tolist(), corners.tolist(), self._data.targets(rows), strict=True):
                here = said[top : top + size, left : left + size]
                wrong = here != truth
                answer = int(np.bincount(here[wrong] if wrong.any() else here.ravel()).argmax())
                caption = f"{self._data.names[number]} ({left}, {top})\n{wrong.mean():.1%} wrong\n{self.classes[answer]}"
                found.append((float(wrong.mean()), number, top, left, row, answer, caption))
        apart: list[tuple] = []
        kept: dict[int, list[tuple[int, int]]] = {}  # corners by image
        for one in sorted(found, key=lambda tile: (-tile[0], *tile[1:4])):
            beside = kept.setdefault(one[1], [])
            if not any(max(abs(one[2] - top), abs(one[3] - left)) < size for top, left in beside):
                apart.append(one)
                beside.append((one[2], one[3]))
        rest = apart[mistakes:]
        places = np.linspace(0, len(rest) - 1, min(right, len(rest))).round().astype(int)
        chosen = [*apart[:mistakes], *(rest[place] for place in places)]
        return pd.DataFrame([tile[4:] for tile in chosen], columns=["index", "prediction", "caption"])

    def figures(self, table: pd.DataFrame, experiment: Experiment) -> Mapping[str, Figure]:
        said = {number: unpacked(mask) for number, mask in zip(table["index"], table["mask"], strict=True)}
        shares = self._counts(table)
        right = np.diagonal(shares, axis1=1, axis2=2).sum(axis=1) / shares.sum(axis=(1, 2))
        numbers = table["index"].to_numpy()[np.argsort(right, kind="stable")]
        return {
            "overlays": overlays.images(self._data, {number: said[number] for number in numbers}),
            "worst_tiles": overlays.worst(self._data, said, size=experiment.data.shape[-1]),
            "dice_by_image": self._by_image(table, shares),
            "thresholds": thresholds.curves(
                {name: (_summed(table[f"inside_{name}"]), _summed(table[f"outside_{name}"])) for name in self.classes}
            ),
        }

    def _counts(self, table: pd.DataFrame) -> np.ndarray:
        """Pixels by image, true class and predicted class."""
        names = [f"{name}_as_{other}" for name in self.classes for other in self.classes]
        return table[names].to_numpy(np.int64).reshape(-1, len(self.classes), len(self.classes))

    def _named(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Scores by flat name. The Dice coefficient is what F1 is for examples; of a class that is neither there nor said
        there is none."""
        found = metrics.from_confusion(counts)
        dice = found["f1"]
        overlap = {"dice": dice, "iou": dice / (2 - dice), "precision": found["precision"], "recall": found["recall"]}
        present = _present(counts).astype(np.float64)
        share = present / np.maximum(present.sum(axis=-1, keepdims=True), 1)
        return {
            "accuracy": found["accuracy"],
            "balanced_accuracy": found["balanced_accuracy"],
            "dice_macro": (np.nan_to_num(dice) * share).sum(axis=-1),
            "iou_macro": (np.nan_to_num(overlap["iou"]) * share).sum(axis=-1),
            **{f"{key}/{name}": value[..., i] for key, value in overlap.items() for i, name in enumerate(self.classes)},
        }

    def _by_image(self, table: pd.DataFrame, counts: np.ndarray, *, most: int = 40) -> Figure:
        dice = metrics.from_confusion(counts)["f1"]
        shown = np.argsort(np.nanmean(dice, axis=1), kind="stable")[:most]
        figure, ax = axes(width=5.5, height=max(2.0, 0.24 * len(shown) + 1.2))
        for i, name in enumerate(self.classes):
            ax.plot(dice[shown, i], np.arange(len(shown)), "o", label=name, markersize=5)
        ax.set_yticks(
            np.arange(len(shown)), [self._data.names[number] for number in table["index"].to_numpy()[shown]], fontsize=7
        )
        title = "Dice by image" + (f", the worst {most} of {len(table)}" if len(table) > most else "")
        ax.set(xlim=(-0.02, 1.02), xlabel="Dice coefficient", title=title)
        ax.invert_yaxis()
        ax.grid(axis="x", alpha=0.3)
        ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure


def _present(counts: np.ndarray) -> np.ndarray:
    """Whether a class is there or is said to be; of one that is neither there is no Dice coefficient."""
    return counts.sum(axis=-1) + counts.sum(axis=-2) > 0


def unpacked(mask: bytes) -> np.ndarray:
    """A predicted mask of the table, shape (height, width)."""
    from PIL import Image

    return np.asarray(Image.open(BytesIO(mask)))


def _packed(mask: np.ndarray) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(mask).save(buffer, format="png")
    return buffer.getvalue()


def _summed(histograms: pd.Series) -> np.ndarray:
    return np.stack(histograms.to_list()).sum(axis=0)
