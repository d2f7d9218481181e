"""A modality that src does not know: sequences of tokens of different lengths, with a tag for each token.

It tests that a source, data, a model, a task and an evaluation can come from outside: ragged inputs and targets, an input of
several fields, batches of similar lengths, a vocabulary that is learned of the training part, and a loss that is a mean over
tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from src.data.base import Data
from src.data.columns import Columns, Dense, Field, Ragged
from src.data.raw import Raw, Transform
from src.data.reading import Reader
from src.data.shown import Picture, Shown
from src.data.store import Prepared
from src.evaluation.resampling import bootstrap, interval
from src.experiment import Evaluation, Scores
from src.protocols import Batch, Fields, Outcome
from src.tasks.base import Task

TOKENS, TAGS, PADDING = 12, 3, -1
FIRST = 100  # the word of the first token


class Vocabulary(Transform):
    """Words, as numbers, become tokens.

    Args:
        words: of the training part, in rising order; None before it is known.
    """

    def __init__(self, words: Sequence[int] | None = None):
        self._words = np.array([] if words is None else words, dtype=np.int32)

    def fit(self, raw: Raw, rows: np.ndarray) -> None:
        words = raw.arrays["tokens"]
        assert isinstance(words, Ragged)
        self._words = np.unique(words.held(rows).values)

    def apply(self, raw: Raw) -> Raw:
        words = raw.arrays["tokens"]
        assert isinstance(words, Ragged)
        tokens = Ragged(self.tokens(words.values), words.offsets)
        return replace(raw, arrays={**raw.arrays, "tokens": tokens}, facts={"vocabulary": len(self._words)})

    def state(self) -> Mapping[str, Any]:
        return {"words": self._words.tolist()}

    def tokens(self, words: np.ndarray) -> np.ndarray:
        """
        Raises:
            ValueError: a word is not in the vocabulary.
        """
        if not np.isin(words, self._words).all():
            raise ValueError(f"expected the words of the training; received {words[~np.isin(words, self._words)][0]}")
        return np.searchsorted(self._words, words).astype(np.int32)


class Draws:
    """Random words, as many in each sequence as a seeded draw says. A word's tag depends on it and on the one before it."""

    def __init__(self, *, count: int):
        self._count = count

    def state(self) -> str:
        return str(self._count)

    def read(self) -> Raw:
        rng = np.random.default_rng(0)
        offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 20, self._count))])
        tokens = rng.integers(0, TOKENS, offsets[-1], dtype=np.int32)
        before = np.concatenate([[0], tokens[:-1]])
        before[offsets[:-1]] = 0
        tags = ((tokens + before) % TAGS).astype(np.int32)
        arrays = {"tokens": Ragged(FIRST + tokens, offsets), "tags": Ragged(tags, offsets)}
        return Raw(arrays=arrays, origin="drawn", transform=Vocabulary())


class WordReader(Reader):
    """Reads the words of a row's column `words`: numbers with spaces between them."""

    def __init__(self, *, words: Sequence[int]):
        self._vocabulary = Vocabulary(words)

    def read(self, raw: Mapping[str, str]) -> Mapping[str, np.ndarray]:
        words = raw["words"].split()
        if not words or not all(word.isdigit() for word in words):
            raise ValueError(f"expected numbers; received {raw['words']!r}")
        return {"tokens": self._vocabulary.tokens(np.array(words, dtype=np.int32))}


class Sentences(Data):
    """Tokens and their number as the two fields of an input, and tags as the target."""

    def __init__(self, *, prepared: Prepared, vocabulary: int, batch_size: int):
        super().__init__(prepared=prepared, shape=(), num_classes=None, batch_size=batch_size)
        self.vocabulary = vocabulary
        tokens = prepared.column("tokens")
        assert isinstance(tokens, Ragged)
        self._lengths = tokens.lengths
        self._fields: dict[str, Field] = {"input": {"tokens": tokens, "length": Dense(tokens.lengths)}}
        if prepared.has("tags"):
            self._fields["target"] = prepared.column("tags", padding=PADDING)

    def reader(self) -> Reader:
        return WordReader(**self.prepared.card["reading"])

    @property
    def fields(self) -> Columns:
        return self._fields

    def order(self, split: str, *, together: int, epoch: int, seed: int) -> Sequence[np.ndarray]:
        """Batches of similar lengths, in a random sequence."""
        rng = np.random.default_rng([seed, epoch])
        lengths = self._lengths[self.rows(split)]
        positions = np.lexsort((rng.random(len(lengths)), lengths))
        batches = [positions[start : start + together] for start in range(0, len(positions), together)]
        return [batches[number] for number in rng.permutation(len(batches))]

    def show(self, row: int) -> Shown:
        return Picture(np.zeros((1, 1), dtype=np.uint8))


