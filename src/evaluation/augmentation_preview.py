"""A contact sheet of what a run's augmentation makes of its training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src.config.assembly import Experiment
from src.evaluation import overlays, style
from src.protocols import Mix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, COLUMNS = 8, 8
GAP = 0.16  # between two pictures, as a share of their width
LOOKED_AT = 4096  # training examples among which one of each class is looked for


def sheet(experiment: Experiment) -> dict[str, Figure]:
    """Some training examples, each beside several random versions; nothing for a run that does not augment.

    Where examples are mixed, the partners are those of the other rows, and a line below says how much of whom. Masks
    lie over their pictures in colour.
    """
    if experiment.augmentation is None:
        return {}
    rows, labels = _chosen(experiment)
    stored = experiment.data.inputs(rows)
    tall = stored.shape[2] / stored.shape[3]  # of a picture whose width is 1
    figure, ax = style.axes(width=1.05 * COLUMNS + 0.8, height=1.05 * len(rows) * (tall + GAP) + 0.6)
    grey = stored.shape[1] == 1
    drawn = _masks(experiment, rows)
    for column, (images, masks, mixes) in enumerate([(stored, drawn, []), *_versions(experiment, stored, drawn)]):
        left = column * (1 + GAP / 2)
        for row, image in enumerate(images):
            top = row * (tall + GAP)
            pixels = image.transpose(1, 2, 0).squeeze() / 255 if masks is None else overlays.coloured(image, masks[row])
            place = (left, left + 1, top + tall, top)
            ax.imshow(pixels, cmap="gray_r" if grey else None, vmin=0, vmax=1, extent=place, interpolation="nearest")
            others = [(share[row], labels[partner[row]]) for partner, share in mixes if partner[row] != row]
            caption = ", ".join(f"{1 - share:.0%} {label}".rstrip() for share, label in others)
            ax.text(left + 0.5, top + tall + 0.02, caption, fontsize=6, color=style.GREY, ha="center", va="top")
    ax.set(xlim=(0, COLUMNS * (1 + GAP / 2)), ylim=(len(rows) * (tall + GAP), -GAP), xticks=[])
    ax.set_yticks([row * (tall + GAP) + tall / 2 for row in range(len(rows))], labels, fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for left, text in ((0, "as stored"), (1 + GAP / 2, "as trained on, at random")):
        ax.text(left, -0.04, text, fontsize=8, color=style.GREY)
    steps = ", ".join(name for name in experiment.config["augmentation"] if name != "_target_")
    ax.set_title(f"Training examples under augmentation: {steps}", fontsize=10, pad=10)
    return {"augmentation": figure}


def _chosen(experiment: Experiment) -> tuple[np.ndarray, list[str]]:
    """The first training example of each class, or some where an example has no one class, with their labels."""
    rows, classes = experiment.data.rows("train")[:LOOKED_AT], experiment.data.classes
    if not classes or experiment.data.targets(rows[:1]).ndim > 1:
        some = rows[:: max(1, len(rows) // ROWS)][:ROWS]
        return some, ["" for _ in some]
    found, first = np.unique(experiment.data.targets(rows), return_index=True)
    return rows[first[:ROWS]], [classes[number] for number in found[:ROWS]]


def _masks(experiment: Experiment, rows: np.ndarray) -> np.ndarray | None:
    """Targets that lie over their pictures."""
    targets = experiment.data.targets(rows)
    return targets if targets.shape[1:] == tuple(experiment.data.shape[1:]) else None


def _versions(
    experiment: Experiment, stored: np.ndarray, masks: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray | None, list[tuple[np.ndarray, np.ndarray]]]]:
    """Changed images, their masks, and partners and shares where they were mixed, for each column; the same every time."""
    import torch  # a classical run draws its figures without it

    made = []
    with torch.random.fork_rng():
        torch.manual_seed(experiment.config["seed"])
        for _ in range(COLUMNS - 1):
            images, changes = experiment.augmentation(torch.from_numpy(stored))
            moved = None if masks is None else torch.from_numpy(masks).unsqueeze(1).float()
            for change in changes:
                if moved is not None and not isinstance(change, Mix):
                    moved = change.apply(moved)
            mixes = [(mix.partner.numpy(), mix.share.numpy()) for mix in changes if isinstance(mix, Mix)]
            made.append((images.numpy(), None if moved is None else moved.squeeze(1).round().int().numpy(), mixes))
    return made
