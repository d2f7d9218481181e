"""How much each token of a text adds to an answer, as coloured text, and whether that depends on what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from src.data.shown import Passage, Shown
from src.data.texts import Texts
from src.data.tokenize import TOKENS
from src.evaluation.grid import LINE, Box, Cell, Row, aspect, draw, grid
from src.evaluation.randomisation import randomised, rank_correlation
from src.experiment import Analysis, Experiment, Findings, Result
from src.learner import HasNetwork
from src.value_types import Count, Seed, Whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER = 0.061  # inches, of a letter of equal widths at 7 points
FONT, LINES = 7.0, 6
NAME = "integrated_gradients"
TITLE = "What speaks for an answer (red) and against it (blue). Right: the same network with random weights"


@dataclass(frozen=True)
class ColouredText(Shown):
    """Tokens on colours of one range: white is 0, red is above it, blue is below it.

    Args:
        weights: one for each token.
    """

    width = Passage.width
    tokens: Sequence[str]
    weights: Sequence[float]


class TokenAttribution(Analysis):
    """Integrated gradients of a text's embeddings (Sundararajan et al. 2017, arXiv:1703.01365), from those of padding alone.

    The attributions of a text add up to the difference between its answer and that of padding. They are repeated on the same
    network with random weights (Adebayo et al. 2018, arXiv:1810.03292). The rank correlation of the two is a metric: from 0.5
    on, the attributions say little of what was learned.

    Args:
        mistakes, right: how many wrong and right answers are explained. Right ones take the place of mistakes that are missing.
        steps: between padding and the text.
        seed: of the random weights. The training's own seed would give the weights that the training began with.
    """

    def __init__(self, *, mistakes: Whole = 5, right: Whole = 3, steps: Count = 32, seed: Seed = 1_000_003):
        if mistakes + right < 1:
            raise ValueError(f"expected at least one example; received mistakes={mistakes} and right={right}.")
        self._mistakes, self._right, self._steps, self._seed = mistakes, right, steps, seed

    def analyse(self, experiment: Experiment, result: Result) -> Findings:
        data, learner = experiment.data, experiment.learner
        if not isinstance(data, Texts):
            self.skip("explanation", f"the examples of {type(data).__name__} are no texts")
            return Findings()
        if not isinstance(learner, HasNetwork):
            self.skip("explanation", "the learner has no network")
            return Findings()
        if "prediction" not in result.table:
            self.skip("explanation", "the answers are no classes")
            return Findings()
        if result.split:
            table = experiment.evaluation.examples(result.table, mistakes=self._mistakes, right=self._right)
        else:
            table = experiment.evaluation.explained(result.table, self._mistakes + self._right)
        rows, answers = table["index"].to_numpy(), torch.from_numpy(table["prediction"].to_numpy(copy=True))
        fields = data.examples(rows)
        assert isinstance(fields, Mapping)
        network = learner.scoring_network.eval()
        if _embedding(network, data) is None:
            self.skip("explanation", f"{type(network).__name__} has no layer that embeds the tokens")
            return Findings()
        learned, random = (
            self._attributions(own, data, fields, answers) for own in (network, randomised(network, seed=self._seed))
        )
        lengths = fields["length"]
        pairs = [
            rank_correlation(one[None, :length], other[None, :length])
            for one, other, length in zip(learned, random, lengths, strict=True)
        ]
        finite = [pair for pair in pairs if np.isfinite(pair)]
        correlation = float(np.mean(finite)) if finite else None
        lines = []
        for position, caption in enumerate(table["caption"]):
            numbers = fields[TOKENS][position, : lengths[position]].tolist()
            cells = [
                Cell(ColouredText(data.tokenizer.tokens(numbers), weights[position, : lengths[position]].tolist()), title)
                for weights, title in ((learned, caption), (random, "random weights"))
            ]
            lines.append(Row(cells))
        known = "" if correlation is None else f"\nRank correlation with random weights: {correlation:.2f}"
        metrics = {} if correlation is None else {f"{NAME}_randomised_correlation": correlation}
        return Findings(metrics, {"explanation": grid(lines, title=f"{TITLE}{known}")})

    def _attributions(self, network: nn.Module, data: Texts, fields: Mapping[str, np.ndarray], answers: Tensor) -> np.ndarray:
        """The attribution of each token, (texts, longest), one text at a time: its steps are a batch."""
        from captum.attr import LayerIntegratedGradients

        embedding, device = _embedding(network, data), next(network.parameters()).device
        method = LayerIntegratedGradients(lambda tokens, length: network({TOKENS: tokens, "length": length}), embedding)
        tokens, lengths = (torch.from_numpy(fields[name]).to(device) for name in (TOKENS, "length"))
        found = np.zeros(tokens.shape, dtype=np.float32)
        for position, length in enumerate(lengths.tolist()):
            own = tokens[position : position + 1, :length]
            parts = method.attribute(
                own,
                baselines=torch.full_like(own, data.padding),
                additional_forward_args=(lengths[position : position + 1],),
                target=answers[position : position + 1].to(device),
                n_steps=self._steps,
            )
            found[position, :length] = parts.detach().float().sum(dim=2)[0].cpu().numpy()
        return found


def _embedding(network: nn.Module, data: Texts) -> nn.Embedding | None:
    """The first layer that has a vector for each token."""
    layers = (module for module in network.modules() if isinstance(module, nn.Embedding))
    return next((layer for layer in layers if layer.num_embeddings == data.vocabulary), None)


def _placed(shown: ColouredText) -> list[tuple[int, int, str, float]]:
    """Line, column, text and weight of the first tokens."""
    per_line = int(shown.width / LETTER)
    line, column, placed = 0, 0, []
    for token, weight in zip(shown.tokens, shown.weights, strict=True):
        text = token[:per_line].replace("\n", " ")
        if column and column + len(text) > per_line:
            line, column = line + 1, 0
        if line == LINES:
            break
        placed.append((line, column, text, weight))
        column += len(text) + 1
    return placed


@aspect.register(ColouredText)
def _(shown: ColouredText) -> float:
    return LINE * (_placed(shown)[-1][0] + 1) / shown.width


@draw.register(ColouredText)
def _(shown: ColouredText, ax: Axes, box: Box) -> None:
    from matplotlib import colormaps

    colours = colormaps["RdBu_r"]
    largest = max(max(map(abs, shown.weights)), 1e-12)
    for line, column, text, weight in _placed(shown):
        ax.text(
            box.left + column * LETTER,
            box.top + (line + 0.5) * LINE,
            text.replace("$", r"\$"),  # a dollar would begin a formula
            fontsize=FONT,
            family="monospace",
            va="center",
            bbox={
                "facecolor": colours(0.5 + 0.45 * weight / largest),
                "edgecolor": "none",
                "pad": 0.8,
                "alpha": 0.7,
            },
        )
