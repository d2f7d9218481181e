"""A contact sheet of what a run's augmentation makes of its training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src.assembly import Experiment
from src.evaluation import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, COLUMNS = 8, 8
LOOKED_AT = 4096  # training examples among which one of each class is looked for


def sheet(experiment: Experiment) -> dict[str, Figure]:
    """Some training examples, each beside several random versions; nothing for a run that does not augment.

    Where examples are mixed, the partners are those of the other rows, and a line below says how much of whom.
    """
    if experiment.augmentation is None:
        return {}
    rows, labels = _chosen(experiment)
    stored = experiment.data.inputs(rows)
    figure = style.sheet(width=1.05 * COLUMNS + 0.8, height=1.12 * len(rows) + 0.7)
    places = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for column, (images, mixes) in enumerate([(stored, []), *_versions(experiment, stored)]):
        for row, (image, ax) in enumerate(zip(images, places[:, column], strict=True)):
            grey = image.shape[0] == 1
            ax.imshow(image.transpose(1, 2, 0).squeeze() / 255, cmap="gray_r" if grey else None, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            others = [(share[row], labels[partner[row]]) for partner, share in mixes if partner[row] != row]
            caption = "\n".join(f"{1 - share:.0%} {label}" for share, label in others)
            ax.set_xlabel(caption, fontsize=6, color=style.GREY, labelpad=2)
    for ax, label in zip(places[:, 0], labels, strict=True):
        ax.set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
    places[0, 0].set_title("as stored", fontsize=8, color=style.GREY)
    places[0, 1].set_title("as trained on, at random", fontsize=8, color=style.GREY, loc="left")
    steps = ", ".join(name for name, value in experiment.config["augmentation"].items() if name != "_target_")
    figure.suptitle(f"Training examples under augmentation: {steps}", fontsize=10)
    return {"augmentation": figure}


def _chosen(experiment: Experiment) -> tuple[np.ndarray, list[str]]:
    """The first training example of each class, or the first ones where there are no classes, with their labels."""
    rows, classes = experiment.data.rows("train")[:LOOKED_AT], experiment.data.classes
    if not classes:
        return rows[:ROWS], ["" for _ in rows[:ROWS]]
    found, first = np.unique(experiment.data.targets(rows), return_index=True)
    return rows[first[:ROWS]], [classes[number] for number in found[:ROWS]]


def _versions(experiment: Experiment, stored: np.ndarray) -> list[tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]]:
    """Changed images, with partners and shares where they were mixed, for each column; the same ones every time."""
    import torch  # a classical run draws its figures without it

    with torch.random.fork_rng():
        torch.manual_seed(experiment.config["seed"])
        made = [experiment.augmentation(torch.from_numpy(stored)) for _ in range(COLUMNS - 1)]
    return [(images.numpy(), [(mix.partner.numpy(), mix.share.numpy()) for mix in mixes]) for images, mixes in made]
