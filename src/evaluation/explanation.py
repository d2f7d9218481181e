"""Explanations of a network's answers, and whether they depend on what it learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from src.data.shown import Shown
from src.evaluation.attention import UnsupportedNetwork
from src.evaluation.attribution import Attribution
from src.evaluation.grid import Cell, Row, SignedMap, grid, stretched
from src.evaluation.layers import Rows, View
from src.evaluation.randomisation import randomised, rank_correlation
from src.experiment import Analysis, Experiment, Findings, Result
from src.learner import HasNetwork
from src.value_types import Seed, Whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALIKE = 0.5  # the rank correlation from which on a map says little of what was learned
TITLE = "What speaks for an answer (red) and against it (blue). The numbers: rank correlation with random weights"


class Explanation(Analysis):
    """Explains answers of a network that gives a vector of scores for an image, and shows the inside of any that takes one.

    Every method is repeated on the same network with random weights (Adebayo et al. 2018, arXiv:1810.03292). A method that
    draws nearly the same map there does not show what was learned. The rank correlation of the two is a metric, and stands in
    the figure.

    Args:
        mistakes, right: how many wrong and right answers are explained. Right ones take the place of mistakes that are missing.
        seed: of the random weights. The training's own seed would give the weights that the training began with.
        methods: attributions and views of layers, by name.
    """

    def __init__(self, *, mistakes: Whole = 5, right: Whole = 3, seed: Seed = 1_000_003, **methods: object):
        if min(mistakes, right) < 0 or mistakes + right < 1:
            raise ValueError(f"expected at least one example; received mistakes={mistakes} and right={right}.")
        for name, method in methods.items():
            if not isinstance(method, Attribution | View):
                raise ValueError(f"expected {name} to have the _target_ of an attribution or a view; received {method!r}.")
        self._mistakes, self._right, self._seed = mistakes, right, seed
        self._attributions = {name: method for name, method in methods.items() if isinstance(method, Attribution)}
        self._views = {name: method for name, method in methods.items() if isinstance(method, View)}

    def analyse(self, experiment: Experiment, result: Result) -> Findings:
        metrics: dict[str, float] = {}
        figures: dict[str, Figure] = {}
        lines: list[tuple[str, np.ndarray, np.ndarray]] = []

        def compared(name: str, correlation: float) -> str:
            if not np.isfinite(correlation):
                return "none: the map is constant"
            metrics[f"{name}_randomised_correlation"] = correlation
            return f"{correlation:.2f}" + (": as without learning" if correlation >= ALIKE else "")

        with _or_skip("explanation"):
            table, learner = self._examples(experiment, result)
            network = learner.scoring_network.eval()
            rows = table["index"].to_numpy()
            pictures = [experiment.data.show(row) for row in rows]
            images = learner.preprocess(experiment.data.inputs(rows))
            networks = (network, randomised(network, seed=self._seed))
            with _or_skip("explanation of answers"):
                answers = _answers(table, network, images)
                for name, attribution in self._attributions.items():
                    with _or_skip(f"explanation.{name}"):
                        maps, random = (_maps(attribution.attribute(net, images, answers)) for net in networks)
                        label = f"{name.replace('_', ' ')}\n{compared(name, rank_correlation(maps, random))}"
                        lines.append((label, maps, random))
            for name, view in self._views.items():
                with _or_skip(f"explanation.{name}"):
                    shown, random_shown = (_rows(view.view(net, images[:1])) for net in networks)
                    pairs = [rank_correlation(maps, random) for (_, maps), (_, random) in zip(shown, random_shown, strict=True)]
                    title = f"{view.title}\nRank correlation with random weights: {compared(name, float(np.mean(pairs)))}"
                    figures[name] = _inside(shown, title=title, picture=pictures[0] if view.of_image else None)
            if lines:
                figures["explanation"] = _beside(pictures, list(table["caption"]), lines)
        return Findings(metrics, figures)

    def _examples(self, experiment: Experiment, result: Result) -> tuple[pd.DataFrame, HasNetwork]:
        """The examples to explain, and the learner whose network answers.

        Raises:
            UnsupportedNetwork: it was no network that was trained, or none that takes an image.
        """
        learner = experiment.learner
        if not isinstance(learner, HasNetwork):
            raise UnsupportedNetwork("the learner has no network")
        if result.split:
            table = experiment.evaluation.examples(result.table, mistakes=self._mistakes, right=self._right)
        else:
            table = experiment.evaluation.explained(result.table, self._mistakes + self._right)
        shape = experiment.data.shape
        if len(shape) != 3:
            raise UnsupportedNetwork(f"examples of shape {list(shape)} are no images [channels, height, width]")
        network = learner.scoring_network
        if type(network).forward is nn.Module.forward:
            raise UnsupportedNetwork(f"{type(network).__name__} is several networks, none of which takes an image alone")
        return table, learner


def _answers(table: pd.DataFrame, network: nn.Module, images: Tensor) -> Tensor:
    """The number of the output that is each example's answer.

    Raises:
        UnsupportedNetwork: there is none.
    """
    with torch.no_grad():
        scores = network(images[:1])
    if not isinstance(scores, Tensor) or scores.ndim != 2 or "prediction" not in table:
        raise UnsupportedNetwork(f"{type(network).__name__} does not give a vector of scores for an image")
    return torch.from_numpy(table["prediction"].to_numpy(copy=True)).to(images.device)


def _maps(attributions: Tensor) -> np.ndarray:
    """One map for each example, over all channels. Shape: (examples, height, width)."""
    return attributions.detach().float().sum(dim=1).cpu().numpy()  # numpy has no bfloat16


def _rows(rows: Rows) -> list[tuple[str, np.ndarray]]:
    return [(label, maps.float().cpu().numpy()) for label, maps in rows]


def _beside(pictures: Sequence[Shown], captions: Sequence[str], lines: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Examples in columns, each above its maps. The last column has the first example's maps under random weights."""
    captioned = zip([*pictures, pictures[0]], [*captions, "the first,\nrandom weights"], strict=True)
    rows = [Row([Cell(picture, caption) for picture, caption in captioned])]
    rows += [Row([Cell(SignedMap(values)) for values in (*maps, random[0])], label) for label, maps, random in lines]
    return grid(rows, title=TITLE)


def _inside(lines: Sequence[tuple[str, np.ndarray]], *, title: str, picture: Shown | None) -> Figure:
    """Rows of maps, below the image that they come from where there is one."""
    rows = [] if picture is None else [Row([Cell(picture)], "the image")]
    for label, maps in lines:
        cells = [Cell(stretched(values) if len(values) == 3 else SignedMap(values[0])) for values in maps]
        rows.append(Row(cells, label))
    return grid(rows, title=title)


@contextmanager
def _or_skip(what: str) -> Iterator[None]:
    """Tells the user what this network does not support, and goes on."""
    try:
        yield
    except UnsupportedNetwork as error:
        Analysis.skip(what, str(error))
