"""Evaluation of a language model: its loss over a whole text, and how the text goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.data.base import Data
from src.data.token_stream import TokenStream
from src.decoding import Sampling
from src.errors import InputError
from src.evaluation.plotting import ACCENT, GREY, axes, new_figure
from src.evaluation.resampling import bootstrap, interval, sums
from src.experiment import Evaluation, Experiment, Scores
from src.learner import Continues

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROMPT = 32  # tokens of the split with which the text of the figure begins
FONT, BOX = "DejaVu Sans Mono", "\u25a1"
LINE, HEIGHT = 90, 0.16  # letters of a line of that figure, and the inches that it takes


class LanguageModelling(Evaluation):
    """Scores over all tokens of a split. Each row of the table is a window.

    The loss is in nats a token. Bits a byte compare models with different tokenizers. The intervals go by windows.

    Args:
        sample: tokens that the model writes for a figure; 0 for no such figure.
        temperature: of these tokens.
    """

    def __init__(self, *, data: Data, headline: Mapping[str, str | None], sample: int = 300, temperature: float = 0.8):
        super().__init__(headline=headline)
        if not isinstance(data, TokenStream):
            raise InputError(
                f"task: expected data that are one stream of tokens; received {type(data).__name__}. Choose data=text_stream."
            )
        if sample < 0:
            raise ValueError(f"evaluation.sample: expected a number of tokens from 0; received {sample}.")
        self._data, self._sample = data, sample
        self._sampling = Sampling(temperature=temperature)

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray | Sequence[object]]:
        """Of each window the tokens and bytes that count, the sum of their losses, and the loss of each."""
        loss, tokens = outputs["loss"], outputs["tokens"]
        nats = loss.sum(axis=1, dtype=np.float64)
        losses = [own[:count] for own, count in zip(loss, tokens.tolist(), strict=True)]
        return {"tokens": tokens, "bytes": outputs["bytes"], "nats": nats, "losses": losses}

    def scores(self, table: pd.DataFrame) -> Scores:
        totals = table[["nats", "tokens", "bytes"]].to_numpy(np.float64)
        values = _scores(totals.sum(axis=0))
        resampled = _scores(sums(bootstrap(len(table)), totals).T)
        return Scores({name: float(value) for name, value in values.items()}, {k: interval(v) for k, v in resampled.items()})

    def figures(self, experiment: Experiment, table: pd.DataFrame) -> Mapping[str, Figure]:
        figures = {"loss_by_position": self._by_position(table)}
        if self._sample:
            figures["sample"] = self._text(experiment, int(table["index"].iloc[0]))
        return figures

    def _by_position(self, table: pd.DataFrame) -> Figure:
        """The mean loss by how many tokens of the window lie before the one that is predicted."""
        length = int(table["tokens"].max())
        total, count = np.zeros(length), np.zeros(length)
        for losses in table["losses"]:
            total[: len(losses)] += losses
            count[: len(losses)] += 1
        figure, ax = axes(width=6)
        mean = total / count
        ax.plot(np.arange(1, length + 1), mean, color=ACCENT, marker="." if length < 100 else None)
        ax.axhline(total.sum() / count.sum(), color=GREY, linewidth=1, linestyle="--")
        ax.set(
            xlabel="tokens that the model has read", ylabel="loss (nats a token)", title="Loss by position (dashed: the mean)"
        )
        return figure

    def _text(self, experiment: Experiment, row: int) -> Figure:
        """What the model writes after the beginning of the split."""
        learner, tokenizer = experiment.learner, self._data.tokenizer
        assert isinstance(learner, Continues)
        window = self._data.examples(np.array([row]))
        assert isinstance(window, Mapping)
        prompt = window["tokens"][0][:PROMPT].tolist()
        sampling = Sampling(temperature=self._sampling.temperature, excluded=tokenizer.special)
        written = tokenizer.decode([*prompt, *learner.continuation(prompt, count=self._sample, sampling=sampling)])
        lines = [part for line in written.splitlines() for part in wrap(line, LINE, drop_whitespace=False) or [""]]
        figure = new_figure(width=8, height=HEIGHT * (len(lines) + 3))
        title = f"What the model writes after the first {len(prompt)} tokens (temperature {sampling.temperature})"
        figure.text(0.02, 1, title, fontsize=10, va="top")
        shown = _drawable("\n".join(lines)).replace("$", r"\$")  # a dollar would begin a formula
        figure.text(0.02, 1 - 2 / (len(lines) + 3), shown, fontsize=8, va="top", family=FONT, linespacing=1.3)
        return figure


def _drawable(text: str) -> str:
    """A text with a box in place of each character that the figure's font lacks."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(FONT)).get_charmap()
    return "".join(letter if letter == "\n" or ord(letter) in known else BOX for letter in text)


def _scores(totals: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the sums of losses, tokens and bytes, (3, ...)."""
    nats, tokens, sizes = totals
    loss = nats / tokens
    return {"loss": loss, "perplexity": np.exp(loss), "bits_per_byte": nats / (math.log(2) * sizes)}
