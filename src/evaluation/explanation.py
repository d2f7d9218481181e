"""Where a network looks when it answers, and whether it looks there because of what it learned."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from src.config.assembly import Experiment
from src.evaluation import panels
from src.evaluation.analysis import Findings
from src.evaluation.core import Result
from src.evaluation.layers import Rows, Unsuited
from src.evaluation.randomisation import randomised, rank_correlation

ALIKE = 0.5  # the rank correlation from which on a map says little of what was learned
TITLE = "What speaks for an answer (red) and against it (blue). The numbers: rank correlation with random weights"


@runtime_checkable
class Explainable(Protocol):
    """An evaluation that knows which examples are worth a closer look."""

    def examples(self, table: pd.DataFrame, *, mistakes: int, right: int) -> pd.DataFrame:
        """Rows of the table of predictions, the worst mistakes first.

        Besides `index` they have `prediction`, the number of the network's output that is its answer, and `caption`.
        """
        ...


class Explanation:
    """Explains answers of a network that gives a vector of scores for an image, and shows the inside of any that takes one.

    Every method is repeated on the same network with random weights (Adebayo et al. 2018, arXiv:1810.03292): one that
    draws nearly the same map there does not show what was learned. The rank correlation of the two is a metric, and
    stands in the figure.

    Args:
        mistakes, right: how many wrong and right answers are explained; right ones stand in for mistakes that are not there.
        seed: of the random weights; another one than the training's, or they would be those that it began with.
        methods: by name, attributions and views of layers.
    """

    def __init__(self, *, mistakes: int = 5, right: int = 3, seed: int = 1_000_003, **methods: Any):
        if min(mistakes, right) < 0 or mistakes + right < 1:
            raise ValueError(f"expected at least one example; received mistakes={mistakes} and right={right}.")
        for name, method in methods.items():
            if not hasattr(method, "attribute") and not hasattr(method, "view"):
                raise ValueError(f"expected {name} to have a _target_ that explains; received {method!r}.")
        self._mistakes, self._right, self._seed = mistakes, right, seed
        self._attributions = {name: method for name, method in methods.items() if hasattr(method, "attribute")}
        self._views = {name: method for name, method in methods.items() if hasattr(method, "view")}

    def analyse(self, result: Result, experiment: Experiment) -> Findings:
        metrics: dict[str, float] = {}
        figures: dict[str, Any] = {}
        rows: list[tuple[str, np.ndarray, np.ndarray]] = []

        def compared(name: str, correlation: float) -> str:
            if not np.isfinite(correlation):
                return "none, for there are no differences to rank"
            metrics[f"{name}_randomised_correlation"] = correlation
            return f"{correlation:.2f}" + (": as without learning" if correlation >= ALIKE else "")

        with _or_left_out("explanation"):
            table, stored, images, network = self._subject(result, experiment)
            networks = (network, randomised(network, seed=self._seed))
            with _or_left_out("explanation of answers"):
                answers = _answers(table, network, images)
                for name, attribution in self._attributions.items():
                    with _or_left_out(f"explanation.{name}"):
                        maps, random = (_maps(attribution.attribute(net, images, answers)) for net in networks)
                        label = f"{name.replace('_', ' ')}\n{compared(name, rank_correlation(maps, random))}"
                        rows.append((label, maps, random))
            for name, view in self._views.items():
                with _or_left_out(f"explanation.{name}"):
                    shown, random_shown = (_rows(view.view(net, images[:1])) for net in networks)
                    pairs = [rank_correlation(maps, random) for (_, maps), (_, random) in zip(shown, random_shown, strict=True)]
                    title = f"{view.title}\nRank correlation with random weights: {compared(name, float(np.mean(pairs)))}"
                    figures[name] = _inside(shown, title=title, image=stored[0] if view.of_image else None)
            if rows:
                figures["explanation"] = _beside(stored, list(table["caption"]), rows)
        return Findings(metrics, figures)

    def _subject(self, result: Result, experiment: Experiment) -> tuple[pd.DataFrame, np.ndarray, Tensor, nn.Module]:
        """The examples to explain, as they are stored and preprocessed, and the network that answers.

        Where the evaluation names none, it is the first one of the part, which has no answer.

        Raises:
            Unsuited: what was trained is not such a network.
        """
        network = experiment.learner.scoring_network
        if network is None:
            raise Unsuited("what was trained is not a network")
        if isinstance(experiment.evaluation, Explainable):
            table = experiment.evaluation.examples(result.table, mistakes=self._mistakes, right=self._right)
        else:
            table = result.table[["index"]].head(1)
        stored = experiment.data.inputs(table["index"].to_numpy())
        if stored.ndim != 4:
            raise Unsuited(f"examples of shape {list(stored.shape[1:])} are no images [channels, height, width]")
        network.eval()
        if type(network).forward is nn.Module.forward:
            raise Unsuited(f"{type(network).__name__} is several networks, none of which takes an image alone")
        return table, stored, experiment.learner.preprocess(stored), network


def _answers(table: pd.DataFrame, network: nn.Module, images: Tensor) -> Tensor:
    """The number of the output that is each example's answer.

    Raises:
        Unsuited: there is none.
    """
    with torch.no_grad():
        scores = network(images[:1])
    if not isinstance(scores, Tensor) or scores.ndim != 2 or "prediction" not in table:
        raise Unsuited(f"{type(network).__name__} does not give a vector of scores for an image")
    return torch.from_numpy(table["prediction"].to_numpy(copy=True)).to(images.device)


def _maps(attributions: Tensor) -> np.ndarray:
    """One map for each example, over all channels. Shape: (examples, height, width)."""
    return attributions.detach().float().sum(dim=1).cpu().numpy()  # numpy has no bfloat16


def _rows(rows: Rows) -> list[tuple[str, np.ndarray]]:
    return [(label, maps.float().cpu().numpy()) for label, maps in rows]


def _beside(stored: np.ndarray, captions: Sequence[str], rows: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Any:
    """Examples in columns, each above its maps; the last column has the first example's maps under random weights."""
    captioned = zip([*stored, stored[0]], [*captions, "the first,\nrandom weights"], strict=True)
    lines = [("", [panels.image(image, caption) for image, caption in captioned])]
    lines += [(label, list(map(panels.heat, (*maps, random[0])))) for label, maps, random in rows]
    return panels.gallery(lines, title=TITLE)


def _inside(rows: Sequence[tuple[str, np.ndarray]], *, title: str, image: np.ndarray | None) -> Any:
    """Rows of maps, below the image that they come from where there is one."""
    lines = [] if image is None else [("the image", [panels.image(image)])]
    for label, maps in rows:
        lines.append((label, [panels.tinted(values) if len(values) == 3 else panels.heat(values[0]) for values in maps]))
    return panels.gallery(lines, title=title)


@contextmanager
def _or_left_out(name: str) -> Iterator[None]:
    """Says what could not be done to this network, and goes on."""
    try:
        yield
    except Unsuited as error:
        print(f"{name}: left out, for {error}.", file=sys.stderr)