class Tagger(nn.Module):
    """From the fields of an input to the logits of each token's tag, (batch, longest, tags)."""

    def __init__(self, *, vocabulary: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layer = nn.Linear(2 * width, width)
        self.tags = nn.Linear(width, TAGS)

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        embedded = self.embedding(input["tokens"])
        before = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, :-1]], dim=1)
        return self.tags(self.layer(torch.cat([embedded, before], dim=2)).relu())


class Tagging(Task):
    """Cross-entropy as a mean over tokens."""

    primary_output = "logits"

    def units(self, batch: Batch) -> Tensor:
        return (batch.target != PADDING).sum()

    def step(self, batch: Batch) -> Outcome:
        logits = self.model(batch.input)
        total = cross_entropy(logits.flatten(0, 1), batch.target.flatten().long(), ignore_index=PADDING, reduction="sum")
        return Outcome(total / (batch.target != PADDING).sum().clamp(min=1), logits, batch.target)

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor]:
        correct = outcome.prediction.argmax(dim=2) == outcome.target
        return {"correct": correct.sum(), "tokens": (outcome.target != PADDING).sum()}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"accuracy": sums["correct"] / sums["tokens"]}

    def predict(self, input: Fields) -> Mapping[str, Tensor]:
        return {"logits": self.model(input), "length": input["length"]}


class TaggingScores(Evaluation):
    """The share of tokens with the right tag."""

    def __init__(self, *, data: Data, headline: Mapping[str, str | None]):
        super().__init__(headline=headline)

    def columns(self, outputs: Mapping[str, np.ndarray], target: np.ndarray) -> Mapping[str, np.ndarray]:
        correct = (outputs["logits"].argmax(axis=2) == target).sum(axis=1)
        return {"correct": correct, "tokens": (target != PADDING).sum(axis=1)}

    def answers(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, Sequence[object]]:
        tags = outputs["logits"].argmax(axis=2)
        return {"tags": [own[:length].tolist() for own, length in zip(tags, outputs["length"], strict=True)]}

    def scores(self, table: pd.DataFrame) -> Scores:
        correct, tokens = table["correct"].to_numpy(), table["tokens"].to_numpy()
        weights = bootstrap(len(table))
        return Scores(
            {"accuracy": correct.sum() / tokens.sum()}, {"accuracy": interval((weights @ correct) / (weights @ tokens))}
        )


def write_configuration(conf: Path) -> None:
    """Writes the options of the groups data, model, task and experiment: `+experiment=tags`."""
    for group in ("data", "model", "task", "experiment"):
        (conf / group).mkdir(parents=True, exist_ok=True)
    (conf / "data/sentences.yaml").write_text(
        "dataset:\n"
        "  name: sentences\n"
        "  source: {_target_: tests.tagging.Draws, count: 400}\n"
        "  split: {seed: 0, val: 0.2, test: 0.2}\n"
        "  max_duplicates: 1.0\n"
        "  classes: null\n"
        "_target_: tests.tagging.Sentences\n"
        "vocabulary: null\n"
        "batch_size: 16\n"
    )
    (conf / "model/tagger.yaml").write_text("_target_: tests.tagging.Tagger\nvocabulary: ${data.vocabulary}\nwidth: 32\n")
    (conf / "task/tagging.yaml").write_text(
        "# @package _global_\n"
        "objective: {metric: val/accuracy, mode: max}\n"
        "task: {_target_: tests.tagging.Tagging}\n"
        "evaluation: {_target_: tests.tagging.TaggingScores, headline: {accuracy: max}}\n"
    )
    (conf / "experiment/tags.yaml").write_text(
        "# @package _global_\n# Which tag has each token?\n"
        "defaults:\n  - override /data: sentences\n  - override /model: tagger\n  - override /task: tagging\n"
        "name: tags\noptimizer: {lr: 0.01}\ntrainer: {max_epochs: 8}\n"
    )
