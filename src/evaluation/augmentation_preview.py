"""A preview of a run's augmentation: some of its training examples, each beside random versions of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from src.data.shown import Picture
from src.evaluation import overlays
from src.evaluation.grid import Cell, Row, grid
from src.experiment import Experiment
from src.protocols import Mix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, COLUMNS = 8, 8
SEARCHED = 4096  # training examples among which the first one of each class is looked for


class Version(NamedTuple):
    """Augmented examples.

    Args:
        images: shape (examples, channels, height, width).
        masks: moved with the images, None where targets are no masks.
        mixes: the partner of each example, as a position among the examples, and the example's own share.
    """

    images: np.ndarray
    masks: np.ndarray | None
    mixes: list[tuple[np.ndarray, np.ndarray]]


def preview(experiment: Experiment) -> dict[str, Figure]:
    """Some training examples as they are stored, and random versions of them. Empty for a run without augmentation.

    Masks are drawn over their images. Where examples are mixed, they are mixed with examples of the other rows, and a caption
    says how much of which one.
    """
    if experiment.augmentation is None:
        return {}
    rows, labels = _examples(experiment)
    stored = experiment.data.inputs(rows)
    masks = _masks(experiment, rows)
    versions = [Version(stored, masks, []), *_versions(experiment, stored, masks)]
    lines = []
    for number, label in enumerate(labels):
        cells = []
        for images, moved, mixes in versions:
            shown = Picture.of(images[number]) if moved is None else overlays.overlay(images[number], moved[number])
            others = [(share[number], labels[partner[number]]) for partner, share in mixes if partner[number] != number]
            cells.append(Cell(shown, ", ".join(f"{1 - share:.0%} {other}".rstrip() for share, other in others)))
        lines.append(Row(cells, label))
    steps = ", ".join(name for name in experiment.config["augmentation"] if name != "_target_")
    return {"augmentation": grid(lines, title=f"Left: training examples as stored. Right of them: augmented by {steps}")}


def _examples(experiment: Experiment) -> tuple[np.ndarray, list[str]]:
    """The first training example of each class, with its label; examples without labels where they have no single class."""
    rows, classes = experiment.data.rows("train")[:SEARCHED], experiment.data.classes
    if not classes or experiment.data.targets(rows[:1]).ndim > 1:
        some = rows[:: max(1, len(rows) // ROWS)][:ROWS]
        return some, ["" for _ in some]
    present, first = np.unique(experiment.data.targets(rows), return_index=True)
    return rows[first[:ROWS]], [classes[number] for number in present[:ROWS]]


def _masks(experiment: Experiment, rows: np.ndarray) -> np.ndarray | None:
    """Targets that are maps over their images."""
    targets = experiment.data.targets(rows)
    return targets if targets.shape[1:] == tuple(experiment.data.shape[1:]) else None


def _versions(experiment: Experiment, stored: np.ndarray, masks: np.ndarray | None) -> list[Version]:
    """The same versions every time. The random state of the process stays as it is."""
    import torch  # a classical run draws its figures without it

    assert experiment.augmentation is not None
    versions = []
    with torch.random.fork_rng():
        torch.manual_seed(experiment.config["seed"])
        for _ in range(COLUMNS - 1):
            images, changes = experiment.augmentation(torch.from_numpy(stored))
            moved = None if masks is None else torch.from_numpy(masks).unsqueeze(1).float()
            for change in changes:
                if moved is not None and not isinstance(change, Mix):
                    moved = change.apply(moved)
            mixes = [(mix.partner.numpy(), mix.share.numpy()) for mix in changes if isinstance(mix, Mix)]
            versions.append(Version(images.numpy(), None if moved is None else moved.squeeze(1).round().int().numpy(), mixes))
    return versions
